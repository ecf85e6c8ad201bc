"""Clouds: the LiDAR points of every annotation, gathered over the sweeps of its window, in its box frame."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import schemas, storage
from blendclip.errors import DataFault
from blendclip.mining import rules
from blendclip.mining.agreement import Agreement, KeyframeCounts
from blendclip.mining.colors import Colorist
from blendclip.mining.crop import BoxTrajectories, Points, points_in_boxes, scatter
from blendclip.mining.keyframes import serving_sweeps
from blendclip.mining.motion import SweepTrajectories, TrackPoses
from blendclip.mining.options import CloudFaultOptions, CloudOptions
from blendclip.mining.scene import Readings, Scene, read_scenes
from blendclip.mining.scene_rejects import SceneRejects
from blendclip.mining.sweeps import Sweep, read_sweep_of

log = logging.getLogger(__name__)

_MAX_STRETCH = 1.5  # a window may last this many times what its sweeps usually take
_MIN_WINDOW_US = 500_000  # keyframes are half a second apart


def gather_clouds(
    index: Path,
    root: Path,
    part: int,
    parts: int,
    output: Path,
    rejects_output: Path,
    options: CloudOptions,
    max_fault_fraction: float,
    max_disagree_fraction: float = CloudFaultOptions.max_disagree_fraction,
) -> int:
    """Write the clouds of one part (schema `schemas.CLOUDS`) and its rejects; return the number of clouds.

    The metadata of the rejects hold the counts of `Agreement`.

    Raises:
        UserError: no index, more broken sweeps or annotations than `max_fault_fraction`, or more annotations with too
            few points than `max_disagree_fraction`.
    """
    rejects, agreement = SceneRejects("clouds"), Agreement()
    scenes = read_scenes(index, part, parts)
    tables: Iterable[pa.Table] = (scene_clouds(scene, root, options, rejects, agreement=agreement) for scene in scenes)
    tables = rejects.checked(tables, max_fault_fraction)
    tables = agreement.checked(tables, max_disagree_fraction)
    rows = storage.write_parquet(output, schemas.CLOUDS, tables, storage.metadata("clouds", asdict(options)))
    rejects.write(rejects_output, asdict(options) | {"agreement": asdict(agreement)})
    return rows


def scene_clouds(
    scene: Scene,
    root: Path,
    options: CloudOptions,
    rejects: SceneRejects,
    wanted: NDArray[np.int64] | None = None,
    agreement: Agreement | None = None,
) -> pa.Table:
    """The clouds of one scene, by track and time. Every sweep file is read once; what fails is noted in `rejects`.

    `wanted` (W,) are the valid annotations to gather, in ascending order; all of them where it is None. `agreement`
    counts how many of them have the points that the dataset says.
    """
    annotations = scene.annotations
    rejects.attempt("annotation", len(annotations))
    for number, reason in annotations.faults.items():
        rejects.annotation(scene, number, rules.BROKEN_ANNOTATION, reason)
    wanted = annotations.valid if wanted is None else wanted
    boxes, sweeps, of_keyframe = _windows(scene, wanted, options.sweeps)
    trajectories = SweepTrajectories(scene, TrackPoses(annotations, options.motion), boxes, sweeps)
    gathered, num_sweeps = _Gathered(len(annotations)), np.zeros(len(annotations), np.int64)
    keyframes = KeyframeCounts(scene, options.motion, boxes[of_keyframe], sweeps[of_keyframe])
    for sweep in np.flatnonzero(~scene.sweeps.in_time).tolist():
        rejects.attempt("sweep")
        rejects.file(scene, "sweep", scene.sweeps.path[sweep], scene.sweeps.faults[sweep])
    for sweep, pairs in _pairs_by_sweep(scene.sweeps, sweeps):
        rejects.attempt("sweep")
        members = boxes[pairs]
        try:
            file = read_sweep_of(scene, root, sweep, options.motion)
            of_sweep = trajectories.of(sweep, pairs, file.timestamp_us)
        except DataFault as fault:
            rejects.file(scene, "sweep", scene.sweeps.path[sweep], str(fault))
            continue
        num_sweeps[members] += 1
        counts, found = _points_of(scene, sweep, members, file, of_sweep)
        gathered.add(members, counts, found)
        keyframes.add(members[of_keyframe[pairs]], counts[of_keyframe[pairs]])
    if agreement is not None:
        keyframes.compare(agreement, gathered.counts)
    windows = np.bincount(boxes, minlength=len(annotations))
    log.info("%s: %d annotations, %d points", scene.name, len(annotations), gathered.counts.sum())
    kept = _kept(scene, wanted, gathered.counts, num_sweeps, windows, options, rejects)
    points = gathered.of(kept)
    colorist = Colorist(scene, root, options.motion, rejects) if options.colors else None
    rgb = colorist.rgb(kept, points.offsets, points.xyz) if colorist else pa.nulls(len(kept))
    return _table(scene, kept, num_sweeps[kept], points.columns() | {"rgb": rgb})


def _points_of(
    scene: Scene, sweep: int, boxes: NDArray[np.int64], file: Sweep, trajectories: BoxTrajectories
) -> tuple[NDArray[np.int64], Points]:
    """How many points of a sweep lie in each of B boxes (B,), and these points, by box."""
    sizes = scene.annotations.size_lwh_m[boxes]
    offsets, rows, xyz = points_in_boxes(file.points, file.timestamp_us, trajectories, sizes)
    counts = np.diff(offsets)
    measured_us = scene.sweeps.timestamp_us[sweep] if file.timestamp_us is None else file.timestamp_us[rows]
    lag_us = np.repeat(scene.annotations.timestamp_us[boxes], counts) - measured_us
    return counts, (xyz, file.points[rows, 3], (lag_us * 1e-6).astype(np.float32))


def _windows(
    scene: Scene, wanted: NDArray[np.int64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """All pairs of wanted annotation (P,) and sweep (P,), and whether the sweep is the keyframe's own (P,).

    Of each channel it is the last `length` up to the keyframe's own. A channel that has fallen silent gives nothing:
    its last sweeps show another time.
    """
    annotations, sweeps = scene.annotations, scene.sweeps
    pairs = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, bool))]
    for of_channel in serving_sweeps(scene):
        end = np.searchsorted(sweeps.keyframe[of_channel], annotations.keyframe[wanted], side="right")
        index = end[:, None] - 1 - np.arange(length)
        times_us = scene.sweeps.timestamp_us[of_channel]
        lag_us = annotations.timestamp_us[wanted][:, None] - times_us[np.maximum(index, 0)]
        usual_us = length * np.median(np.diff(times_us)) if len(times_us) > 1 else 0
        recent = (index >= 0) & (lag_us <= max(_MAX_STRETCH * usual_us, _MIN_WINDOW_US))
        members = of_channel[index[recent]]
        newest = np.broadcast_to(np.arange(length) == 0, index.shape)[recent]
        boxes = np.repeat(wanted, recent.sum(axis=1))
        pairs.append((boxes, members, newest & (sweeps.keyframe[members] == annotations.keyframe[boxes])))
    boxes, members, of_keyframe = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return boxes, members, of_keyframe


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
        self._chunks: list[tuple[NDArray[np.int64], NDArray[np.int64], Points]] = []

    def add(self, boxes: NDArray[np.int64], counts: NDArray[np.int64], points: Points) -> None:
        """Add points to B boxes (B,), `counts` (B,) of them to each in turn."""
        self.counts[boxes] += counts
        self._chunks.append((boxes, counts, points))

    def of(self, boxes: NDArray[np.int64]) -> _PointsOfBoxes:
        """All points of the given boxes (B,), those of each in the order they came in."""
        offsets = np.concatenate([[0], np.cumsum(self.counts[boxes])])
        fill = np.full(len(self.counts), -1)
        fill[boxes] = offsets[:-1]
        xyz, intensity, lag = (np.empty(shape, np.float32) for shape in ((offsets[-1], 3), offsets[-1], offsets[-1]))
        for members, counts, points in self._chunks:
            scatter(fill, members, counts, points, (xyz, intensity, lag))
        return _PointsOfBoxes(offsets, xyz, intensity, lag)


@dataclass(frozen=True)
class _PointsOfBoxes:
    """M points of B boxes: box b owns offsets[b]:offsets[b + 1]."""

    offsets: NDArray[np.int64]
    """(B + 1,)"""
    xyz: NDArray[np.float32]
    """(M, 3) metres, box frame."""
    intensity: NDArray[np.float32]
    """(M,) NaN where the sensor gives none."""
    time_lag_s: NDArray[np.float32]
    """(M,) by how much each is older than its keyframe."""

    def columns(self) -> dict[str, pa.Array]:
        """As columns of clouds."""
        ends = pa.array(self.offsets.astype(np.int32))
        intensity = pa.ListArray.from_arrays(ends, pa.array(self.intensity))
        has_intensity = not len(self.intensity) or np.isfinite(self.intensity).any()
        xyz = pa.FixedSizeListArray.from_arrays(pa.array(self.xyz.ravel()), 3)
        return {
            "points": pa.ListArray.from_arrays(ends, xyz),
            "intensity": intensity if has_intensity else pa.nulls(len(intensity)),
            "time_lag_s": pa.ListArray.from_arrays(ends, pa.array(self.time_lag_s)),
            "num_points": pa.array(np.diff(self.offsets), pa.int32()),
        }


def _kept(
    scene: Scene,
    wanted: NDArray[np.int64],
    counts: NDArray[np.int64],
    num_sweeps: NDArray[np.int64],
    windows: NDArray[np.int64],
    options: CloudOptions,
    rejects: SceneRejects,
) -> NDArray[np.int64]:
    """The wanted annotations (W,) that make a cloud; the others become rejects.

    For each of the N annotations of the scene, `counts` (N,) points lie in its box over `num_sweeps` (N,) sweeps, the
    ones that could be read of the `windows` (N,) sweeps of its window.
    """
    kept = []
    for number in wanted.tolist():
        if num_sweeps[number] == 0:
            reason = rules.WINDOW_BROKEN if windows[number] else rules.WINDOW_EMPTY
            rejects.annotation(scene, number, rules.NO_SWEEP, reason, blames_file=bool(windows[number]))
        elif counts[number] < options.min_points:
            values = {"points": counts[number], "sweeps": num_sweeps[number], "least": options.min_points}
            rejects.annotation(scene, number, rules.MIN_POINTS, rules.MIN_POINTS.reason(**values))
        else:
            kept.append(number)
    return np.array(kept, np.int64)


def _table(
    scene: Scene, boxes: NDArray[np.int64], num_sweeps: NDArray[np.int64], points: dict[str, pa.Array]
) -> pa.Table:
    """The clouds of boxes (B,) of a scene."""
    annotations = scene.annotations
    columns = {name: annotations.columns[name].take(boxes) for name in annotations.columns.column_names}
    columns |= points
    columns |= {
        "dataset": pa.array([scene.dataset] * len(boxes)),
        "split": pa.array([scene.split] * len(boxes)),
        "scene": pa.array([scene.name] * len(boxes)),
        "sample_token": pa.array(scene.sample_token[annotations.keyframe[boxes]]),
        "num_sweeps": pa.array(num_sweeps),
        "distance_m": pa.array(annotations.distance_m[boxes]),
    }
    return pa.table({field.name: columns[field.name].cast(field.type) for field in schemas.CLOUDS}, schemas.CLOUDS)
