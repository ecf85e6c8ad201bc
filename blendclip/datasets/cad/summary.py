"""The summary of a CAD dataset and split: objects by class, views, rejects. Checks the sums."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from blendclip import storage
from blendclip.errors import UserError
from blendclip.results import Results

UNNAMED = "(no class)"
_MOST_CLASSES = 60


def summarize_cad(results: Path, dataset: str, split: str, parts: int, output: Path) -> dict[str, Any]:
    """Write the summary as JSON and return it.

    Raises:
        UserError: a table is missing or left over from a run with more parts, or there is no triplet at all.
    """
    files = Results(results)
    files.check_parts(dataset, split, parts)

    def column(path_of: Callable[[str, str, int], Path], names: list[str]) -> pa.Table:
        return pa.concat_tables(storage.read_parquet(path_of(dataset, split, part), names) for part in range(parts))

    triplets = column(partial(files.part, "triplets"), ["category", "num_points", "triplet_id"])
    views = column(partial(files.part, "views"), ["category", "view_id"])
    rejects = column(partial(files.rejects, "cad"), ["rule", "kind", "reason", "path"]).to_pylist()
    if not triplets.num_rows:
        why = f"{rejects[0]['path']}: {rejects[0]['reason']}" if rejects else "the split has no object"
        raise UserError(f"no triplet came out of {dataset}/{split}: {why}; look at its root and options")
    if triplets["triplet_id"].combine_chunks().value_counts().field("counts").to_numpy().max() > 1:
        raise UserError(f"{dataset}/{split} has a triplet twice: delete its folders under {results} and run again")
    counted = {
        name: Counter(c or UNNAMED for c in table["category"].to_pylist())
        for name, table in (("triplets", triplets), ("views", views))
    }
    summary = {
        "cad": True,
        "dataset": dataset,
        "split": split,
        "parts": parts,
        "objects": triplets.num_rows + len(rejects),
        "triplets": triplets.num_rows,
        "views": views.num_rows,
        "classes": {
            name: {"triplets": count, "views": counted["views"][name]}
            for name, count in sorted(counted["triplets"].items(), key=lambda item: (-item[1], item[0]))
        },
        "median_points": float(np.median(triplets["num_points"].to_numpy())),
        "rejects": _by_rule(rejects),
    }
    with storage.replacing(output) as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def as_text(summary: dict[str, Any]) -> str:
    """The summary as a table for the terminal."""
    lines = [
        f"{summary['dataset']}/{summary['split']}: {summary['objects']:,} objects, {len(summary['classes'])} classes"
    ]
    lines.append(f"  {'class':<22}{'triplets':>13}{'views':>13}")
    shown = list(summary["classes"].items())
    rows = [*shown[:_MOST_CLASSES], ("total", summary)]
    lines += [f"  {name:<22}{counts['triplets']:>13,}{counts['views']:>13,}" for name, counts in rows]
    if len(shown) > _MOST_CLASSES:
        lines.append(f"  {len(shown) - _MOST_CLASSES:,} smaller classes are in the summary's file")
    lines += [f"  points per cloud: {summary['median_points']:.0f} (median)", "  rejects"]
    for row in summary["rejects"]:
        lines.append(
            f"    {row['count']:>7,} objects      {row['rule'] + ' (' + row['kind'] + ')':<36} e.g. {row['example']}"
        )
    return "\n".join(lines)


def _by_rule(rejects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    counts = Counter((row["rule"], row["kind"]) for row in rejects)
    first = {row["rule"]: f"{row['path']} {row['reason']}" for row in reversed(rejects)}
    return [
        {"rule": rule, "kind": kind, "count": count, "example": first[rule]}
        for (rule, kind), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
