"""What became of an annotation at each stage of mining, and which rule stopped it where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from blendclip import storage
from blendclip.errors import UserError
from blendclip.mining.rules import RULES
from blendclip.mining.scene import Scene, open_index, read_scenes
from blendclip.results import Results

Stage = Literal["clouds", "views", "captions", "triplets"]
Row = dict[str, Any]

_STAGES: tuple[Stage, ...] = get_args(Stage)
_TOKENS = ["tracks.list.element.instance_token", "tracks.list.element.annotations.list.element.token"]
_COLUMNS: dict[Stage, list[str]] = {
    "clouds": ["num_points", "num_sweeps"],
    "views": ["view_id", "channel", "crop_xyxy_px", "covered_fraction"],
    "triplets": ["channel", "view_time_gap_us", "caption"],
}
_REJECTED = ["stage", "kind", "rule", "reason", "path"]
_KEYS = {(stage, rule.name): rule.key for rule in RULES for stage in rule.stages}
_NEEDS: dict[Stage, tuple[Stage, str]] = {
    "captions": ("views", "no view of it to caption"),
    "triplets": ("clouds", "no cloud of it to pair with a view"),
}


@dataclass(frozen=True)
class History:
    """One annotation of the index, and what is known of it in the tables of mining."""

    dataset: str
    split: str
    scene: str
    annotation: Row
    """Its columns in the index, with keyframe and distance_m."""
    rows: dict[Stage, list[Row]]
    """What each stage made of it: at most one cloud and one triplet; a row for each view and for each caption."""
    rejects: list[Row]
    """Of the annotation, and of each of its views without a caption: stage, kind, rule, reason, path."""
    missing: frozenset[Stage]
    """Stages that have no file for the dataset and split."""


def explain(results: Path, name: str, dataset: str | None = None, split: str | None = None) -> list[History]:
    """The annotation of this name, or all annotations of the instance of this name, by time.

    Args:
        results: folder that holds index/, clouds/, views/, captions/, triplets/ and rejects/.
        name: token of an annotation or an instance, or the id of a view or a triplet.
        dataset: look in this one alone.
        split: look in this one alone.

    Raises:
        UserError: no index of such a dataset and split, no such name in it, or a file that cannot be read.
    """
    indexes = Results(results).indices(dataset or "*", split or "*")
    where = f"{dataset or 'any dataset'}/{split or 'any split'}"
    if not indexes:
        raise UserError(f"{results} has no index of {where}: name a dataset and split that were indexed")
    found = [history for index in indexes for history in _histories(results, index, name)]
    if not found:
        raise UserError(
            f"{name} is no annotation, instance, view or triplet of {where} in {results}: "
            "take a token from a column annotation_token or instance_token"
        )
    return found


def _histories(results: Path, index: Path, name: str) -> Iterator[History]:
    """The annotations that a name means in one index; all of an instance lie in one scene."""
    dataset = index.parent.name
    plain = name.removeprefix(f"{dataset}/")  # of a triplet's id; a view's ends with the channel besides
    names = pa.array(sorted({name, plain, plain.rpartition("/")[0]} - {""}))
    scene = _scene_with(index, names)
    if scene is not None:
        annotations = _annotations_with(scene, names)
        yield from _Tables(results, scene).histories(annotations)


def _scene_with(index: Path, names: pa.Array) -> Scene | None:
    file = open_index(index)
    for number in range(file.num_row_groups):
        tracks = file.read_row_group(number, columns=_TOKENS)["tracks"].combine_chunks().flatten()
        tokens = tracks.field("annotations").flatten().field("token")
        if any(pc.any(pc.is_in(column, names)).as_py() for column in (tracks.field("instance_token"), tokens)):
            return next(read_scenes(index, number, file.num_row_groups))
    return None


def _annotations_with(scene: Scene, names: pa.Array) -> list[Row]:
    """The named annotations of a scene, or those of the named instances, in the order of their times."""
    annotations = scene.annotations
    columns = annotations.columns.append_column("keyframe", pa.array(annotations.keyframe))
    columns = columns.append_column("distance_m", pa.array(annotations.distance_m))
    wanted = pc.or_(*(pc.is_in(columns[name], names) for name in ("annotation_token", "instance_token")))
    rows: list[Row] = columns.filter(wanted).to_pylist()
    return sorted(rows, key=lambda row: int(row["timestamp_us"]))


class _Tables:
    """The tables of mining for one scene."""

    def __init__(self, results: Path, scene: Scene) -> None:
        self._results, self._scene = results, scene

    def histories(self, annotations: list[Row]) -> Iterator[History]:
        """What became of annotations of the scene."""
        tokens = pa.array([row["annotation_token"] for row in annotations], pa.string())
        rows = {stage: self._rows(stage, columns, tokens) for stage, columns in _COLUMNS.items()}
        rows["captions"] = self._captions(rows["views"])
        rejects = self._rows("rejects", _REJECTED, tokens)
        missing = frozenset(stage for stage in rows if not self._files(stage))
        for annotation in annotations:
            token = annotation["annotation_token"]
            yield History(
                dataset=self._scene.dataset,
                split=self._scene.split,
                scene=self._scene.name,
                annotation=annotation,
                rows={stage: _of(found, token) for stage, found in rows.items()},
                rejects=_of(rejects, token),
                missing=missing,
            )

    def _files(self, folder: Stage | Literal["rejects"]) -> list[Path]:
        files, place = Results(self._results), (self._scene.dataset, self._scene.split)
        return files.rejects_parts(*place) if folder == "rejects" else files.mined_parts(folder, *place)

    def _rows(self, folder: Stage | Literal["rejects"], columns: list[str], tokens: pa.Array) -> list[Row]:
        """Some columns of the rows of annotations, each with `annotation_token` and the `file` that holds it."""
        found: list[Row] = []
        for path in self._files(folder):
            file = storage.open_parquet(path)
            groups = storage.row_groups_with(file, "scene", self._scene.name)
            table = file.read_row_groups(groups, columns=["annotation_token", *columns])
            own = table.filter(pc.is_in(table["annotation_token"], tokens))
            found += [row | {"file": path} for row in own.to_pylist()]
        return found

    def _captions(self, views: list[Row]) -> list[Row]:
        """The captions of views, which lie in the part of the views."""
        found: list[Row] = []
        view_of = {view["view_id"]: view for view in views}
        for path in self._files("captions"):
            ids = [view["view_id"] for view in views if view["file"].name == path.name]
            if ids:
                table = storage.read_parquet(path, ["view_id", "caption"])
                captions = table.filter(pc.is_in(table["view_id"], pa.array(ids))).to_pylist()
                found += [view_of[caption["view_id"]] | caption for caption in captions]
        return found


def _of(rows: list[Row], token: str) -> list[Row]:
    return [row for row in rows if row["annotation_token"] == token]


def as_text(histories: Sequence[History]) -> str:
    """What became of annotations, in some lines for each, and their numbers where there are several."""
    blocks = [_block(history) for history in histories]
    if len(histories) > 1:
        counts = [f"{sum(bool(history.rows[stage]) for history in histories)} with {stage}" for stage in _STAGES]
        blocks.insert(0, f"{len(histories)} annotations: {', '.join(counts)}")
    return "\n\n".join(blocks)


def _block(history: History) -> str:
    lines = [f"annotation {history.annotation['annotation_token']} of {history.dataset}/{history.split}"]
    told = {"index": _index_lines(history)} | {stage: _stage_lines(history, stage) for stage in _STAGES}
    for stage, said in told.items():
        names = [stage, *[""] * (len(said) - 1)]
        lines += [f"  {name:<10}{line}" for name, line in zip(names, said, strict=True)]
    return "\n".join(lines)


def _index_lines(history: History) -> list[str]:
    row = history.annotation
    level = "unknown" if row["visibility"] is None else f"level {row['visibility']}"
    count = "unknown" if row["num_lidar_pts"] is None else row["num_lidar_pts"]
    evaluated = {True: "evaluated", False: "not evaluated", None: "unknown whether evaluated"}[row["evaluated"]]
    return [
        f"{row['category']} ({row['class_name'] or 'no class'}), instance {row['instance_token']}",
        f"scene {history.scene}, keyframe {row['keyframe']}, {row['timestamp_us']} us, {row['distance_m']:.1f} m away",
        f"visibility {level}, num_lidar_pts {count}, {evaluated} by the official benchmark",
    ]


def _stage_lines(history: History, stage: Stage) -> list[str]:
    """What a stage made of the annotation, and what it rejected; or why there is neither."""
    made = [_TEXTS[stage](row) for row in history.rows[stage]]
    stopped = [_rejected(row) for row in history.rejects if row["stage"] == stage]
    if made or stopped:
        return made + stopped
    if stage in history.missing:
        return [f"not mined yet: {stage}/{history.dataset}/{history.split} has no part"]
    needed, without = _NEEDS.get(stage, (stage, ""))
    if without and not history.rows[needed]:
        return [without]
    return ["neither made nor rejected: the part of its scene is not mined yet"]


def _cloud_text(row: Row) -> str:
    sweeps = row["num_sweeps"]
    return f"{row['num_points']} points over {sweeps} sweep{'s' * (sweeps != 1)}"


def _view_text(row: Row) -> str:
    left, upper, right, lower = row["crop_xyxy_px"]
    size = f"{right - left:.0f}x{lower - upper:.0f} px"
    return f"{row['channel']}: {size}, {row['covered_fraction']:.0%} behind nearer boxes"


def _caption_text(row: Row) -> str:
    return f"{row['channel']}: {row['caption']}"


def _triplet_text(row: Row) -> str:
    return f"with the view of {row['channel']} {row['view_time_gap_us'] / 1e6:+.2f} s from the cloud: {row['caption']}"


_TEXTS = {"clouds": _cloud_text, "views": _view_text, "captions": _caption_text, "triplets": _triplet_text}


def _rejected(row: Row) -> str:
    key = _KEYS.get((row["stage"], row["rule"]))
    governed = f"; config key {key}" if key else ""
    path = f"{row['path']}: " if row["path"] else ""
    return f"rejected by {row['rule']} ({row['kind']}{governed}): {path}{row['reason']}"
