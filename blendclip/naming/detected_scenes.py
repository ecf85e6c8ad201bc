"""Detections of a scene as if they were its annotations, so that mining gathers their clouds over sweeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip.mining.clouds import scene_clouds
from blendclip.mining.options import CloudOptions
from blendclip.mining.scene import Annotations, Scene
from blendclip.mining.scene_rejects import SceneRejects
from blendclip.naming.detections import Boxes
from blendclip.naming.sources import clouds_of

_BEFORE_US = 1_000_000  # by how much the second pose that gives a box its velocity is older


@dataclass(frozen=True)
class DetectedClouds:
    """Clouds of M detections of a scene."""

    clouds: list[NDArray[np.float32] | None]
    """(n, 3) of each, in its box frame, or (n, 6) with colors; None where no point lies in it."""
    broken_sweeps: int
    """Sweeps that could not be read."""


def detected_clouds(
    scene: Scene, root: Path, boxes: Boxes, keyframe: NDArray[np.int64], options: CloudOptions
) -> DetectedClouds:
    """The clouds of the detections of a scene, gathered over sweeps as mining does it.

    A box moves along its track where the tracker saw it at several keyframes, else at the velocity of the detector, if
    it tells one.

    Args:
        scene: its annotations are not looked at.
        root: the dataset's folder.
        boxes: M detections, (M, 10), in the global frame.
        keyframe: (M,) of each, counted in the scene.
        options: how clouds are gathered.
    """
    clouds: list[NDArray[np.float32] | None] = [None] * len(boxes)
    usable = np.flatnonzero(~boxes.broken)
    if not len(usable):
        return DetectedClouds(clouds, 0)
    annotations, wanted = _annotations(scene, boxes, keyframe, usable)
    rejects = SceneRejects("clouds")
    table = scene_clouds(replace(scene, annotations=annotations), root, options, rejects, wanted)
    numbers = [int(token) for token in table["annotation_token"].to_pylist()]
    for number, cloud in zip(numbers, clouds_of(table, options.colors), strict=True):
        clouds[number] = cloud
    return DetectedClouds(clouds, len(rejects.broken.get("sweep", [])))


def _annotations(
    scene: Scene, boxes: Boxes, keyframe: NDArray[np.int64], usable: NDArray[np.int64]
) -> tuple[Annotations, NDArray[np.int64]]:
    """Annotations of the usable boxes (U,), some with an older pose beside them, and which of all are the boxes."""
    track = _tracks(boxes, keyframe, usable)
    moving = _moving(boxes, track, usable)
    source = np.concatenate([usable, usable[moving]])
    is_older = np.arange(len(source)) >= len(usable)
    of_track = np.concatenate([track, track[moving]])
    time_us = scene.keyframe_us[keyframe[source]] - is_older * _BEFORE_US
    order = np.lexsort((time_us, of_track))
    source, is_older, of_track, time_us = source[order], is_older[order], of_track[order], time_us[order]
    translation = boxes.values[source, :3].copy()
    velocity_mps = np.nan_to_num(boxes.velocity_mps[source])
    translation[:, :2] -= is_older[:, None] * velocity_mps * (_BEFORE_US * 1e-6)
    arrays = {
        "timestamp_us": time_us,
        "translation": translation,
        "rotation_wxyz": boxes.values[source, 6:],
        "size_lwh_m": boxes.values[source, 3:6],
    }
    token = np.array([str(number) for number in source], object)
    annotations = Annotations(
        token=token,
        track=of_track,
        keyframe=keyframe[source],
        visibility=np.full(len(source), np.nan),
        distance_m=np.linalg.norm(translation[:, :2] - scene.global_SE3_ego[keyframe[source], :2, 3], axis=1),
        category=np.full(len(source), "detection", object),
        faults={},
        columns=_columns(token, arrays),
        **arrays,
    )
    return annotations, np.flatnonzero(~is_older)


def _tracks(boxes: Boxes, keyframe: NDArray[np.int64], usable: NDArray[np.int64]) -> NDArray[np.int64]:
    """(U,) the track of each box: that of its tracking_id, or one of its own, also where the id comes twice at once."""
    known: dict[str, int] = {}
    seen: set[tuple[str, int]] = set()
    track = np.arange(len(usable)) + len(usable)
    for place, number in enumerate(usable.tolist()):
        name = boxes.tracking_id[number]
        key = (name or "", int(keyframe[number]))
        if name is None or key in seen:
            continue
        seen.add(key)
        track[place] = known.setdefault(name, len(known))
    return track


def _moving(boxes: Boxes, track: NDArray[np.int64], usable: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places among the usable boxes of those that are alone in their track and have a velocity."""
    alone = np.bincount(track)[track] == 1
    return np.flatnonzero(alone & np.isfinite(boxes.velocity_mps[usable]).all(axis=1))


def _columns(token: NDArray, arrays: dict[str, NDArray]) -> pa.Table:
    """What mining passes on from annotations; of detections it knows little."""
    count = len(token)
    lists = {name: list(values) for name, values in arrays.items() if values.ndim == 2}
    nothing = {
        "category": pa.string(),
        "class_name": pa.string(),
        "velocity_mps": pa.list_(pa.float64()),
        "visibility": pa.int8(),
        "num_lidar_pts": pa.int32(),
        "evaluated": pa.bool_(),
    }
    return pa.table(
        {"annotation_token": token, "instance_token": token, "timestamp_us": arrays["timestamp_us"]}
        | lists
        | {name: pa.nulls(count, kind) for name, kind in nothing.items()}
    )
