"""A table of what trained runs reached in their validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blendclip.errors import UserError
from blendclip.results import METRICS_LOG
from blendclip.training.metrics_log import read_metrics_log


def runs_table(runs: Sequence[Path]) -> str:
    """A plain text table of the last zero-shot top-1 of each run on each of its validation splits, in percent.

    Args:
        runs: folders of runs.

    Raises:
        UserError: a run has not ended.
    """
    rows = {path.name: _last(path) for path in runs}
    splits = list(dict.fromkeys(name for row in rows.values() for name in row))
    width = max(map(len, [*rows, "zero-shot top-1"]))
    lines = ["  ".join([f"{'zero-shot top-1':{width}}", *splits])]
    for run, row in rows.items():
        cells = [f"{row[name]:.1%}" if name in row else "-" for name in splits]
        lines.append("  ".join([f"{run:{width}}", *(f"{c:>{len(n)}}" for c, n in zip(cells, splits, strict=True))]))
    return "\n".join(lines)


def _last(run: Path) -> dict[str, float]:
    """Top-1 of the last validation of a run, by split."""
    entries = read_metrics_log(run / METRICS_LOG)
    if not (run / METRICS_LOG).is_file():
        raise UserError(f"{run} holds no {METRICS_LOG}: train the run to its end first")
    validations = [entry for entry in entries if entry["kind"] == "validation"]
    ending = "/top1"
    last = validations[-1] if validations else {}
    return {name.removesuffix(ending): value for name, value in last.items() if name.endswith(ending)}
