"""A detector's boxes, named: over a scene index or in a single sweep, as Parquet and as results under new names.

Letters in names: M boxes, D width of an embedding.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import storage
from blendclip.errors import UserError
from blendclip.evaluation.zero_shot import unit
from blendclip.mining.options import CloudOptions
from blendclip.mining.scene import Scene, read_scenes
from blendclip.naming.cloud_files import read_cloud
from blendclip.naming.crops import crop, rotations_of
from blendclip.naming.detected_scenes import detected_clouds
from blendclip.naming.detections import Boxes, boxes_of, read_boxes, read_results, renamed
from blendclip.naming.predictions import SCHEMA as PREDICTION
from blendclip.naming.predictions import Predictions
from blendclip.naming.tables import EMBEDDING, about, embedding_column, parquet_path

if TYPE_CHECKING:
    from blendclip.evaluation.class_weights import ClassWeights
    from blendclip.model import Model

BOXES = pa.schema(
    [
        ("cloud_id", pa.string()),  # sample_token or sweep, and the number of the box there
        ("sample_token", pa.string()),  # null of a single sweep
        ("scene", pa.string()),
        ("box", pa.int32()),  # its number in the sample or sweep
        ("tracking_id", pa.string()),
        ("detector_name", pa.string()),
        ("detector_score", pa.float32()),
        ("translation", pa.list_(pa.float64(), 3)),  # of the centre, metres, frame of the results or the sweep
        ("size_lwh_m", pa.list_(pa.float64(), 3)),
        ("rotation_wxyz", pa.list_(pa.float64(), 4)),
        ("num_points", pa.int32()),  # of its own cloud
        *PREDICTION,  # by the mean embedding of all boxes with its tracking_id in the scene
        *EMBEDDING,  # that mean; null where none of them holds a point
    ]
)


@dataclass
class NamedBoxes:
    """What became of a detector's boxes."""

    files: list[Path]
    """That were written."""
    names: Counter[str] = field(default_factory=Counter)
    """How many boxes got each name."""
    unnamed: Counter[str] = field(default_factory=Counter)
    """How many kept the detector's name, for which reason."""
    notes: Counter[str] = field(default_factory=Counter)
    """What else is worth saying, and how often it was so."""

    def summary(self) -> str:
        """A line on names, a line on each reason."""
        told = ", ".join(f"{count} {name}" for name, count in self.names.most_common()) or "none"
        lines = [f"{self.names.total()} boxes named: {told}"]
        lines += [f"{count} boxes not named: {reason}" for reason, count in self.unnamed.most_common()]
        return "\n".join([*lines, *(f"{count} {note}" for note, count in self.notes.most_common())])


def name_results(
    model: Model,
    boxes: Path,
    index: Path,
    weights: ClassWeights,
    *,
    root: Path,
    output: Path,
    json_output: Path | None = None,
    sweeps: int = 10,
    top: int = 5,
) -> NamedBoxes:
    """Name the boxes of nuScenes detection or tracking results over the scenes of an index.

    Writes Parquet (schema `BOXES`, a row for each box of a known sample) and the results with `detection_name`, or
    `tracking_name`, replaced and the cosine as `name_score`. A box without points keeps the detector's name.

    Args:
        model: what names.
        boxes: the results.
        index: scene index that their sample tokens are of.
        weights: the classes to choose from.
        root: the dataset's folder.
        output: Parquet to write.
        json_output: results to write; beside the output by default.
        sweeps: of each LiDAR in a cloud, up to the keyframe's.
        top: how many of the best classes to write for each box.

    Raises:
        UserError: a file is missing or broken, or no box is of a sample of the index.
    """
    json_output = json_output or parquet_path(output).with_suffix(".json")
    if json_output.resolve() == boxes.resolve():
        raise UserError(f"{boxes} would be written over: give another --json")
    content = read_results(boxes)
    named = NamedBoxes([output, json_output])
    options = CloudOptions(sweeps=sweeps, colors=model.encoder.config.colors)
    left = dict.fromkeys(content["results"])

    def tables() -> Iterator[pa.Table]:
        for scene in read_scenes(index, 0, 1):
            tokens = [token for token in scene.sample_token.tolist() if token in left]
            for token in tokens:
                left.pop(token)
            if tokens:
                yield _of_scene(model, scene, root, content["results"], tokens, weights, options, top, named)

    storage.write_parquet(output, BOXES, tables(), about(model, classes=weights.names, sweeps=sweeps))
    if unknown := sum(len(content["results"][token]) for token in left):
        named.unnamed[f"their sample_token is not in {index}"] += unknown
    if content["results"] and len(left) == len(content["results"]):
        output.unlink()
        raise UserError(f"no sample_token of {boxes} is in {index}: give the index of the split it is of")
    with storage.replacing(json_output) as temporary:
        temporary.write_text(json.dumps(content))
    return named


