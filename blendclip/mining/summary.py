"""The summary of one dataset and split: what was seen, what was made, what was rejected and why. Checks the sums."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from blendclip import storage
from blendclip.accounts import SplitTables
from blendclip.errors import UserError
from blendclip.mining.agreement import Agreement, agreement_as_text
from blendclip.mining.captions.quality import price, quality, quality_as_text, quantiles, read_synonyms
from blendclip.results import STAGES, Results

_REJECTED = {"clouds": "annotations", "views": "annotations", "captions": "views", "triplets": "annotations"}
_KINDS = ["stage", "kind", "rule", "of_files"]
_WITH_NULLS = pc.ScalarAggregateOptions(skip_nulls=False)
OTHER = "(no class)"  # annotations outside the dataset's detection classes


def summarize(results: Path, dataset: str, split: str, parts: int, output: Path, synonyms: Path) -> dict[str, Any]:
    """Write the summary as JSON and return it. `synonyms` is the YAML file of words that name a category.

    Raises:
        UserError: a table is missing or left over, the sums do not add up, or there is no triplet at all.
    """
    files = Results(results)
    files.check_parts(dataset, split, parts)
    tables = SplitTables(files, dataset, split, parts)
    summary = _counts(tables) | {"captioning": _captioning(tables, read_synonyms(synonyms))}
    _check(summary, files.root)
    with storage.replacing(output) as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def _counts(tables: SplitTables) -> dict[str, Any]:
    scenes, annotations = _indexed(tables.files.index(tables.dataset, tables.split))
    clouds = tables.column("clouds", ["class_name", "num_points"])
    views = tables.column("views", ["class_name", "annotation_token"])
    triplets = tables.column("triplets", ["class_name", "view_time_gap_us"])
    seen = {"annotations": annotations} | {
        name: _by_class(table["class_name"])
        for name, table in (("clouds", clouds), ("views", views), ("triplets", triplets))
    }
    return {
        "dataset": tables.dataset,
        "split": tables.split,
        "parts": tables.parts,
        "rows": tables.row_counts(STAGES, STAGES),
        "scenes": scenes,
        **{name: sum(counts.values()) for name, counts in seen.items()},
        "annotations_with_view": len(views["annotation_token"].unique()),
        "classes": {
            name: {what: counts[name] for what, counts in seen.items()} for name, _ in annotations.most_common()
        },
        "rejects": _rejects(tables),
        "num_lidar_pts": _agreement(tables).shares(),
        "points_per_cloud": quantiles(clouds["num_points"].to_numpy()),
        "view_time_gap_s": quantiles(np.abs(triplets["view_time_gap_us"].to_numpy()) * 1e-6),
    }


def _captioning(tables: SplitTables, synonyms: dict[str, list[str]]) -> dict[str, Any]:
    """What the captions are like and what they cost."""
    captions = tables.column("captions", ["view_id", "caption", "caption_tokens"])
    views = tables.column("views", ["view_id", "category", "class_name"])
    shown = views.take(pc.index_in(captions["view_id"], value_set=views["view_id"].combine_chunks()))
    found = quality(
        captions["caption"].to_pylist(),
        captions["caption_tokens"].to_pylist(),
        shown["category"].to_pylist(),
        [name or OTHER for name in shown["class_name"].to_pylist()],
        synonyms,
    )
    where = (tables.dataset, tables.split)
    statistics = (tables.files.caption_statistics(*where, part) for part in range(tables.parts))
    return found | price(json.loads(storage.existing(path).read_text()) for path in statistics)


def _agreement(tables: SplitTables) -> Agreement:
    """How the clouds agree with `num_lidar_pts`, by the metadata of their rejects."""
    paths = tables.paths("rejects/clouds")
    return Agreement.total(filter(None, (storage.options_of(path).get("agreement") for path in paths)))


def _indexed(index: Path) -> tuple[int, Counter[str]]:
    """Scenes, and annotations by class, read a scene at a time."""
    file, counts = storage.open_parquet(index), Counter[str]()
    for number in range(file.num_row_groups):
        tracks = file.read_row_group(number, columns=["tracks"])["tracks"].combine_chunks().flatten()
        lengths = tracks.field("annotations").value_lengths().to_pylist()
        for name, length in zip(tracks.field("class_name").to_pylist(), lengths, strict=True):
            counts[name or OTHER] += length
    return file.num_row_groups, counts


def _by_class(column: pa.ChunkedArray) -> Counter[str]:
    return Counter(name or OTHER for name in column.to_pylist())


def _rejects(tables: SplitTables) -> list[dict[str, Any]]:
    """Rejected annotations, views and broken files by stage, kind and rule, most frequent first, with an example."""
    found = pa.concat_tables(_counted(path) for stage in _REJECTED for path in tables.paths(f"rejects/{stage}"))
    wanted = [("count", "sum"), ("path", "first", _WITH_NULLS), ("reason", "first", _WITH_NULLS)]
    totals = found.group_by(_KINDS, use_threads=False).aggregate(wanted).to_pylist()
    totals.sort(key=lambda row: (row["stage"], -row["count_sum"], *(row[name] for name in _KINDS)))
    return [
        {
            **{name: row[name] for name in ("stage", "kind", "rule")},
            "of": "files" if row["of_files"] else _REJECTED[row["stage"]],
            "count": row["count_sum"],
            "example": " ".join(filter(None, [row["path_first"], row["reason_first"]])),
        }
        for row in totals
    ]


def _counted(path: Path) -> pa.Table:
    """How many rejects of each kind a file holds, with path and reason of the first."""
    table = storage.read_parquet(path, ["stage", "kind", "rule", "reason", "annotation_token", "path"])
    table = table.append_column("of_files", pc.is_null(table["annotation_token"]))
    wanted: list[tuple[Any, ...]] = [
        ([], "count_all"),
        ("path", "first", _WITH_NULLS),
        ("reason", "first", _WITH_NULLS),
    ]
    counted = table.group_by(_KINDS, use_threads=False).aggregate(wanted)
    return counted.rename_columns({"count_all": "count", "path_first": "path", "reason_first": "reason"})


def _check(summary: dict[str, Any], root: Path) -> None:
    rejected = Counter[str]()
    for row in summary["rejects"]:
        if row["of"] != "files":
            rejected[row["stage"]] += row["count"]
    where = f"{summary['dataset']}/{summary['split']}"
    summary = summary | {"captions": summary["captioning"]["captions"]}
    sums = (
        ("annotations", "clouds", "clouds"),
        ("annotations", "annotations_with_view", "views"),
        ("views", "captions", "captions"),
        ("clouds", "triplets", "triplets"),
    )
    for whole, part, stage in sums:
        if summary[whole] != summary[part] + rejected[stage]:
            raise UserError(
                f"the tables of {where} do not add up: {summary[whole]} {whole}, but {summary[part]} {part} and "
                f"{rejected[stage]} rejects; delete its folders under {root} and mine it again"
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
    lines += [f"  {agreement_as_text(told)}"] if (told := summary.get("num_lidar_pts")) else []  # newer than some
    lines += [f"  time from cloud to view: median {gap['median']} s, 90 % within {gap['p90']} s"]
    lines += [*quality_as_text(summary["captioning"]), "  rejects"]
    for row in summary["rejects"]:
        what = f"{row['stage']}: {row['rule']} ({row['kind']})"
        lines.append(f"    {row['count']:>7,} {row['of']:<12} {what:<36} e.g. {row['example']}")
    return "\n".join(lines)
