"""Poses of tables: of records, and of a scene's stream of ego poses."""

from __future__ import annotations

import logging
from collections.abc import Callable

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

        def named(*numbers: int) -> str:
            tokens = " and ".join(str(self._table.value("token", int(rows[number]))) for number in numbers)
            return f"record{'s' if len(numbers) > 1 else ''} {tokens} of ego_pose.json"

        mend = "remove the wrong one, or keep each vehicle's recordings in a version of their own"
        return path_of(self._times_us[first:last], poses_of(self._table, rows), scene, named, mend)


def path_of(
    times_us: NDArray[np.int64], poses: NDArray[np.float64], scene: str, named: Callable[..., str], mend: str
) -> EgoPoses:
    """The path of a vehicle from records of its poses (E, 3, 4) at ascending times (E,), NaN where they are no poses.

    A pose that is there twice is taken once; one that is not finite, or lies aside of the ones before and after, is
    left out. `named` says in words which records some numbers are, `mend` what to do about two at one time.

    Raises:
        UserError: two different poses have the same time.
    """
    kept = np.flatnonzero(np.isfinite(poses).all(axis=(1, 2)))
    repeated = np.concatenate([[False], np.diff(times_us[kept]) == 0])[: len(kept)]
    for before, later in zip(kept[np.flatnonzero(repeated) - 1], kept[repeated], strict=True):
        if np.abs(poses[later] - poses[before]).max() > _SAME:
            both = named(int(before), int(later))
            raise UserError(f"scene {scene} has two different ego poses at {times_us[later]} us, {both}: {mend}")
    kept = kept[~repeated]
    aside = _aside(times_us[kept], poses[kept, :, 3])
    for number in kept[aside].tolist():
        log.warning(
            "%s is left out: it is at %s, where the vehicle cannot be between the poses before and after",
            *(named(number), poses[number, :, 3].tolist()),
        )
    return EgoPoses(times_us[kept[~aside]], poses[kept[~aside]])


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
    return known_poses(rotation, translation, lambda number: f"record {table.value('token', int(rows[number]))}")


def known_poses(
    rotation_wxyz: NDArray[np.float64], translation: NDArray[np.float64], named: Callable[[int], str]
) -> NDArray[np.float64]:
    """Poses (R, 3, 4) of quaternions (R, 4) and translations (R, 3), metres; NaN, and said, where they are none.

    `named` says in words which record a number is.
    """
    numbers = np.concatenate([rotation_wxyz, translation], axis=1)
    unit = np.abs(np.linalg.norm(rotation_wxyz, axis=1) - 1) <= geometry.UNIT_TOLERANCE
    known = unit & np.isfinite(numbers).all(axis=1)
    for number in np.flatnonzero(~known).tolist():
        log.warning("%s has rotation and translation %s, which are no pose", named(number), numbers[number].tolist())
    poses = geometry.pose(np.where(known[:, None], rotation_wxyz, [1.0, 0, 0, 0]), translation)
    return np.where(known[:, None, None], poses, np.nan)
