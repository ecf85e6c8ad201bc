"""One scene of the index as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from blendclip import plausible, schemas, storage
from blendclip.errors import UserError
from blendclip.geometry import EgoPoses, in_time
from blendclip.mining.scene_faults import annotation_faults, reading_faults
from blendclip.raw_points import NUSCENES_COLUMNS


@dataclass(frozen=True)
class Annotations:
    """All N boxes of a scene, by track and, within a track, by time. Frames: global; units as in the names."""

    token: NDArray[Any]
    """(N,) str."""
    track: NDArray[np.int64]
    """(N,) number of the track in the scene."""
    keyframe: NDArray[np.int64]
    """(N,) number of the keyframe in the scene."""
    timestamp_us: NDArray[np.int64]
    """(N,)"""
    translation: NDArray[np.float64]
    """(N, 3) box centres, metres."""
    rotation_wxyz: NDArray[np.float64]
    """(N, 4) as the dataset gives it."""
    size_lwh_m: NDArray[np.float64]
    """(N, 3)"""
    visibility: NDArray[np.float64]
    """(N,) level, NaN where unknown."""
    distance_m: NDArray[np.float64]
    """(N,) horizontal, from the ego vehicle."""
    category: NDArray[Any]
    """(N,) str."""
    faults: dict[int, str]
    """What is wrong with which annotation."""
    columns: pa.Table
    """N rows of what mining only passes on: class_name, velocity_mps, num_lidar_pts, attributes, evaluated ..."""

    def __len__(self) -> int:
        return len(self.token)

    @cached_property
    def num_lidar_pts(self) -> NDArray[np.float64]:
        """(N,) how many points of their keyframe's sweeps the dataset says they have, NaN where it does not."""
        told: NDArray[np.float64] = self.columns["num_lidar_pts"].to_numpy().astype(np.float64)
        return np.where(told < 0, np.nan, told)

    @cached_property
    def valid(self) -> NDArray[np.int64]:
        """The annotations without a fault (V,), ascending."""
        return np.setdiff1d(np.arange(len(self)), list(self.faults))


