"""Clouds small enough for a web page: thinned, quantised to 16 bits, and written as scripts.

A page opened from disk may not fetch files, but may load scripts; so clouds come as scripts that assign to one global.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import storage
from blendclip.randomness import key_of, subsample

MAX_POINTS = 4096
_MIN_POINTS = 512
_STEPS = 32767  # of int16 on either side of zero
_BUDGET_BYTES = 6_000_000
_POINT_BYTES = 8  # three int16, in base64
_BATCH_ROWS = 512


def read_rows(path: Path, rows: list[int], columns: list[str]) -> pa.Table:
    """The given rows of a Parquet file, in the order given.

    Only row groups that hold some of them are read, a few rows at a time.

    Args:
        path: the file.
        rows: numbers of rows, in any order.
        columns: names of columns.

    Raises:
        UserError: the file is not there or is not Parquet.
    """
    file = storage.open_parquet(path)
    wanted = np.unique(np.asarray(rows, np.int64))
    begin, found = 0, [file.schema_arrow.empty_table().select(columns)]
    for group in range(file.num_row_groups):
        end = begin + file.metadata.row_group(group).num_rows
        if len(_between(wanted, begin, end)):
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns):
                here = _between(wanted, begin, begin + batch.num_rows) - begin
                found.append(pa.Table.from_batches([batch]).select(columns).take(here))
                begin += batch.num_rows
        begin = end
    return pa.concat_tables(found).take(np.searchsorted(wanted, rows).astype(np.int64))


def _between(rows: NDArray[np.int64], begin: int, end: int) -> NDArray[np.int64]:
    return rows[(rows >= begin) & (rows < end)]


def points_of(table: pa.Table) -> list[NDArray[np.float32]]:
    """The points (N, 3) of each row, z up."""
    return [cell.values.flatten().to_numpy().reshape(-1, 3) for cell in table["points"]]


def points_each(clouds: int) -> int:
    """Most points that each of `clouds` clouds may keep, so that the gallery of all stays small."""
    return int(np.clip(_BUDGET_BYTES // (_POINT_BYTES * max(clouds, 1)), _MIN_POINTS, MAX_POINTS))


def packed_cloud(points_N3: NDArray[np.float32], cloud_id: str, max_points: int) -> dict[str, Any]:
    """A cloud as a script holds it: `points` in base64, little-endian int16 of (n, 3), with `centre` and `scale`.

    A point is `centre + scale * int16 / 32767`, in the frame and unit of the cloud.

    Args:
        points_N3: points of the cloud.
        cloud_id: name that seeds the choice of points.
        max_points: most points to keep.
    """
    kept = subsample(points_N3, max_points, key_of("gallery", cloud_id)).astype(np.float64)
    low, high = (kept.min(axis=0), kept.max(axis=0)) if len(kept) else (np.zeros(3), np.zeros(3))
    centre, scale = (low + high) / 2, float((high - low).max() / 2) or 1.0
    steps = np.rint((kept - centre) / scale * _STEPS).astype("<i2")
    points = base64.b64encode(steps.tobytes()).decode()
    return {"points": points, "centre": centre.round(6).tolist(), "scale": round(scale, 6)}


def write_clouds(path: Path, name: str, clouds: list[dict[str, Any]]) -> None:
    """Write a script that assigns packed clouds to `name` of the page's `blendclipClouds`."""
    lines = ",\n".join(json.dumps(cloud, separators=(",", ":")) for cloud in clouds)
    head = f"(window.blendclipClouds = window.blendclipClouds || {{}})[{json.dumps(name)}] = "
    with storage.replacing(path) as temporary:
        temporary.write_text(f"{head}[\n{lines}\n];\n", encoding="ascii", newline="\n")
