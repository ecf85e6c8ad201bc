"""The summary of a CAD dataset and split: objects by class, views, rejects. Checks the sums."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from blendclip import storage
from blendclip.accounts import count_rows, row_counts
from blendclip.errors import UserError
from blendclip.results import Results, Stage

UNNAMED = "(no class)"
_MOST_CLASSES = 60


@dataclass(frozen=True)
class _Tables:
    """The tables of one dataset and split."""

    files: Results
    dataset: str
    split: str
    parts: int

    def column(self, stage: Stage, names: list[str]) -> pa.Table:
        """Some columns of all parts of a stage."""
        paths = (self.files.part(stage, self.dataset, self.split, part) for part in range(self.parts))
        return pa.concat_tables(storage.read_parquet(path, names) for path in paths)

    def rejects(self, stage: str) -> list[dict[str, Any]]:
        """What a stage left out."""
        paths = (self.files.rejects(stage, self.dataset, self.split, part) for part in range(self.parts))
        names = ["rule", "kind", "reason", "path"]
        return pa.concat_tables(storage.read_parquet(path, names) for path in paths).to_pylist()

    @property
    def captioned(self) -> bool:
        """Whether the stages of mining captioned the views and joined the triplets."""
        return storage.stage_of(self.files.part("triplets", self.dataset, self.split, 0)) == "triplets"

    def rows(self, stage: Stage) -> int:
        """How many rows a stage made."""
        return count_rows([self.files.part(stage, self.dataset, self.split, part) for part in range(self.parts)])

    def row_counts(self) -> dict[str, int]:
        """Rows of all tables."""
        stages = ("views", "captions", "triplets", *(["clouds"] if self.captioned else []))
        rejecting = ("cad", *(["captions", "triplets"] if self.captioned else []))
        return row_counts(self.files, self.dataset, self.split, self.parts, stages, rejecting)

    def check_sum(self, whole: Stage, stage: Stage, rejected: int) -> None:
        """Check that what a stage made and what it left out are all that it was given.

        Raises:
            UserError: they are not.
        """
        given, made = self.rows(whole), self.rows(stage)
        if made + rejected != given:
            raise UserError(
                f"the tables of {self.dataset}/{self.split} do not add up: {given} {whole}, but {made} {stage} and "
                f"{rejected} rejects; delete its folders under {self.files.root} and run again"
            )


def summarize_cad(results: Path, dataset: str, split: str, parts: int, output: Path) -> dict[str, Any]:
    """Write the summary as JSON and return it.

    Raises:
        UserError: a table is missing or left over from a run with more parts, or there is no triplet at all.
    """
    tables = _Tables(Results(results), dataset, split, parts)
    tables.files.check_parts(dataset, split, parts)
    triplets = tables.column("triplets", ["category", "num_points", "triplet_id"])
    views = tables.column("views", ["category", "view_id"])
    rejects, unsaid = tables.rejects("cad"), list[dict[str, Any]]()
    if tables.captioned:
        unjoined, unsaid = tables.rejects("triplets"), tables.rejects("captions")
        tables.check_sum("views", "captions", len(unsaid))
        tables.check_sum("clouds", "triplets", len(unjoined))
        rejects += unjoined
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
        "rows": tables.row_counts(),
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


def _by_rule(rejects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    counts = Counter((row["rule"], row["kind"]) for row in rejects)
    first = {row["rule"]: " ".join(filter(None, [row["path"], row["reason"]])) for row in reversed(rejects)}
    return [
        {"rule": rule, "kind": kind, "count": count, "example": first[rule]}
        for (rule, kind), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