def name_sweep(model: Model, sweep: Path, boxes: Path, weights: ClassWeights, output: Path, top: int = 5) -> NamedBoxes:
    """Name the boxes of one sweep and write Parquet (schema `BOXES`).

    Args:
        model: what names.
        sweep: a file that `read_cloud` reads.
        boxes: .csv or .parquet, as `read_boxes` takes it, in the frame of the sweep.
        weights: the classes to choose from.
        output: Parquet to write.
        top: how many of the best classes to write for each box.

    Raises:
        UserError: a file is missing or broken.
    """
    found, points = read_boxes(boxes), read_cloud(sweep)
    usable = np.flatnonzero(~found.broken)
    clouds: list[NDArray[np.float32] | None] = [None] * len(found)
    for number, cloud in zip(usable.tolist(), crop(points, found.values[usable]), strict=True):
        clouds[number] = cloud
    named = NamedBoxes([parquet_path(output)])
    predictions, embeddings_MD = _predicted(model, found, clouds, weights, top)
    _count(named, found, clouds, predictions)
    who = [{"cloud_id": f"{sweep}:{number}", "box": number} for number in range(len(found))]
    table = _table(who, found, clouds, predictions, embeddings_MD)
    storage.write_parquet(output, BOXES, [table], about(model, classes=weights.names))
    return named


def _of_scene(
    model: Model,
    scene: Scene,
    root: Path,
    results: dict[str, list[dict[str, Any]]],
    tokens: list[str],
    weights: ClassWeights,
    options: CloudOptions,
    top: int,
    named: NamedBoxes,
) -> pa.Table:
    """The boxes of a scene's samples as rows; their names are written into `results`."""
    who = [(token, number) for token in tokens for number in range(len(results[token]))]
    boxes = boxes_of([results[token][number] for token, number in who], f"scene {scene.name}")
    keyframe_of = {token: number for number, token in enumerate(scene.sample_token.tolist())}
    keyframe = np.array([keyframe_of[token] for token, _ in who], np.int64)
    gathered = detected_clouds(scene, root, boxes, keyframe, options)
    if gathered.broken_sweeps:
        named.notes["sweeps could not be read"] += gathered.broken_sweeps
    predictions, embeddings_MD = _predicted(model, boxes, gathered.clouds, weights, top)
    _count(named, boxes, gathered.clouds, predictions)
    for (token, number), best in zip(who, predictions, strict=True):
        if best:
            results[token][number] = renamed(results[token][number], *best[0])
    rows = [
        {"cloud_id": f"{token}/{number}", "sample_token": token, "scene": scene.name, "box": number}
        for token, number in who
    ]
    return _table(rows, boxes, gathered.clouds, predictions, embeddings_MD)


def _predicted(
    model: Model, boxes: Boxes, clouds: list[NDArray[np.float32] | None], weights: ClassWeights, top: int
) -> tuple[Predictions, NDArray[np.float32]]:
    """What the boxes are, and the embeddings (M, D) by which: means over a tracking_id; broken boxes have none."""
    width = model.encoder.config.out_dim
    embeddings_MD = model.encode(clouds) if clouds else np.empty((0, width), np.float32)
    embeddings_MD = _track_means(embeddings_MD, boxes.tracking_id)
    embeddings_MD[boxes.broken] = np.nan
    return model.named(embeddings_MD, weights, top), embeddings_MD


def _track_means(embeddings_MD: NDArray[np.float32], tracking_id: list[str | None]) -> NDArray[np.float32]:
    """The unit mean over the boxes of a track that hold points, for all its boxes."""
    members: dict[str, list[int]] = {}
    for number, name in enumerate(tracking_id):
        if name is not None:
            members.setdefault(name, []).append(number)
    means_MD = embeddings_MD.copy()
    for numbers in members.values():
        seen = [number for number in numbers if not np.isnan(embeddings_MD[number]).any()]
        if seen:
            means_MD[numbers] = unit(embeddings_MD[seen].mean(axis=0, keepdims=True), "tracks")
    return means_MD


def _count(named: NamedBoxes, boxes: Boxes, clouds: list[NDArray[np.float32] | None], predictions: Predictions) -> None:
    for broken, cloud, name in zip(boxes.broken, clouds, predictions.names, strict=True):
        if name is not None:
            named.names[name] += 1
            if cloud is None:
                named.notes["boxes hold no point and are named by their track"] += 1
        else:
            named.unnamed["not finite, of no size, or of no rotation" if broken else "no point of any sweep"] += 1


def _table(
    who: list[dict[str, Any]],
    boxes: Boxes,
    clouds: list[NDArray[np.float32] | None],
    predictions: Predictions,
    embeddings_MD: NDArray[np.float32],
) -> pa.Table:
    columns = {name: [row.get(name) for row in who] for name in ("cloud_id", "sample_token", "scene", "box")}
    columns |= {"tracking_id": boxes.tracking_id, "detector_name": boxes.name, "detector_score": boxes.score}
    columns |= {"translation": list(boxes.values[:, :3]), "size_lwh_m": list(boxes.values[:, 3:6])}
    columns["rotation_wxyz"] = list(rotations_of(boxes.values))
    columns["num_points"] = [0 if cloud is None else len(cloud) for cloud in clouds]
    arrays = {name: pa.array(values, BOXES.field(name).type) for name, values in columns.items()}
    arrays |= {name: predictions.table[name] for name in PREDICTION.names}
    return pa.table(arrays | {"embedding": embedding_column(embeddings_MD)}, BOXES)
