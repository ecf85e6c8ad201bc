"""Format `table`: anyone's clouds, as a CSV beside files of points or as one Parquet that holds the points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import trimesh
from numpy.typing import NDArray
from pypcd4 import PointCloud

from blendclip import storage
from blendclip.benchmarks.clouds import LabeledCloud, colors, turned
from blendclip.benchmarks.options import TableOptions
from blendclip.errors import UserError

FILES = (".npy", ".ply", ".pcd")
_ABOUT = {
    "class_name": pa.string(),
    "cloud_id": pa.string(),
    "instance_token": pa.string(),
    "scene": pa.string(),
    "timestamp_us": pa.int64(),
    "distance_m": pa.float32(),
    "visibility": pa.int8(),
}
_ROWS_AT_ONCE = 64
_CURE = "write it again"


class CloudTable:
    """Reads a table with a row for each cloud."""

    def __init__(self, options: TableOptions) -> None:
        """Read the table, but no points.

        Raises:
            UserError: it is missing, broken, empty, or lacks a column.
        """
        self._path, self._up, self.where = options.path, options.up, str(options.path)
        self._unit_m, self.in_metres = options.unit_m or 1.0, options.unit_m is not None
        points = {".csv": "path", ".parquet": "points"}.get(options.path.suffix.lower())
        if points is None:
            raise UserError(f"{options.path} is neither .csv nor .parquet: write one of them (docs/evaluation.md)")
        try:
            self._rows = self._read(points)
        except FileNotFoundError:
            raise UserError(f"there is no file {options.path}: set `path` of the benchmark") from None
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise UserError(f"{options.path} cannot be read ({error}): write it again") from None
        for number, row in enumerate(self._rows):
            if not row["class_name"]:
                raise UserError(f"row {number + 1} of {options.path} has no class_name: fill it, or leave the row out")

    def _read(self, points: str) -> list[dict[str, Any]]:
        """The rows without points."""
        if points == "path":
            types = pa.csv.ConvertOptions(column_types=_ABOUT | {"path": pa.string()}, strings_can_be_null=True)
            table = pa.csv.read_csv(self._path, convert_options=types)
            names = table.column_names
        else:
            file = storage.ParquetFile(self._path, cure=_CURE)
            names = file.schema_arrow.names
            table = file.read([name for name in names if name in _ABOUT])
        known = {points, *_ABOUT} | ({"rgb"} if points == "points" else set())
        for needed in (points, "class_name"):
            if needed not in names:
                raise UserError(f"{self._path} has no column {needed}: add it")
        if unknown := sorted(set(names) - known):
            raise UserError(f"{self._path} has a column {unknown[0]!r}: the columns are {', '.join(sorted(known))}")
        typed = {name: table[name].cast(kind) for name, kind in _ABOUT.items() if name in names}
        return pa.table(typed | ({"path": table["path"]} if points == "path" else {})).to_pylist()

    def names(self) -> Sequence[str]:
        """The class names of the table, each of which the benchmark must have."""
        return sorted({row["class_name"] for row in self._rows})

    def clouds(self, left_out: Counter[str]) -> Iterator[LabeledCloud]:
        """The clouds in the order of the rows.

        Raises:
            UserError: a file of points is missing, broken, or of no known kind.
        """
        read = self._beside if self._path.suffix.lower() == ".csv" else self._inside
        for row, (where, points, rgb) in zip(self._rows, read(), strict=True):
            points = turned(points, self._up, where) * np.float32(self._unit_m)
            about = {name: row[name] for name in _ABOUT if name in row}
            about["cloud_id"] = about.get("cloud_id") or row.get("path") or where.rpartition(", ")[2]
            yield LabeledCloud(points=points, rgb=colors(rgb, len(points), 255, where), **about)

    def _beside(self) -> Iterator[tuple[str, NDArray, NDArray | None]]:
        for number, row in enumerate(self._rows):
            if not row["path"]:
                raise UserError(f"row {number + 1} of {self._path} has no path: fill it, or leave the row out")
            path = self._path.parent / row["path"]
            yield str(path), *_points_in(path)

    def _inside(self) -> Iterator[tuple[str, Any, Any]]:
        file, number = storage.ParquetFile(self._path, cure=_CURE), 0
        columns = [name for name in ("points", "rgb") if name in file.schema_arrow.names]
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
            for row in range(batch.num_rows):
                number += 1
                where = f"{self._path}, row {number}"
                rgb = _array(batch["rgb"], row, where) if "rgb" in columns else None
                yield where, _array(batch["points"], row, where), rgb


def _array(column: pa.ListArray, row: int, where: str) -> NDArray | None:
    """A list of threes as an array (N, 3); None of null."""
    value = column[row].as_py()
    if value is None:
        return None
    try:
        return np.asarray(value, np.float64).reshape(len(value), 3)
    except (ValueError, TypeError) as error:
        raise UserError(f"{where} holds no list of three numbers a point ({error}): write it again") from None


def _points_in(path: Path) -> tuple[NDArray, NDArray | None]:
    """Points (N, 3) and colours 0-255 (N, 3) in a file."""
    readers = dict(zip(FILES, (_npy, _ply, _pcd), strict=True))
    if path.suffix.lower() not in readers:
        raise UserError(f"{path} is none of {', '.join(FILES)}: write the points as one of them")
    if not path.is_file():
        raise UserError(f"there is no file {path}: put it there, or leave its row out")
    return readers[path.suffix.lower()](path)


def _npy(path: Path) -> tuple[NDArray, NDArray | None]:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is no .npy file of numbers ({error}): write it again") from None
    if array.ndim != 2 or array.shape[1] not in (3, 6):
        raise UserError(
            f"{path} has shape {array.shape}: it needs (N, 3), or (N, 6) with red, green and blue from 0 to 255"
        )
    return array[:, :3], array[:, 3:] if array.shape[1] == 6 else None


def _ply(path: Path) -> tuple[NDArray, NDArray | None]:
    try:
        cloud = trimesh.load(path, process=False)
    except Exception as error:  # its reader raises whatever it stumbles over
        raise UserError(f"{path} is no readable PLY file ({type(error).__name__}: {error}): write it again") from None
    if not isinstance(cloud, trimesh.PointCloud | trimesh.Trimesh):
        raise UserError(f"{path} holds no points: write it again")
    raw = cloud.metadata.get("_ply_raw", {}).get("vertex", {}).get("data")
    names = () if raw is None else (raw.dtype.names or () if isinstance(raw, np.ndarray) else tuple(raw))
    if not {"red", "green", "blue"} <= set(names):
        return np.asarray(cloud.vertices), None
    return np.asarray(cloud.vertices), np.column_stack(
        [np.asarray(raw[name]).reshape(-1) for name in ("red", "green", "blue")]
    )


def _pcd(path: Path) -> tuple[NDArray, NDArray | None]:
    try:
        cloud = PointCloud.from_path(path)
        if missing := [axis for axis in "xyz" if axis not in cloud.fields]:
            raise UserError(f"{path} has no field {missing[0]}: write it again")
        return cloud.numpy(("x", "y", "z")), None
    except UserError:
        raise
    except Exception as error:  # its reader raises whatever it stumbles over
        raise UserError(f"{path} is no readable PCD file ({type(error).__name__}: {error}): write it again") from None
