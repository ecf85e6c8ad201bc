"""Clouds: the LiDAR points of every annotation, gathered over the sweeps of its window, in its box frame."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import geometry, storage
from blendclip.errors import DataFault
from blendclip.mining.crop import place, points_in_boxes
from blendclip.mining.motion import Motion, TrackPoses
from blendclip.mining.rejects import Rejects
from blendclip.mining.scene import BROKEN_POSE, Readings, Scene, read_scenes
from blendclip.mining.sweeps import read_sweep

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CloudOptions:
    """How clouds are gathered."""

    sweeps: int = 10
    """Sweeps of each LiDAR in a cloud: the keyframe's and those before it."""
    motion: Motion = "interpolate"
    """Where a box is at a sweep's time: interpolated along its track, or kept at the keyframe ("none")."""
    min_points: int = 1
    """Annotations with fewer points become rejects."""


def gather_clouds(
    index: Path,
    root: Path,
    part: int,
    parts: int,
    output: Path,
    rejects_output: Path,
    options: CloudOptions,
    max_fault_fraction: float,
) -> int:
    """Write the clouds of one part (schema `storage.CLOUDS`) and its rejects; return the number of clouds.

    Raises:
        UserError: no index, or more broken sweeps or annotations than `max_fault_fraction`.
    """
    rejects = Rejects("clouds")
    scenes = read_scenes(index, part, parts)
    tables = rejects.checked((scene_clouds(scene, root, options, rejects) for scene in scenes), max_fault_fraction)
    rows = storage.write_parquet(output, storage.CLOUDS, tables, storage.metadata("clouds", asdict(options)))
    rejects.write(rejects_output, asdict(options))
    return rows


def scene_clouds(scene: Scene, root: Path, options: CloudOptions, rejects: Rejects) -> pa.Table:
    """The clouds of one scene, by track and time. Every sweep file is read once; what fails is noted in `rejects`."""
    annotations = scene.annotations
    rejects.attempt("annotation", len(annotations))
    for number, reason in annotations.faults.items():
        rejects.annotation(scene, number, "fault", "broken_annotation", reason)
    boxes, sweeps = _windows(scene, options.sweeps)
    poses = TrackPoses(annotations, options.motion)
    global_SE3_box = poses.at(boxes, scene.sweeps.timestamp_us[sweeps])
    box_SE3_sensor = geometry.compose(geometry.inverse(global_SE3_box), scene.sweeps.global_SE3_sensor[sweeps])

    gathered, num_sweeps = _Gathered(len(annotations)), np.zeros(len(annotations), np.int64)
    for sweep, pairs in _pairs_by_sweep(scene.sweeps, sweeps):
        rejects.attempt("sweep")
        members = boxes[pairs]
        try:
            points = _read(scene.sweeps, sweep, root)
        except DataFault as fault:
            rejects.file(scene, "sweep", scene.sweeps.path[sweep], str(fault))
            continue
        num_sweeps[members] += 1
        offsets, rows, xyz = points_in_boxes(points, box_SE3_sensor[pairs], annotations.size_lwh_m[members])
        counts = np.diff(offsets)
        lag_us = annotations.timestamp_us[members] - scene.sweeps.timestamp_us[sweep]
        gathered.add(members, counts, xyz, points[rows, 3], (lag_us * 1e-6).astype(np.float32))
    windows = np.bincount(boxes, minlength=len(annotations))
    log.info("%s: %d annotations, %d points", scene.name, len(annotations), gathered.counts.sum())
    return _table(scene, gathered, num_sweeps, windows, options, rejects)


def _read(sweeps: Readings, sweep: int, root: Path) -> NDArray[np.float32]:
    if not sweeps.usable[sweep]:
        raise DataFault(BROKEN_POSE)
    time_us, point_times = int(sweeps.timestamp_us[sweep]), bool(sweeps.point_times[sweep])
    return read_sweep(root / sweeps.path[sweep], time_us, point_times=point_times).points


