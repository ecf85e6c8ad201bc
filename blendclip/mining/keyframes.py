"""The LiDAR points of a keyframe, split into those in boxes, which move with them, and the rest, which stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blendclip.mining.crop import points_in_boxes, points_in_frame
from blendclip.mining.motion import EgoMotion, TrackPoses, box_trajectories
from blendclip.mining.options import Motion
from blendclip.mining.scene import Scene
from blendclip.mining.sweeps import read_sweep_of


@dataclass(frozen=True)
class SplitSweep:
    """The finite points of a sweep: N in no box, M in boxes."""

    rest_global: NDArray[np.float64]
    """(N, 3) in the global frame, metres."""
    box: NDArray[np.int64]
    """(M,) index of each point's box among the boxes asked for."""
    xyz_box: NDArray[np.float32]
    """(M, 3) in the frame of its box, metres."""


def serving_sweeps(scene: Scene) -> Iterator[NDArray[np.int64]]:
    """The numbers of the sweeps that serve keyframes, (S,) for each LiDAR, by channel and in order.

    Of those that name a keyframe it is the ones up to its own, which is nearest to it: a recording may go on after the
    last keyframe. Sweeps with wrong time stamps are left out.
    """
    sweeps = scene.sweeps
    gap_us = np.abs(sweeps.timestamp_us - scene.keyframe_us[sweeps.keyframe])
    for channel in np.unique(sweeps.channel.astype(str)):
        own = np.flatnonzero((sweeps.channel == channel) & sweeps.in_time)
        own = own[np.lexsort((sweeps.timestamp_us[own], sweeps.keyframe[own]))]
        nearest_first = own[np.lexsort((gap_us[own], sweeps.keyframe[own]))]
        keyframes, first = np.unique(sweeps.keyframe[nearest_first], return_index=True)
        end_us = sweeps.timestamp_us[nearest_first[first]][np.searchsorted(keyframes, sweeps.keyframe[own])]
        yield own[sweeps.timestamp_us[own] <= end_us]


def newest_sweeps(scene: Scene, keyframe: int) -> list[int]:
    """The number of the keyframe's own sweep of each LiDAR, by channel."""
    of_keyframe = [own[scene.sweeps.keyframe[own] == keyframe] for own in serving_sweeps(scene)]
    return [int(own[-1]) for own in of_keyframe if len(own)]


def split_sweep(
    scene: Scene,
    root: Path,
    sweep: int,
    boxes: NDArray[np.int64],
    poses: TrackPoses,
    ego: EgoMotion,
    motion: Motion,
) -> SplitSweep:
    """The points of a sweep in each of the boxes (B,), which are valid annotations, and outside of all of them.

    `motion` says whether points are taken at their own times, as in `read_sweep_of`.

    Raises:
        DataFault: the file is broken, or where its sensor was is not known.
    """
    file = read_sweep_of(scene, root, sweep, motion)
    timestamps_us, global_SE3_sensor = ego.of_sensor(sweep, file.timestamp_us)
    rest = np.isfinite(file.points[:, :3]).all(axis=1)
    box, xyz_box = np.empty(0, np.int64), np.empty((0, 3), np.float32)
    if len(boxes):
        trajectories = box_trajectories(poses, boxes, timestamps_us, global_SE3_sensor)
        sizes = scene.annotations.size_lwh_m[boxes]
        offsets, rows, xyz_box = points_in_boxes(file.points, file.timestamp_us, trajectories, sizes)
        rest[rows] = False
        box = np.repeat(np.arange(len(boxes)), np.diff(offsets))
    points_global = points_in_frame(file.points, file.timestamp_us, timestamps_us, global_SE3_sensor)
    return SplitSweep(points_global[rest], box, xyz_box)
