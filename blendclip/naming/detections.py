"""Boxes of a detector or tracker: nuScenes results, and tables with the boxes of one sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from blendclip import storage
from blendclip.errors import UserError
from blendclip.naming.crops import box_faults

_CENTRE_SIZE = ("x", "y", "z", "length", "width", "height")
_QUATERNION = ("qw", "qx", "qy", "qz")
_NAME_KEYS = ("detection_name", "tracking_name")
_SCORE_KEYS = ("detection_score", "tracking_score")


@dataclass(frozen=True)
class Boxes:
    """M boxes of one sweep or scene."""

    values: NDArray[np.float64]
    """(M, 10) centre, length, width, height, quaternion w, x, y, z; or (M, 7) with yaw. Metres."""
    velocity_mps: NDArray[np.float64]
    """(M, 2) over ground; NaN where unknown."""
    tracking_id: list[str | None]
    name: list[str | None]
    """What the detector calls it."""
    score: list[float | None]
    """The detector's."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def broken(self) -> NDArray[np.bool_]:
        """(M,) True where a box is not finite, of no size, or turned by no rotation."""
        return box_faults(self.values)


def read_results(path: Path) -> dict[str, Any]:
    """A file of nuScenes detection or tracking results.

    Raises:
        UserError: it is missing, is no JSON, or holds no results by sample_token.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"there is no file {path}: give the results of a detector") from None
    except ValueError as error:
        raise UserError(f"{path} is no readable JSON ({error}): write the results again") from None
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict) or not all(isinstance(rows, list) for rows in results.values()):
        raise UserError(f"{path} has no `results` with a list of boxes for each sample_token: see nuScenes' format")
    return content


def boxes_of(rows: Sequence[Mapping[str, Any]], where: str) -> Boxes:
    """Boxes of nuScenes results; their sizes, width first in the file, are turned to length first.

    Raises:
        UserError: a row lacks translation, size or rotation.
    """
    values, velocity = np.full((len(rows), 10), np.nan), np.full((len(rows), 2), np.nan)
    for number, row in enumerate(rows):
        try:
            width, length, height = row["size"]
            values[number] = [*row["translation"], length, width, height, *row["rotation"]]
            velocity[number] = (row.get("velocity") or [np.nan] * 2)[:2]
        except (KeyError, TypeError, ValueError):
            raise UserError(
                f"box {number} of {where} lacks translation (3), size (3) or rotation (4): see nuScenes' format"
            ) from None
    return Boxes(
        values,
        velocity,
        tracking_id=[None if row.get("tracking_id") is None else str(row["tracking_id"]) for row in rows],
        name=[_first(row, _NAME_KEYS) for row in rows],
        score=[_first(row, _SCORE_KEYS) for row in rows],
    )


def renamed(row: Mapping[str, Any], name: str, score: float) -> dict[str, Any]:
    """A box of nuScenes results under another name, with its cosine as `name_score`."""
    key = next((key for key in _NAME_KEYS if key in row), _NAME_KEYS[0])
    return {**row, key: name, "name_score": round(score, 6)}


def read_boxes(path: Path) -> Boxes:
    """The boxes of one sweep, in a .csv or .parquet with columns x y z length width height and yaw or qw qx qy qz.

    There may be `name`, `score` and `tracking_id` too.

    Raises:
        UserError: the file is missing, of another kind, broken, or lacks a column.
    """
    table = _table(path)
    names = table.column_names
    turn = _QUATERNION if set(_QUATERNION) <= set(names) else ("yaw",)
    if missing := [name for name in (*_CENTRE_SIZE, *turn) if name not in names]:
        raise UserError(
            f"{path} has no column {missing[0]}: boxes are {' '.join(_CENTRE_SIZE)} and yaw, or qw qx qy qz"
        )
    try:
        columns = [_floats(table, name) for name in (*_CENTRE_SIZE, *turn)]
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} has boxes that are no numbers ({error}): write it again") from None
    texts = {name: _texts(table, name) for name in ("name", "tracking_id")}
    score = _floats(table, "score").tolist() if "score" in names else [None] * len(table)
    return Boxes(np.column_stack(columns), np.full((len(table), 2), np.nan), texts["tracking_id"], texts["name"], score)


def _table(path: Path) -> pa.Table:
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"{path} is neither .csv nor .parquet: boxes of one sweep are written as one of them")
    if not path.is_file():
        raise UserError(f"there is no file {path}: give the boxes of the sweep")
    if path.suffix == ".parquet":
        return storage.ParquetFile(path, cure="write it again").read()
    try:
        return pa.csv.read_csv(path)
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} cannot be read ({error}): write it again") from None


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)


def _texts(table: pa.Table, name: str) -> list[str | None]:
    return table[name].cast(pa.string()).to_pylist() if name in table.column_names else [None] * len(table)


def _first(row: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((row[key] for key in keys if row.get(key) is not None), None)