def _windows(scene: Scene, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs (annotation, sweep): per channel the last `length` sweeps that serve the keyframe or an earlier one."""
    annotations, sweeps = scene.annotations, scene.sweeps
    sound = annotations.sound
    pairs = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for channel in np.unique(sweeps.channel.astype(str)):
        of_channel = np.flatnonzero(sweeps.channel == channel)
        of_channel = of_channel[np.lexsort((sweeps.timestamp_us[of_channel], sweeps.keyframe[of_channel]))]
        end = np.searchsorted(sweeps.keyframe[of_channel], annotations.keyframe[sound], side="right")
        place = end[:, None] - 1 - np.arange(length)
        in_scene = place >= 0
        pairs.append((np.repeat(sound, in_scene.sum(axis=1)), of_channel[place[in_scene]]))
    boxes, members = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return boxes, members


def _pairs_by_sweep(sweeps: Readings, sweep_of_pair: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The sweeps that serve a box, newest first, each with the numbers of its pairs."""
    order = np.argsort(sweep_of_pair, kind="stable")
    numbers, counts = np.unique(sweep_of_pair, return_counts=True)
    ends = np.cumsum(counts)
    pairs = {sweep: order[end - count : end] for sweep, end, count in zip(numbers.tolist(), ends, counts, strict=True)}
    for sweep in sorted(pairs, key=lambda number: (-sweeps.timestamp_us[number], sweeps.channel[number])):
        yield sweep, pairs[sweep]


class _Gathered:
    """Points of many boxes, as they come in."""

    def __init__(self, boxes: int) -> None:
        self.counts = np.zeros(boxes, np.int64)
        self._chunks: list[tuple[NDArray[np.int64], NDArray[np.int64], tuple[NDArray[np.float32], ...]]] = []

    def add(self, boxes: NDArray[np.int64], counts: NDArray[np.int64], *points: NDArray[np.float32]) -> None:
        """Add so many points to each of B boxes: xyz in metres (M, 3), intensity (M,), time lag in seconds (B,)."""
        self.counts[boxes] += counts
        self._chunks.append((boxes, counts, points))

    def by_box(self, boxes: NDArray[np.int64]) -> dict[str, pa.Array]:
        """The point columns for the given boxes, the points of each in the order they came in."""
        offsets = np.concatenate([[0], np.cumsum(self.counts[boxes])])
        fill = np.full(len(self.counts), -1)
        fill[boxes] = offsets[:-1]
        xyz, intensity, lag = (np.empty(shape, np.float32) for shape in ((offsets[-1], 3), offsets[-1], offsets[-1]))
        for members, counts, points in self._chunks:
            place(fill, members, counts, points, (xyz, intensity, lag))
        ends = pa.array(offsets.astype(np.int32))
        return {
            "points": pa.ListArray.from_arrays(ends, pa.FixedSizeListArray.from_arrays(pa.array(xyz.ravel()), 3)),
            "intensity": pa.ListArray.from_arrays(ends, pa.array(intensity)),
            "time_lag_s": pa.ListArray.from_arrays(ends, pa.array(lag)),
            "num_points": pa.array(self.counts[boxes], pa.int32()),
        }


def _table(
    scene: Scene,
    gathered: _Gathered,
    num_sweeps: NDArray[np.int64],
    windows: NDArray[np.int64],
    options: CloudOptions,
    rejects: Rejects,
) -> pa.Table:
    """The clouds of a scene; `num_sweeps` were read of the `windows` sweeps of each annotation."""
    annotations, counts = scene.annotations, gathered.counts
    kept = []
    for number in annotations.sound.tolist():
        if num_sweeps[number] == 0:
            reason = "every sweep of its window is broken" if windows[number] else "its keyframe has no LiDAR sweep"
            rejects.annotation(scene, number, "fault", "no_sweep", reason, blames_file=bool(windows[number]))
        elif counts[number] < options.min_points:
            reason = f"{counts[number]} LiDAR points in its box over {num_sweeps[number]} sweeps"
            rejects.annotation(scene, number, "filtered", "min_points", f"{reason}; min_points is {options.min_points}")
        else:
            kept.append(number)
    boxes = np.array(kept, np.int64)
    columns = {name: annotations.columns[name].take(boxes) for name in annotations.columns.column_names}
    columns |= gathered.by_box(boxes)
    columns |= {
        "dataset": pa.array([scene.dataset] * len(boxes)),
        "split": pa.array([scene.split] * len(boxes)),
        "scene": pa.array([scene.name] * len(boxes)),
        "sample_token": pa.array(scene.sample_token[annotations.keyframe[boxes]]),
        "rgb": pa.nulls(len(boxes)),
        "num_sweeps": pa.array(num_sweeps[boxes]),
        "distance_m": pa.array(annotations.distance_m[boxes]),
    }
    return pa.table({field.name: columns[field.name].cast(field.type) for field in storage.CLOUDS}, storage.CLOUDS)
