"""LiDAR sweep files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blendclip.errors import DataFault

_COLUMNS = 5  # x, y, z, intensity, ring: float32 each, the layout of nuScenes' .pcd.bin
_BROKEN_FRACTION = 0.5  # a few NaN are rays without an echo; more than this is a broken file


def read_sweep(path: Path) -> NDArray[np.float32]:
    """The points (N, 5) of a sweep in the sensor's frame: x, y, z in metres, intensity, ring.

    Raises:
        DataFault: the file is missing, empty, cut off, or most of its points are not numbers.
    """
    try:
        values = np.fromfile(path, dtype=np.float32)
        size = path.stat().st_size
    except FileNotFoundError:
        raise DataFault("no such file") from None
    except OSError as error:
        raise DataFault(f"cannot be read: {error.strerror}") from None
    if size == 0 or size % (4 * _COLUMNS):
        raise DataFault(f"{size} bytes are no whole number of points of {4 * _COLUMNS} bytes: the file is cut off")
    points = values.reshape(-1, _COLUMNS)
    if not np.isfinite(values.sum()):  # one quick look; the slow one only where something may be wrong
        broken = 1 - np.isfinite(points[:, :3]).all(axis=1).mean()
        if broken > _BROKEN_FRACTION:
            raise DataFault(f"{broken:.0%} of its points are not finite")
    return points
