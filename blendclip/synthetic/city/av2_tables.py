"""The feather files of a log of Argoverse 2: their columns and types."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather
from pyquaternion import Quaternion

from blendclip.synthetic.city.av2_sensors import CAMERAS, LIDARS, LensCamera, StackedSweep
from blendclip.synthetic.city.tables import Row

_POSE = [(name, pa.float64()) for name in ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")]
_SIZE = [(name, pa.float64()) for name in ("length_m", "width_m", "height_m")]
_LENS = [(name, pa.float64()) for name in ("fx_px", "fy_px", "cx_px", "cy_px", "k1", "k2", "k3")]
ANNOTATIONS = pa.schema(
    [
        *(("timestamp_ns", pa.int64()), ("track_uuid", pa.string()), ("category", pa.string())),
        *(*_SIZE, *_POSE, ("num_interior_pts", pa.int64())),
    ]
)
EGO_POSES = pa.schema([("timestamp_ns", pa.int64()), *_POSE])
MOUNTINGS = pa.schema([("sensor_name", pa.string()), *_POSE])
INTRINSICS = pa.schema([("sensor_name", pa.string()), *_LENS, ("height_px", pa.uint16()), ("width_px", pa.uint16())])
SWEEP = pa.schema(
    [
        *((axis, pa.float16()) for axis in "xyz"),
        *(("intensity", pa.uint8()), ("laser_number", pa.uint8()), ("offset_ns", pa.int32())),
    ]
)


def pose_columns(dst_SE3_src: np.ndarray) -> Row:
    """Return the seven columns of a pose (4, 4)."""
    rotation = Quaternion(matrix=dst_SE3_src[:3, :3], rtol=1e-6, atol=1e-6).normalised.elements.tolist()
    return dict(zip([name for name, _ in _POSE], [*rotation, *dst_SE3_src[:3, 3].tolist()], strict=True))


def size_of(camera: LensCamera, size_px: tuple[int, int]) -> tuple[int, int]:
    """Return width and height of a camera's images, where those of cameras that stand upright have size_px."""
    return (size_px[1], size_px[0]) if camera.portrait else size_px


def write_calibration(folder: Path, size_px: tuple[int, int]) -> None:
    """Write mountings and intrinsics of all sensors; size_px (width, height) of images that are not portraits."""
    mounts = [(camera.channel, camera.ego_SE3_camera) for camera in CAMERAS]
    mounts += [(lidar.name, lidar.ego_SE3_lidar) for lidar in LIDARS]
    rows = [{"sensor_name": name, **pose_columns(pose)} for name, pose in mounts]
    write_rows(folder / "egovehicle_SE3_sensor.feather", rows, MOUNTINGS)
    write_rows(folder / "intrinsics.feather", [_intrinsics(camera, size_px) for camera in CAMERAS], INTRINSICS)


def _intrinsics(camera: LensCamera, size_px: tuple[int, int]) -> Row:
    width, height = size_of(camera, size_px)
    matrix = camera.intrinsic(width, height)
    numbers = [matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], *camera.k]
    lens = {name: float(number) for (name, _), number in zip(_LENS, numbers, strict=True)}
    return {"sensor_name": camera.channel, **lens, "height_px": height, "width_px": width}


def write_sweep(path: Path, sweep: StackedSweep) -> None:
    """Write the points of a sweep."""
    xyz = {axis: np.ascontiguousarray(sweep.xyz_m[:, i]) for i, axis in enumerate("xyz")}
    rest = {"intensity": sweep.intensity, "laser_number": sweep.laser_number, "offset_ns": sweep.offset_ns}
    _write(path, pa.table({name: pa.array(values) for name, values in (xyz | rest).items()}, schema=SWEEP))


def write_rows(path: Path, rows: list[Row] | list[Mapping], schema: pa.Schema) -> None:
    """Write rows of a schema."""
    _write(path, pa.Table.from_pylist(rows, schema=schema))


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    feather.write_feather(table, path, compression="lz4")
