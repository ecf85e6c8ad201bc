"""Where a tracked box is at any time, and how it moves before a sensor that moves itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blendclip import geometry
from blendclip.errors import DataFault
from blendclip.mining import rules
from blendclip.mining.crop import BoxTrajectories
from blendclip.mining.options import Motion
from blendclip.mining.scene import Annotations, Scene

# Between the timestamps of a trajectory poses are blended linearly, which leaves out how they turn. In a slice of h
# seconds that is at most h^2 / 8 (w_ego^2 r + 2 w_box (v + w_ego r) + w_box^2 d): 0.3 mm for a box of d = 10 m that
# passes at v = 30 m/s r = 100 m away, with ego and box turning at w = 0.5 rad/s; 1.2 mm at 1 rad/s.
_SLICE_US = 5_000
_BEYOND_US = 300_000  # of the recorded ego poses: the first sweep of a scene begins before them
_MARGIN_US = 1_000_000  # around a scene's sweeps: recorded ego poses may go on for hours


class TrackPoses:
    """Poses of the boxes of a scene, over time."""

    def __init__(self, annotations: Annotations, motion: Motion) -> None:
        valid = annotations.valid
        self.motion = motion
        self._row_of = np.full(len(annotations), -1)
        self._row_of[valid] = np.arange(len(valid))
        self._track = annotations.track[valid]
        self._time_us = annotations.timestamp_us[valid]
        self._translation = annotations.translation[valid]
        rotation = annotations.rotation_wxyz[valid]
        self._rotation_wxyz = rotation / np.linalg.norm(rotation, axis=1, keepdims=True)
        self._first = np.searchsorted(self._track, self._track, side="left")
        self._last = np.searchsorted(self._track, self._track, side="right") - 1

    def trajectories(self, annotation: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Annotations (T,) that between them move as all of the given ones (B,) do, and which of them each follows."""
        track = self._track[self._row_of[annotation]]
        key = annotation if self.motion == "none" else track
        _, leaders, trajectory = np.unique(key, return_index=True, return_inverse=True)
        return annotation[leaders], trajectory

    def at(self, annotation: NDArray[np.int64], timestamp_us: NDArray[np.int64]) -> NDArray[np.float64]:
        """`global_SE3_box` (M, 3, 4) of the tracks of valid annotations (M,) at times (M,).

        Between two annotations the centre moves linearly and the rotation on the shorter arc (slerp); beyond the ends
        of a track both go on at constant velocity; a track of one annotation stands still. With motion "none" the box
        keeps the pose of its annotation at all times.
        """
        row = self._row_of[annotation]
        if self.motion == "none" or not len(row):
            return geometry.pose(self._rotation_wxyz[row], self._translation[row])
        before = self._segment(row, timestamp_us)
        after = np.minimum(before + 1, self._last[row])
        span_us = self._time_us[after] - self._time_us[before]
        amount = (timestamp_us - self._time_us[before]) / np.where(span_us == 0, 1, span_us)
        amount = np.where(span_us == 0, 0.0, amount)
        a, b = self._translation[before], self._translation[after]
        rotation = geometry.slerp(self._rotation_wxyz[before], self._rotation_wxyz[after], amount)
        return geometry.pose(rotation, a + amount[:, None] * (b - a))

    def _segment(self, row: NDArray[np.int64], timestamp_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows (M,) that start the segments of the tracks in which, or next to which, the times (M,) lie."""
        start_us = min(self._time_us.min(), timestamp_us.min())
        span_us = max(self._time_us.max(), timestamp_us.max()) - start_us + 1
        keys = self._track * span_us + (self._time_us - start_us)
        wanted = self._track[row] * span_us + (timestamp_us - start_us)
        last_segment = np.maximum(self._last[row] - 1, self._first[row])
        segment: NDArray[np.int64] = np.searchsorted(keys, wanted, side="right") - 1
        return np.clip(segment, self._first[row], last_segment)


class EgoMotion:
    """Where the ego vehicle is at closely spaced timestamps of a scene, so that each sweep only looks it up."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._timestamps_us = np.empty(0, np.int64)
        self._global_SE3_ego = np.empty((0, 3, 4))
        times_us = scene.sweeps.timestamp_us[scene.sweeps.usable & scene.sweeps.point_times]
        recorded_us = scene.ego_poses.timestamp_us
        if len(recorded_us) and len(times_us):
            first_us, last_us = times_us.min() - _MARGIN_US, times_us.max() + _MARGIN_US
            known_us = np.concatenate([recorded_us, scene.annotations.timestamp_us])
            known_us = known_us[(known_us >= first_us) & (known_us <= last_us)]
            self._timestamps_us = np.union1d(known_us, np.arange(first_us, last_us + _SLICE_US, _SLICE_US))
            self._global_SE3_ego = scene.ego_poses.at(self._timestamps_us, max_beyond_us=_BEYOND_US)

    def of_sensor(
        self, sweep: int, point_times_us: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Timestamps (K,) that enclose the times (N,) of a sweep's points, and `global_SE3_sensor` (K, 3, 4) then.

        Without times of points it is the one timestamp of the sweep. Points that are compensated for the vehicle's
        motion lie in the frame of the sweep's timestamp at all times.

        Raises:
            DataFault: the ego pose is not known at some of these times.
        """
        sweeps = self._scene.sweeps
        if point_times_us is None:
            return sweeps.timestamp_us[[sweep]], sweeps.global_SE3_sensor[[sweep]]
        first_us, last_us = point_times_us.min(), point_times_us.max()
        first = np.searchsorted(self._timestamps_us, first_us, side="right") - 1
        end = np.searchsorted(self._timestamps_us, last_us, side="left") + 1
        if sweeps.motion_compensated[sweep]:
            global_SE3_sensor = np.repeat(sweeps.global_SE3_sensor[[sweep]], end - first, axis=0)
        else:
            global_SE3_ego = self._global_SE3_ego[max(first, 0) : end]
            global_SE3_sensor = geometry.compose(global_SE3_ego, sweeps.ego_SE3_sensor[sweep])
        if first < 0 or end > len(self._timestamps_us) or not np.isfinite(global_SE3_sensor).all():
            raise DataFault(rules.NO_EGO_POSES.format(first_us=first_us, last_us=last_us))
        return self._timestamps_us[first:end], global_SE3_sensor


def box_trajectories(
    poses: TrackPoses,
    boxes: NDArray[np.int64],
    timestamps_us: NDArray[np.int64],
    global_SE3_sensor: NDArray[np.float64],
) -> BoxTrajectories:
    """Valid annotations (B,) before a sensor that is at `global_SE3_sensor` (K, 3, 4) at timestamps (K,)."""
    leaders, trajectory = poses.trajectories(boxes)
    shape = (len(leaders), len(timestamps_us))
    global_SE3_box = poses.at(np.repeat(leaders, shape[1]), np.tile(timestamps_us, shape[0])).reshape(*shape, 3, 4)
    box_SE3_sensor = geometry.compose(geometry.inverse(global_SE3_box), global_SE3_sensor)
    return BoxTrajectories(timestamps_us, box_SE3_sensor, trajectory)


class SweepTrajectories:
    """Trajectories of boxes before the sensors of the sweeps that serve them.

    `boxes` (P,) are valid annotations and `sweeps` (P,) the sweep of each: the pairs whose numbers `of` takes.
    """

    def __init__(self, scene: Scene, poses: TrackPoses, boxes: NDArray[np.int64], sweeps: NDArray[np.int64]) -> None:
        self._sweeps, self._poses, self._boxes = scene.sweeps, poses, boxes
        self._ego = EgoMotion(scene)
        # At the time of the sweep, all at once: sweep by sweep it would take a third of the time of gathering.
        still = np.flatnonzero(~scene.sweeps.point_times[sweeps] | (poses.motion != "per_point"))
        global_SE3_box = poses.at(boxes[still], scene.sweeps.timestamp_us[sweeps[still]])
        self._box_SE3_sensor = np.empty((len(boxes), 1, 3, 4))
        self._box_SE3_sensor[still, 0] = geometry.compose(
            geometry.inverse(global_SE3_box), scene.sweeps.global_SE3_sensor[sweeps[still]]
        )

    def of(self, sweep: int, pairs: NDArray[np.int64], point_times_us: NDArray[np.int64] | None) -> BoxTrajectories:
        """The boxes of a sweep's pairs (B,) at the times (N,) of its points, or without these at the sweep's time.

        Raises:
            DataFault: the ego pose is not known at some of these times.
        """
        if point_times_us is None:
            at_us = self._sweeps.timestamp_us[[sweep]]
            return BoxTrajectories(at_us, self._box_SE3_sensor[pairs], np.arange(len(pairs)))
        return box_trajectories(self._poses, self._boxes[pairs], *self._ego.of_sensor(sweep, point_times_us))
