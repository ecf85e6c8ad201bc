"""Poses of tables: of records, and of a scene's stream of ego poses."""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import geometry, plausible, schemas
from blendclip.datasets.drives.loading import Rows, Table
from blendclip.datasets.drives.structs import struct_of
from blendclip.errors import UserError
from blendclip.geometry import EgoPoses

log = logging.getLogger(__name__)

_MARGIN_US = 2_000_000  # sweeps may be this much earlier than their keyframe, and their points than the sweep
_SAME = 1e-6  # metres, and parts of a rotation matrix


class PoseStream:
    """The ego poses of all scenes: a table that does not say to which scene a pose belongs, in any order."""

    def __init__(self, ego_pose: Table) -> None:
        times_us = ego_pose.times_us
        self._order = np.argsort(times_us, kind="stable")
        self._times_us = times_us[self._order]
        self._table = ego_pose

    def between(self, start_us: int, end_us: int, scene: str) -> EgoPoses:
        """The poses of a scene whose keyframes last from start to end, and of two seconds before and after.

        A pose that is there twice is taken once; one that is not finite, has no unit quaternion, or lies aside of the
        ones before and after, is left out.

        Raises:
            UserError: two different poses have the same time, or the poses' times are in another unit.
        """
        if len(self._times_us) and (strange := plausible.wrong_unit(int(np.median(self._times_us)))):
            raise UserError(f"the timestamps in ego_pose.json are {strange}, must be microseconds since 1970")
        first, last = np.searchsorted(self._times_us, [start_us - _MARGIN_US, end_us + _MARGIN_US + 1])
        rows = self._order[first:last]
        poses = poses_of(self._table, rows)
        finite = np.isfinite(poses).all(axis=(1, 2))
        times_us, poses, rows = self._times_us[first:last][finite], poses[finite], rows[finite]
        repeated = np.concatenate([[False], np.diff(times_us) == 0])[: len(times_us)]
        for later in np.flatnonzero(repeated):
            if np.abs(poses[later] - poses[later - 1]).max() > _SAME:
                tokens = [self._table.value("token", int(rows[number])) for number in (later - 1, later)]
                raise UserError(
                    f"scene {scene} has two different ego poses at {times_us[later]} us, records {tokens[0]} "
                    f"and {tokens[1]} of ego_pose.json: remove the wrong one, or keep each vehicle's recordings in "
                    "a version of their own"
                )
        times_us, poses, rows = times_us[~repeated], poses[~repeated], rows[~repeated]
        aside = _aside(times_us, poses[..., 3])
        for number in np.flatnonzero(aside).tolist():
            log.warning(
                "record %s of ego_pose.json is left out: it is at %s, where the vehicle cannot be between the poses "
                "before and after",
                *(self._table.value("token", int(rows[number])), poses[number, :, 3].tolist()),
            )
        return EgoPoses(times_us[~aside], poses[~aside])


def _aside(times_us: NDArray[np.int64], places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether places (N, 3) at times (N,) cannot be reached from either neighbour, which reach each other (N,)."""
    aside = np.zeros(len(places), bool)
    if len(places) > 2:
        steps = plausible.lengths_m(np.diff(places, axis=0)) > plausible.reach_m(np.diff(times_us))
        over = plausible.lengths_m(places[2:] - places[:-2]) <= plausible.reach_m(times_us[2:] - times_us[:-2])
        aside[1:-1] = steps[:-1] & steps[1:] & over
    return aside


def index_rows(ego_poses: EgoPoses) -> pa.StructArray:
    """The rows of the index's column `ego_poses`."""
    kind = schemas.INDEX.field("ego_poses").type.value_type
    return struct_of(kind, timestamp_us=ego_poses.timestamp_us, global_SE3_ego=ego_poses.global_SE3_ego)


def poses_of(table: Table, rows: Rows) -> NDArray[np.float64]:
    """The poses (R, 3, 4) of rows of a table; NaN where one is not finite or has no unit quaternion."""
    if not len(rows):
        return np.empty((0, 3, 4))
    rotation, translation = table.array("rotation")[rows], table.array("translation")[rows]
    numbers = np.concatenate([rotation, translation], axis=1)
    unit = np.abs(np.linalg.norm(rotation, axis=1) - 1) <= geometry.UNIT_TOLERANCE
    known = unit & np.isfinite(numbers).all(axis=1)
    for number in np.flatnonzero(~known):
        token = table.value("token", int(rows[number]))
        log.warning("record %s has rotation and translation %s, which are no pose", token, numbers[number].tolist())
    poses = geometry.pose(np.where(known[:, None], rotation, [1.0, 0, 0, 0]), translation)
    return np.where(known[:, None, None], poses, np.nan)
