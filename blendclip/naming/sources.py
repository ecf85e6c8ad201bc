"""The clouds that a command is given: files of one cloud each, Parquet with many, and folders of both."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import schemas, storage
from blendclip.errors import UserError
from blendclip.naming.cloud_files import read_cloud, suffix_of
from blendclip.reporting.gallery.clouds import points_of, read_rows

ABOUT = pa.schema(
    [
        ("cloud_id", pa.string()),  # triplet, annotation, or what the source calls it; of a file its path
        ("file", pa.string()),  # as the command was given it
        ("row", pa.int32()),  # in a Parquet file; null in a file of one cloud
        ("instance_token", pa.string()),
        ("scene", pa.string()),
        ("class_name", pa.string()),
        ("num_points", pa.int32()),
    ]
)
_IDS = ("cloud_id", "triplet_id", "annotation_token")
_PASSED_ON = ("instance_token", "scene", "class_name")
_FILES_AT_ONCE = 256


@dataclass(frozen=True)
class CloudBatch:
    """Some of the clouds, in order."""

    about: pa.Table
    """A row for each, schema `ABOUT`."""
    clouds: list[NDArray[np.floating] | None]
    """(n, 3 or more) of each; None of an empty one."""


def cloud_batches(inputs: Sequence[Path], colors: bool) -> Iterator[CloudBatch]:
    """The clouds of files and folders, in the order given, a folder's by name; memory holds a batch.

    Args:
        inputs: files that `read_cloud` reads, Parquet with a column `points` (clouds, triplets, benchmarks, tables of
            one's own), and folders of these.
        colors: whether clouds of Parquet come with colors, grey where it has none.

    Raises:
        UserError: nothing is there, or a file is of another kind, broken, or without `points`.
    """
    files = [file for place in inputs for file in _files(place)]
    for is_parquet, some in itertools.groupby(files, lambda path: path.suffix == ".parquet"):
        if is_parquet:
            for path in some:
                yield from _of_parquet(path, colors)
        else:
            yield from _of_files(list(some))


def points_at(file: Path, row: int | None) -> NDArray[np.floating]:
    """The points (n, 3) of one cloud, found again by its `file` and `row`.

    Raises:
        UserError: the file is gone or broken.
    """
    if row is None:
        return read_cloud(file)[:, :3]
    return points_of(read_rows(file, [row], ["points"]))[0]


def clouds_of(table: pa.Table, colors: bool) -> list[NDArray[np.float32] | None]:
    """The clouds (n, 3) of the column `points`, or (n, 6) with those of `rgb`; None of those without points."""
    return [_cloud(table, row, colors) for row in range(table.num_rows)]


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    found = sorted(path for path in place.rglob("*") if path.suffix == ".parquet" or suffix_of(path))
    if not found:
        raise UserError(f"{place} holds no cloud: give a folder with files such as .pcd, .npy or .parquet")
    return found


def _of_files(paths: list[Path]) -> Iterator[CloudBatch]:
    for start in range(0, len(paths), _FILES_AT_ONCE):
        some = paths[start : start + _FILES_AT_ONCE]
        clouds = [read_cloud(path) for path in some]
        rows = [
            dict.fromkeys(ABOUT.names) | {"cloud_id": str(path), "file": str(path), "num_points": len(cloud)}
            for path, cloud in zip(some, clouds, strict=True)
        ]
        yield CloudBatch(pa.Table.from_pylist(rows, ABOUT), list(clouds))


def _of_parquet(path: Path, colors: bool) -> Iterator[CloudBatch]:
    file = storage.open_parquet(path)
    there = file.schema_arrow.names
    if "points" not in there:
        raise UserError(f"{path} has no column `points`: give clouds, triplets, a benchmark or a table of your own")
    wanted = [name for name in (*_IDS, *_PASSED_ON, "points", *(["rgb"] if colors else [])) if name in there]
    start = 0
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=wanted)
        yield CloudBatch(_about(table, path, start), clouds_of(table, colors))
        start += table.num_rows


def _about(table: pa.Table, path: Path, start: int) -> pa.Table:
    count = table.num_rows
    rows = np.arange(start, start + count, dtype=np.int32)
    name = next((name for name in _IDS if name in table.column_names), None)
    columns: dict[str, Any] = {key: table[key] for key in _PASSED_ON if key in table.column_names}
    columns["cloud_id"] = table[name] if name else [f"{path}:{row}" for row in rows]
    columns |= {"file": [str(path)] * count, "row": rows}
    columns["num_points"] = [len(points) if points.is_valid else 0 for points in table["points"]]
    whole = {key: columns.get(key, pa.nulls(count)) for key in ABOUT.names}
    return pa.table({key: _typed(value, ABOUT.field(key).type) for key, value in whole.items()}, ABOUT)


def _typed(values: Any, kind: pa.DataType) -> Any:
    return values.cast(kind) if hasattr(values, "cast") else pa.array(values, kind)


def _cloud(table: pa.Table, row: int, colors: bool) -> NDArray[np.float32] | None:
    cell = table["points"][row]
    if not cell.is_valid or not len(cell):
        return None
    points = _threes(cell).astype(np.float32)
    if not colors:
        return points
    shades = np.full_like(points, schemas.UNSEEN_GREY / 255)
    if "rgb" in table.column_names and table["rgb"][row].is_valid:
        for number, shade in enumerate(table["rgb"][row].as_py()):
            shades[number] = shades[number] if shade is None else np.asarray(shade, np.float32) / 255
    return np.concatenate([points, shades], axis=1)


def _threes(cell: pa.ListScalar) -> NDArray[np.floating]:
    """The points of a list of threes, of fixed length or not."""
    return cell.values.flatten().to_numpy().reshape(-1, 3)
