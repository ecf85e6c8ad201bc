"""Clouds in the project's own Parquet files: those that were mined, and triplets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from blendclip import schemas, storage

_ROWS_AT_ONCE = 64

Cloud = tuple[dict[str, Any], NDArray[np.float32], NDArray[np.uint8] | None]
"""Other columns of a row, points (N, 3) and colours (N, 3)."""


def read_clouds(path: Path, columns: Sequence[str]) -> Iterator[Cloud]:
    """Each row of a file: its `columns`, its points, and its colours, grey where no camera sees a point.

    Raises:
        UserError: the file is missing or is not Parquet.
    """
    for batch in storage.open_parquet(path).iter_batches(_ROWS_AT_ONCE, columns=[*columns, "points", "rgb"]):
        ends = np.cumsum(pc.list_value_length(batch["points"]).fill_null(0).to_numpy())
        xyz = batch["points"].flatten().flatten().to_numpy().reshape(-1, 3)
        points = np.split(xyz, ends[:-1])
        about = batch.select(list(columns)).to_pylist()
        yield from zip(about, points, _colors(batch["rgb"]), strict=True)


def _colors(rgb: pa.ListArray) -> list[NDArray[np.uint8] | None]:
    color_M = rgb.flatten()
    rgb_M3 = np.full((len(color_M), 3), schemas.UNSEEN_GREY, np.uint8)
    rgb_M3[color_M.is_valid().to_numpy(zero_copy_only=False)] = color_M.flatten().to_numpy().reshape(-1, 3)
    ends = np.cumsum(pc.fill_null(pc.list_value_length(rgb), 0).to_numpy())
    present = rgb.is_valid().to_pylist()
    return [run if has else None for run, has in zip(np.split(rgb_M3, ends[:-1]), present, strict=True)]
