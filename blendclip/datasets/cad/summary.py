"""The summary of a CAD dataset and split: objects by class, views, rejects. Checks the sums."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from blendclip import storage
from blendclip.accounts import SplitTables
from blendclip.errors import UserError
from blendclip.results import Results, Stage

UNNAMED = "(no class)"
_MOST_CLASSES = 60


def summarize_cad(results: Path, dataset: str, split: str, parts: int, output: Path) -> dict[str, Any]:
    """Write the summary as JSON and return it.

    Raises:
        UserError: a table is missing or left over from a run with more parts, or there is no triplet at all.
    """
    tables = SplitTables(Results(results), dataset, split, parts)
    tables.files.check_parts(dataset, split, parts)
    stages, rejecting = ["views", "captions", "triplets"], ["cad"]
    triplets = tables.column("triplets", ["category", "num_points", "triplet_id"])
    views = tables.column("views", ["category", "view_id"])
    rejects, unsaid = _rejects(tables, "cad"), list[dict[str, Any]]()
    if storage.stage_of(tables.paths("triplets")[0]) == "triplets":  # a model captioned the views, and they were joined
        stages, rejecting = ["clouds", *stages], [*rejecting, "captions", "triplets"]
        _check_sum(tables, "views", "captions")
        _check_sum(tables, "clouds", "triplets")
        unsaid = _rejects(tables, "captions")
        rejects += _rejects(tables, "triplets")
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
        "rows": tables.row_counts(stages, rejecting),
        "objects": triplets.num_rows + len(rejects),
        "triplets": triplets.num_rows,
        "views": views.num_rows,
        "classes": {
            name: {"triplets": count, "views": counted["views"][name]}
            for name, count in sorted(counted["triplets"].items(), key=lambda item: (-item[1], item[0]))
        },
        "median_points": float(np.median(triplets["num_points"].to_numpy())),
        "rejects": [*_by_rule(rejects), *({**row, "of": "views"} for row in _by_rule(unsaid))],
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
        rule = f"{row['rule']} ({row['kind']})"
        lines.append(f"    {row['count']:>7,} {row.get('of', 'objects'):<12} {rule:<36} e.g. {row['example']}")
    return "\n".join(lines)


def _rejects(tables: SplitTables, stage: str) -> list[dict[str, Any]]:
    """What a stage left out."""
    return tables.rejects(stage, ["rule", "kind", "reason", "path"]).to_pylist()


def _check_sum(tables: SplitTables, whole: Stage, stage: Stage) -> None:
    """Raise a UserError unless what a stage made and what it left out are all that it was given."""
    given, made, rejected = tables.rows(whole), tables.rows(stage), tables.rows(f"rejects/{stage}")
    if made + rejected != given:
        raise UserError(
            f"the tables of {tables.dataset}/{tables.split} do not add up: {given} {whole}, but {made} {stage} and "
            f"{rejected} rejects; delete its folders under {tables.files.root} and run again"
        )


def _by_rule(rejects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    counts = Counter((row["rule"], row["kind"]) for row in rejects)
    first = {row["rule"]: " ".join(filter(None, [row["path"], row["reason"]])) for row in reversed(rejects)}
    return [
        {"rule": rule, "kind": kind, "count": count, "example": first[rule]}
        for (rule, kind), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