@dataclass(frozen=True)
class Readings:
    """M sweeps or images of a scene: one file of one sensor each."""

    channel: NDArray[Any]
    """(M,) str."""
    path: NDArray[Any]
    """(M,) str, relative to the dataset's root."""
    timestamp_us: NDArray[np.int64]
    """(M,)"""
    keyframe: NDArray[np.int64]
    """(M,) number of the keyframe that it serves."""
    global_SE3_sensor: NDArray[np.float64]  # noqa: N815
    """(M, 3, 4) at `timestamp_us`."""
    ego_SE3_sensor: NDArray[np.float64]  # noqa: N815
    """(M, 3, 4); (M, 0) for images."""
    point_times: NDArray[np.bool_]
    """(M,) whether the file says when each point was measured."""
    point_columns: NDArray[np.int64]
    """(M,) float32 values of each point, where the file is raw."""
    motion_compensated: NDArray[np.bool_]
    """(M,) whether points are in the sensor's frame at `timestamp_us`, whenever each was measured."""
    intrinsic: NDArray[np.float64]
    """(M, 3, 3); (M, 0) for LiDAR sweeps."""
    distortion: NDArray[np.float64]
    """(M, 5) k1, k2, p1, p2, k3 of the lens, zero where the image has none; (M, 0) for LiDAR sweeps."""
    size_wh_px: NDArray[np.int64]
    """(M, 2) width and height; (M, 0) for LiDAR sweeps."""
    in_time: NDArray[np.bool_]
    """(M,) whether the time stamp is near the keyframe, or for a sweep the half before it."""
    faults: dict[int, str]
    """What is wrong with time, pose or calibration of which reading."""

    def __len__(self) -> int:
        return len(self.path)

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Whether time, pose and calibration of the sensor are known and can be, (M,)."""
        usable = np.ones(len(self), bool)
        usable[list(self.faults)] = False
        return usable


@dataclass(frozen=True)
class Scene:
    """A row of the index, with K keyframes."""

    dataset: str
    split: str
    name: str
    sample_token: NDArray[Any]
    """(K,) str."""
    keyframe_us: NDArray[np.int64]
    """(K,)"""
    global_SE3_ego: NDArray[np.float64]  # noqa: N815
    """(K, 3, 4) at the keyframes."""
    ego_poses: EgoPoses
    """Over time; none where no sweep has point times."""
    sweeps: Readings
    images: Readings
    annotations: Annotations


def read_scenes(index: Path, part: int, parts: int) -> Iterator[Scene]:
    """The scenes part, part + parts, part + 2 parts ... of the index at this path, read one at a time.

    Raises:
        UserError: no index there, or no such part.
    """
    if not 0 <= part < parts:
        raise UserError(f"part {part} of {parts} does not exist: parts are counted from 0 to {parts - 1}")
    file = open_index(index)
    for number in range(part, file.num_row_groups, parts):
        yield _scene(file.read_row_group(number))


def open_index(index: Path) -> pq.ParquetFile:
    """The scene index at this path, a row group for each scene.

    Raises:
        UserError: no index there, or one of another version.
    """
    file = storage.open_parquet(index)
    if not file.schema_arrow.equals(schemas.INDEX):
        raise UserError(f"{index} is no scene index of this version: write it again with `blendclip index`")
    return file


def read_scene(index: Path, name: str | None = None) -> Scene:
    """One scene of the index: by its name, by its number, counted from 0, or the first.

    Raises:
        UserError: no index there, or no such scene in it.
    """
    names = storage.read_parquet(index, ["scene"])["scene"].to_pylist()
    if not names:
        raise UserError(f"{index} holds no scene: index a split that has some")
    wanted = names[0] if name is None else name
    if wanted not in names and wanted.isdecimal() and int(wanted) < len(names):
        wanted = names[int(wanted)]
    if wanted not in names:
        some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise UserError(f"{index} has no scene {wanted}: give one of {some} or a number below {len(names)}")
    return next(read_scenes(index, names.index(wanted), len(names)))


def _scene(row: pa.Table) -> Scene:
    keyframes, ego_poses = _flatten(row["keyframes"]), _flatten(row["ego_poses"])
    keyframe_us, global_SE3_ego = _array(keyframes, "timestamp_us"), _array(keyframes, "global_SE3_ego", (3, 4))
    return Scene(
        dataset=row["dataset"][0].as_py(),
        split=row["split"][0].as_py(),
        name=row["scene"][0].as_py(),
        sample_token=_array(keyframes, "sample_token"),
        keyframe_us=keyframe_us,
        global_SE3_ego=global_SE3_ego,
        ego_poses=EgoPoses(_array(ego_poses, "timestamp_us"), _array(ego_poses, "global_SE3_ego", (3, 4))),
        sweeps=_readings(_flatten(row["sweeps"]), "global_SE3_sensor", keyframe_us, global_SE3_ego),
        images=_readings(_flatten(row["images"]), "global_SE3_camera", keyframe_us, global_SE3_ego),
        annotations=_annotations(_flatten(row["tracks"]), keyframe_us, global_SE3_ego),
    )


def _flatten(column: pa.ChunkedArray) -> pa.StructArray:
    """The structs of a column of lists of structs."""
    return column.combine_chunks().flatten()


def _array(struct: pa.StructArray, name: str, shape: tuple[int, ...] = ()) -> NDArray[Any]:
    """A field of M structs as (M, *shape); a field with a shape holds lists of fixed size."""
    values = struct.field(name)
    flat: NDArray[Any] = (values.flatten() if shape else values).to_numpy(zero_copy_only=False)
    return flat.reshape(len(struct), *shape)


def _readings(
    rows: pa.StructArray, pose_name: str, keyframe_us: NDArray[np.int64], global_SE3_ego: NDArray[np.float64]
) -> Readings:
    is_image = rows.type.get_field_index("intrinsic") >= 0
    keyframe = _array(rows, "keyframe").astype(np.int64)
    time_us = _array(rows, "timestamp_us")
    columns: dict[str, Any] = {
        "channel": _array(rows, "channel"),
        "path": _array(rows, "path"),
        "timestamp_us": time_us,
        "keyframe": keyframe,
        "in_time": in_time(time_us, keyframe, keyframe_us, sweeps=not is_image),
        "global_SE3_sensor": _array(rows, pose_name, (3, 4)),
        "ego_SE3_sensor": np.empty((len(rows), 0)) if is_image else _array(rows, "ego_SE3_sensor", (3, 4)),
        "point_times": np.zeros(len(rows), bool) if is_image else _array(rows, "point_times"),
        "point_columns": np.zeros(len(rows), np.int64) if is_image else _point_columns(rows),
        "motion_compensated": np.zeros(len(rows), bool) if is_image else _flags(rows, "motion_compensated"),
        "intrinsic": _array(rows, "intrinsic", (3, 3)) if is_image else np.empty((len(rows), 0)),
        "distortion": _distortion(rows) if is_image else np.empty((len(rows), 0)),
        "size_wh_px": np.stack([_array(rows, "width_px"), _array(rows, "height_px")], axis=1).astype(np.int64)
        if is_image
        else np.empty((len(rows), 0), np.int64),
    }
    return Readings(**columns, faults=reading_faults(columns, keyframe_us, global_SE3_ego))


def _point_columns(sweeps: pa.StructArray) -> NDArray[np.int64]:
    columns: NDArray[np.int64] = sweeps.field("point_columns").fill_null(NUSCENES_COLUMNS).to_numpy().astype(np.int64)
    return columns


def _flags(rows: pa.StructArray, name: str) -> NDArray[np.bool_]:
    """A column of M flags, false where null."""
    flags: NDArray[np.bool_] = rows.field(name).fill_null(False).to_numpy(zero_copy_only=False).astype(bool)
    return flags


def _distortion(images: pa.StructArray) -> NDArray[np.float64]:
    """Coefficients (M, 5) of M images, zero where null."""
    lists, coefficients = images.field("distortion"), np.zeros((len(images), 5))
    coefficients[lists.is_valid().to_numpy(zero_copy_only=False)] = lists.flatten().to_numpy().reshape(-1, 5)
    return coefficients


def _annotations(
    tracks: pa.StructArray, keyframe_us: NDArray[np.int64], global_SE3_ego: NDArray[np.float64]
) -> Annotations:
    lists = tracks.field("annotations")
    rows = lists.flatten()
    track = np.repeat(np.arange(len(tracks)), lists.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64))
    order = np.lexsort((_array(rows, "timestamp_us"), track))
    rows, track = rows.take(order), track[order]
    of_track = tracks.take(track)
    passed_on = ("timestamp_us", "translation", "rotation_wxyz", "size_lwh_m", "velocity_mps", "visibility")
    columns = {name: rows.field(name) for name in (*passed_on, "num_lidar_pts", "attributes", "evaluated")}
    columns |= {name: of_track.field(name) for name in ("instance_token", "category", "class_name")}
    arrays = {
        "track": track,
        "keyframe": _array(rows, "keyframe").astype(np.int64),
        "timestamp_us": _array(rows, "timestamp_us"),
        "translation": _array(rows, "translation", (3,)),
        "rotation_wxyz": _array(rows, "rotation_wxyz", (4,)),
        "size_lwh_m": _array(rows, "size_lwh_m", (3,)),
    }
    return Annotations(
        token=_array(rows, "token"),
        visibility=_array(rows, "visibility").astype(np.float64),
        distance_m=plausible.lengths_m(arrays["translation"][:, :2] - global_SE3_ego[arrays["keyframe"], :2, 3]),
        category=_array(of_track, "category"),
        faults=annotation_faults(arrays, keyframe_us, global_SE3_ego),
        columns=pa.table({"annotation_token": rows.field("token")} | columns),
        **arrays,
    )
