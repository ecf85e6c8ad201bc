"""A scene of tables in nuScenes' schema as a row of the index."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from blendclip import geometry, plausible, schemas
from blendclip.datasets.drives.classes import Classes
from blendclip.datasets.drives.devkits import DevkitRules
from blendclip.datasets.drives.keyframes import keyframes_of, readings_once, serving_keyframes
from blendclip.datasets.drives.loading import Rows, Tables
from blendclip.datasets.drives.poses import PoseStream, index_rows, poses_of
from blendclip.datasets.drives.raw_columns import RAW_SUFFIX
from blendclip.datasets.drives.structs import struct_of
from blendclip.datasets.drives.tracks import Keyframes, track_rows
from blendclip.errors import UserError

log = logging.getLogger(__name__)

_INT32 = -(2**31), 2**31 - 1


class SceneReader:
    """Reads one scene, a row of table `scene`."""

    def __init__(
        self,
        devkit: DevkitRules,
        tables: Tables,
        classes: Classes,
        columns: int,
        stream: PoseStream | None,
        scene: int,
    ) -> None:
        self.devkit, self.tables, self.classes, self.columns, self.scene = devkit, tables, classes, columns, scene
        self.name = str(tables.scene.value("name", scene))
        self.samples = keyframes_of(tables, scene)
        if not len(self.samples):
            raise UserError(f"scene {self.name} has no sample: take it out of {tables.scene.path}")
        self.keyframe_us = tables.sample.times_us[self.samples]
        if strange := plausible.wrong_unit(int(self.keyframe_us[0])):
            raise tables.sample.fault(int(self.samples[0]), "timestamp", "microseconds since 1970", strange)
        self.keyframe_of = np.full(len(tables.sample), -1)
        self.keyframe_of[self.samples] = np.arange(len(self.samples))
        self.stream = stream and stream.between(int(self.keyframe_us[0]), int(self.keyframe_us[-1]), self.name)
        readings = tables.readings_by_scene[scene]
        self.readings = readings_once(tables, readings[tables.sample_data.array("is_valid")[readings]])

    def row(self) -> dict[str, Any]:
        """The scene's row of the index, but for the names of dataset and split."""
        reference = self._reference_readings()
        return {
            "scene": self.name,
            "scene_token": self.tables.scene.value("token", self.scene),
            "keyframes": self._keyframes(reference),
            "ego_poses": index_rows(self.stream) if self.stream else [],
            "sweeps": self._sweeps(),
            "images": self._images(),
            "tracks": self._tracks(reference),
        }

    def _named(self, rows: Rows) -> NDArray[np.int64]:
        """The keyframe that each of some readings names; -1 where it is not valid."""
        return self.keyframe_of[self.tables.sample_of_reading[rows]]

    def _reference_readings(self) -> Rows:
        """(K,) row of each keyframe's reading by the reference LiDAR; -1 where it has none."""
        tables = self.tables
        of_channel = tables.channel_of_reading[self.readings] == self.devkit.reference
        rows = np.sort(self.readings[of_channel & tables.sample_data.array("is_key_frame")[self.readings]])
        named = self._named(rows)
        found = np.full(len(self.samples), -1)
        found[named[named >= 0]] = rows[named >= 0]  # of several the last, as devkits take it
        if (found < 0).any() and not self.stream:
            must = f"named by a key frame of {self.devkit.reference}, from whose pose distance is measured"
            raise tables.sample.fault(int(self.samples[found < 0][0]), "token", f"{must}: unpack the dataset again")
        return found

    def _pose_rows(self, readings: Rows) -> Rows:
        """Rows of `ego_pose` of some readings."""
        rows = self.tables.pose_of_reading[readings]
        self.tables.sample_data.check("ego_pose_token", readings[rows < 0], self.tables.ego_pose)
        return rows

    def _global_SE3_ego(self, readings: Rows) -> NDArray[np.float64]:
        """Ego poses (R, 3, 4) at the readings' times."""
        if self.stream:
            return self.stream.at(self.tables.sample_data.times_us[readings])
        return poses_of(self.tables.ego_pose, self._pose_rows(readings))

    def _keyframes(self, reference: Rows) -> pa.StructArray:
        """The ego pose is that from which the official evaluation measures distance, else that at the sample's time."""
        known = reference >= 0
        poses = np.empty((len(self.samples), 3, 4))
        poses[known] = poses_of(self.tables.ego_pose, self._pose_rows(reference[known]))
        if self.stream and not known.all():
            poses[~known] = self.stream.at(self.keyframe_us[~known])
        return struct_of(
            schemas.INDEX.field("keyframes").type.value_type,
            sample_token=self.tables.sample.arrow("token").take(pa.array(self.samples)),
            timestamp_us=self.keyframe_us,
            global_SE3_ego=poses,
        )

    def _columns(self, rows: Rows, keyframe: NDArray[np.int64]) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """What sweeps and images share, and their poses in the ego frame (R, 3, 4)."""
        tables = self.tables
        ego_SE3_sensor = poses_of(tables.calibrated_sensor, tables.mounting_of_reading[rows])
        columns = {
            "channel": pa.array(tables.channel_of_reading[rows], pa.string()),
            "path": tables.sample_data.arrow("filename").take(pa.array(rows)),
            "timestamp_us": tables.sample_data.times_us[rows],
            "keyframe": keyframe,
        }
        return columns, ego_SE3_sensor

    def _sweeps(self) -> pa.StructArray:
        tables, is_key_frame = self.tables, self.tables.sample_data.array("is_key_frame")
        rows = self.readings[tables.is_lidar[self.readings] & self._valid_sample(self.readings)]
        channel, time_us = tables.channel_of_reading[rows], tables.sample_data.times_us[rows]
        serves = np.empty(len(rows), np.int64)
        for one in set(channel):
            own = channel == one
            serves[own] = serving_keyframes(
                time_us[own], self._named(rows[own]), is_key_frame[rows[own]], self.keyframe_us
            )
        columns, ego_SE3_sensor = self._columns(rows, serves)
        return struct_of(
            schemas.INDEX.field("sweeps").type.value_type,
            **columns,
            global_SE3_sensor=geometry.compose(self._global_SE3_ego(rows), ego_SE3_sensor),
            ego_SE3_sensor=ego_SE3_sensor,
            point_times=np.full(len(rows), self.devkit.point_times),
            point_columns=pc.if_else(pc.ends_with(columns["path"], RAW_SUFFIX), self.columns, None),
            motion_compensated=pa.nulls(len(rows)),
        )

    def _valid_sample(self, rows: Rows) -> NDArray[np.bool_]:
        return self.tables.sample.array("is_valid")[self.tables.sample_of_reading[rows]]

    def _images(self) -> pa.StructArray:
        data = self.tables.sample_data
        rows = self.readings[~self.tables.is_lidar[self.readings]]
        rows = rows[self._valid_sample(rows)]
        columns, ego_SE3_sensor = self._columns(rows, self._named(rows))
        return struct_of(
            schemas.INDEX.field("images").type.value_type,
            **columns,
            global_SE3_camera=geometry.compose(self._global_SE3_ego(rows), ego_SE3_sensor),
            intrinsic=self._intrinsics(self.tables.mounting_of_reading[rows]),
            width_px=_pixels(data.arrow("width").take(pa.array(rows))),
            height_px=_pixels(data.arrow("height").take(pa.array(rows))),
            distortion=pa.nulls(len(rows)),
        )

    def _intrinsics(self, mountings: Rows) -> NDArray[np.float64]:
        """(R, 3, 3) of calibrated cameras, NaN where not said."""
        table, found = self.tables.calibrated_sensor, {}
        for row in np.unique(mountings).tolist():
            matrix = table.value("camera_intrinsic", row)
            matrix = [[None] * 3] * 3 if matrix is None else [line or [] for line in matrix]
            if len(matrix) != 3 or any(len(line) != 3 for line in matrix):
                raise table.fault(row, "camera_intrinsic", "three lists of three numbers: unpack the dataset again")
            found[row] = matrix
        return np.array([found[row] for row in mountings.tolist()], np.float64).reshape(-1, 3, 3)

    def _tracks(self, reference: Rows) -> pa.StructArray:
        known = np.flatnonzero(reference >= 0)
        if len(known) < len(reference):
            log.warning(
                "%s: %d of %d keyframes have no %s, from which the official evaluation measures distance: their boxes "
                "count as not evaluated",
                *(self.name, len(reference) - len(known), len(reference), self.devkit.reference),
            )
        places = self.tables.ego_pose.array("translation")[self._pose_rows(reference[known])]
        ego = dict(zip(known.tolist(), places, strict=True))
        keyframes = Keyframes(self.keyframe_of, self.keyframe_us, ego)
        return track_rows(self.devkit, self.tables, self.classes, self.scene, keyframes)


def _pixels(sides: pa.Array) -> NDArray[np.int32]:
    """Sides (R,) of images as 32-bit numbers; 0 where not said."""
    sides_px = pc.fill_null(sides, 0).to_numpy()
    return np.clip(sides_px, *_INT32).astype(np.int32)
