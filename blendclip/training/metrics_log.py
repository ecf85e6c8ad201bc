"""The metrics log of a run: a line of JSON for each entry, TensorBoard, and a line on the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from blendclip.results import METRICS_LOG
from blendclip.storage import replacing


class MetricsLog:
    """The metrics log of one run, open while it trains.

    A resumed run drops what was logged after the step that it resumes from, and the validation at the end, which it
    repeats.
    """

    def __init__(self, folder: Path, resumed_step: int, total_steps: int) -> None:
        """Open `log.jsonl` and `tensorboard` in `folder`, made if need be, after `resumed_step` of `total_steps`."""
        from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / METRICS_LOG
        kept = [
            json.dumps(entry) + "\n"
            for entry in read_metrics_log(self.path)
            if entry["step"] <= resumed_step and (entry["step"] < total_steps or entry["kind"] != "validation")
        ]
        with replacing(self.path) as temporary:
            temporary.write_text("".join(kept))
        self._lines = self.path.open("a")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=resumed_step + 1)
        self._total = total_steps

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._board.close()

    def add(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Log the numbers of an entry.

        Args:
            step: steps done.
            kind: `train` or `validation`.
            values: the numbers by name.
        """
        self._lines.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)
        shown = "  ".join(f"{name} {_short(value)}" for name, value in values.items())
        sys.stderr.write(f"step {step}/{self._total}  {kind}  {shown}\n")


def read_metrics_log(path: Path) -> list[dict[str, Any]]:
    """The entries of a metrics log, oldest first: none without a file, and no last line that a kill cut off."""
    if not path.is_file():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]


def _short(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
