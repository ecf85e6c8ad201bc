"""Poses of devkit tables: of one record, and of a scene's stream of ego poses."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blendclip import geometry
from blendclip.datasets.drives.validation import strange_time
from blendclip.errors import UserError
from blendclip.geometry import EgoPoses

log = logging.getLogger(__name__)

_MARGIN_US = 2_000_000  # sweeps may be this much earlier than their keyframe, and their points than the sweep
_SAME = 1e-6  # metres, and parts of a rotation matrix


class PoseStream:
    """The ego poses of all scenes: a table that does not say to which scene a pose belongs, in any order."""

    def __init__(self, ego_pose: list[dict[str, Any]]) -> None:
        times_us = times_of(ego_pose)
        self._order = np.argsort(times_us, kind="stable")
        self._times_us = times_us[self._order]
        self._records = ego_pose

    def between(self, start_us: int, end_us: int, scene: str) -> EgoPoses:
        """The poses of a scene whose keyframes last from start to end, and of two seconds before and after.

        A pose that is there twice is taken once; one that is not finite, or has no unit quaternion, is left out.

        Raises:
            UserError: two different poses have the same time, or the poses' times are in another unit.
        """
        if len(self._times_us) and (strange := strange_time(int(np.median(self._times_us)))):
            raise UserError(f"the timestamps in ego_pose.json are {strange}, must be microseconds since 1970")
        first, last = np.searchsorted(self._times_us, [start_us - _MARGIN_US, end_us + _MARGIN_US + 1])
        records = [self._records[number] for number in self._order[first:last]]
        poses = np.array([pose_of(record) for record in records]).reshape(-1, 3, 4)
        finite = np.isfinite(poses).all(axis=(1, 2))
        times_us, poses = self._times_us[first:last][finite], poses[finite]
        tokens = np.array([record["token"] for record in records])[finite]
        repeated = np.concatenate([[False], np.diff(times_us) == 0])[: len(times_us)]
        for later in np.flatnonzero(repeated):
            if np.abs(poses[later] - poses[later - 1]).max() > _SAME:
                raise UserError(
                    f"scene {scene} has two different ego poses at {times_us[later]} us, records {tokens[later - 1]} "
                    f"and {tokens[later]} of ego_pose.json: remove the wrong one, or keep each vehicle's recordings in "
                    "a version of their own"
                )
        return EgoPoses(times_us[~repeated], poses[~repeated])


def index_rows(ego_poses: EgoPoses) -> list[dict[str, Any]]:
    """The rows of the index's column `ego_poses`."""
    poses = ego_poses.global_SE3_ego.reshape(-1, 12)
    return [
        {"timestamp_us": time_us, "global_SE3_ego": pose}
        for time_us, pose in zip(ego_poses.timestamp_us.tolist(), poses, strict=True)
    ]


def times_of(records: list[dict[str, Any]]) -> NDArray[np.int64]:
    """The `timestamp` (M,) of each record, microseconds."""
    return np.array([record["timestamp"] for record in records], np.int64)


def pose_of(record: dict[str, Any]) -> NDArray[np.float64]:
    """The pose (3, 4) of an ego_pose or calibrated_sensor record; NaN where it is not finite or no unit quaternion."""
    numbers = [*record["rotation"], *record["translation"]]
    if abs(np.linalg.norm(record["rotation"]) - 1) <= geometry.UNIT_TOLERANCE and np.isfinite(numbers).all():
        return geometry.pose(record["rotation"], record["translation"])
    log.warning("record %s has rotation and translation %s, which are no pose", record["token"], numbers)
    return np.full((3, 4), np.nan)
