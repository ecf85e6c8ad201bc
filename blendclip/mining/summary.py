"""The summary of one dataset and split: what was seen, what was made, what was rejected and why. Checks the sums."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from blendclip import storage
from blendclip.errors import UserError

OTHER = "(no class)"  # annotations outside the dataset's detection classes


@dataclass(frozen=True)
class Places:
    """Where the tables of one dataset and split lie, under the results folder."""

    results: Path
    dataset: str
    split: str

    @property
    def index(self) -> Path:
        """The scene index."""
        return self.results / "index" / self.dataset / f"{self.split}.parquet"

    def folder(self, stage: str) -> Path:
        """The folder of a stage's parts."""
        return self.results / stage / self.dataset / self.split

    def column(self, stage: str, names: list[str], parts: int) -> pa.Table:
        """Some columns of all parts of a stage."""
        return pa.concat_tables(
            storage.read_parquet(self.folder(stage) / f"part-{part:05d}.parquet", names) for part in range(parts)
        )


def summarize(results: Path, dataset: str, split: str, parts: int, output: Path) -> dict[str, Any]:
    """Write the summary as JSON and return it.

    Raises:
        UserError: a table is missing, the sums do not add up, or there is no triplet at all.
    """
    places = Places(results, dataset, split)
    summary = _counts(places, parts)
    _check(summary, places)
    with storage.replacing(output) as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def _counts(places: Places, parts: int) -> dict[str, Any]:
    scenes, annotations = _indexed(places.index)
    clouds = places.column("clouds", ["class_name", "num_points"], parts)
    views = places.column("views", ["class_name", "annotation_token"], parts)
    triplets = places.column("triplets", ["class_name", "num_points", "view_time_gap_us", "caption"], parts)
    seen = {"annotations": annotations} | {
        name: _by_class(table["class_name"])
        for name, table in (("clouds", clouds), ("views", views), ("triplets", triplets))
    }
    return {
        "dataset": places.dataset,
        "split": places.split,
        "scenes": scenes,
        **{name: sum(counts.values()) for name, counts in seen.items()},
        "annotations_with_view": len(views["annotation_token"].unique()),
        "classes": {
            name: {what: counts[name] for what, counts in seen.items()} for name, _ in annotations.most_common()
        },
        "rejects": _rejects(places, parts),
        "points_per_cloud": _quantiles(clouds["num_points"].to_numpy()),
        "view_time_gap_s": _quantiles(np.abs(triplets["view_time_gap_us"].to_numpy()) * 1e-6),
        "distinct_captions": len(triplets["caption"].unique()),
    }


def _indexed(index: Path) -> tuple[int, Counter[str]]:
    """Scenes, and annotations by class, read a scene at a time."""
    file, counts = pq.ParquetFile(storage.existing(index)), Counter()
    for number in range(file.num_row_groups):
        tracks = file.read_row_group(number, columns=["tracks"])["tracks"].combine_chunks().flatten()
        lengths = tracks.field("annotations").value_lengths().to_pylist()
        for name, length in zip(tracks.field("class_name").to_pylist(), lengths, strict=True):
            counts[name or OTHER] += length
    return file.num_row_groups, counts


def _by_class(column: pa.ChunkedArray) -> Counter[str]:
    return Counter(name or OTHER for name in column.to_pylist())


def _rejects(places: Places, parts: int) -> list[dict[str, Any]]:
    """Rejected annotations and broken files by stage, kind and rule, most frequent first, with an example."""
    names = ["stage", "kind", "rule", "reason", "annotation_token", "path"]
    rows = [
        row
        for stage in ("clouds", "views", "triplets")
        for part in range(parts)
        for row in storage.read_parquet(
            places.folder("rejects") / f"part-{part:05d}.{stage}.parquet", names
        ).to_pylist()
    ]
    kinds = Counter((row["stage"], row["kind"], row["rule"], row["annotation_token"] is None) for row in rows)
    examples = {}
    for row in rows:
        key = (row["stage"], row["kind"], row["rule"], row["annotation_token"] is None)
        examples.setdefault(key, " ".join(filter(None, [row["path"], row["reason"]])))
    return [
        {"stage": stage, "kind": kind, "rule": rule, "of": "files" if of_files else "annotations"}
        | {"count": count, "example": examples[stage, kind, rule, of_files]}
        for (stage, kind, rule, of_files), count in sorted(
            kinds.items(), key=lambda item: (item[0][0], -item[1], item[0])
        )
    ]


def _quantiles(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    low, median, high = np.quantile(values, [0.1, 0.5, 0.9])
    return {"p10": round(float(low), 3), "median": round(float(median), 3), "p90": round(float(high), 3)}


def _check(summary: dict[str, Any], places: Places) -> None:
    rejected = Counter()
    for row in summary["rejects"]:
        if row["of"] == "annotations":
            rejected[row["stage"]] += row["count"]
    where = f"{places.dataset}/{places.split}"
    sums = (
        ("annotations", "clouds", "clouds"),
        ("annotations", "annotations_with_view", "views"),
        ("clouds", "triplets", "triplets"),
    )
    for whole, part, stage in sums:
        if summary[whole] != summary[part] + rejected[stage]:
            raise UserError(
                f"the tables of {where} do not add up: {summary[whole]} {whole}, but {summary[part]} {part} and "
                f"{rejected[stage]} rejects; delete its folders under {places.results} and mine it again"
            )
    if not summary["triplets"]:
        most = max(summary["rejects"], key=lambda row: row["count"], default=None)
        why = (
            f"most rejects by rule {most['rule']!r} of {most['stage']}: {most['example']}" if most else "no annotation"
        )
        raise UserError(f"no triplet came out of {where}: {why}; change the rules in config.yaml or look at its index")


def as_text(summary: dict[str, Any]) -> str:
    """The summary as a table for the terminal."""
    columns = ("annotations", "clouds", "views", "triplets")
    title = f"{summary['dataset']}/{summary['split']}: {summary['scenes']} scenes"
    lines = [title, f"  {'class':<22}" + "".join(f"{name:>13}" for name in columns)]
    rows = [*summary["classes"].items(), ("total", summary)]
    lines += [f"  {name:<22}" + "".join(f"{counts[column]:>13,}" for column in columns) for name, counts in rows]
    points, gap = summary["points_per_cloud"], summary["view_time_gap_s"]
    lines += [
        f"  points per cloud: {points['p10']:.0f} / {points['median']:.0f} / {points['p90']:.0f} (10 %, median, 90 %)"
    ]
    lines += [f"  time from cloud to view: median {gap['median']} s, 90 % within {gap['p90']} s"]
    lines += [f"  distinct captions: {summary['distinct_captions']:,}", "  rejects"]
    for row in summary["rejects"]:
        what = f"{row['stage']}: {row['rule']} ({row['kind']})"
        lines.append(f"    {row['count']:>7,} {row['of']:<12} {what:<36} e.g. {row['example']}")
    return "\n".join(lines)
