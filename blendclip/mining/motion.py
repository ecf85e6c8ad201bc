"""Where a tracked box is at any time: between, before and after its annotations."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from blendclip import geometry
from blendclip.mining.scene import Annotations

Motion = Literal["interpolate", "none"]


class TrackPoses:
    """Poses of the boxes of a scene, over time."""

    def __init__(self, annotations: Annotations, motion: Motion) -> None:
        sound = annotations.sound
        self.motion = motion
        self._row_of = np.full(len(annotations), -1)
        self._row_of[sound] = np.arange(len(sound))
        self._track = annotations.track[sound]
        self._time_us = annotations.timestamp_us[sound]
        self._translation = annotations.translation[sound]
        rotation = annotations.rotation_wxyz[sound]
        self._rotation_wxyz = rotation / np.linalg.norm(rotation, axis=1, keepdims=True)
        self._first = np.searchsorted(self._track, self._track, side="left")
        self._last = np.searchsorted(self._track, self._track, side="right") - 1

    def at(self, annotation: NDArray[np.int64], timestamp_us: NDArray[np.int64]) -> NDArray[np.float64]:
        """`global_SE3_box` (M, 3, 4) of the tracks of sound annotations (M,) at times (M,).

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
        """The annotation that starts the segment of the track in which, or next to which, each time lies."""
        start_us = min(self._time_us.min(), timestamp_us.min())
        span_us = max(self._time_us.max(), timestamp_us.max()) - start_us + 1
        keys = self._track * span_us + (self._time_us - start_us)
        wanted = self._track[row] * span_us + (timestamp_us - start_us)
        last_segment = np.maximum(self._last[row] - 1, self._first[row])
        return np.clip(np.searchsorted(keys, wanted, side="right") - 1, self._first[row], last_segment)
