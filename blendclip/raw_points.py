"""Raw sweeps: float32 values without a header, so many a point, which only the values themselves tell.

A point is x, y and z in metres, then what the sensor adds: intensity, ring, a time of its own. Read with a wrong number
of columns, every column holds all of these in turn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NUSCENES_COLUMNS = 5
"""x, y, z, intensity, ring: float32 each, the layout of nuScenes' .pcd.bin."""

_OTHERS = (8, 7, 6, 4, 3)  # a multiple first: of 8 columns, 4 and 4 may look like points, of 4 no two do like 8
_FEWEST = 32  # points that a judgement needs
_LOOKED_AT = 256
_FARTHEST_M = 1000.0  # no LiDAR sees a point further away
_FLAT = 0.5  # by how much points spread less in z than on the ground


def columns_told(sweeps: Sequence[NDArray[np.float32]]) -> int | None:
    """How many columns all of some raw sweeps have, each given as its values (M,); None where they do not tell."""
    for columns in (NUSCENES_COLUMNS, *_OTHERS):
        if all(len(values) % columns == 0 for values in sweeps):
            points = [_some(values.reshape(-1, columns)) for values in sweeps]
            if points and is_plausible(np.concatenate(points)):
                return columns
    return None


def is_plausible(points: NDArray[np.float32]) -> bool:
    """Whether points (N, C) look as if read with the right number of columns.

    Coordinates are near, and what follows them is never negative. Where nothing follows, z must spread less than x and
    y, and every other point as its neighbors: else they are a mixture, or half of the points.
    """
    points = _some(points)
    low, high = _bounds(points)
    if not math.isfinite(sum(low) + sum(high)):
        points = points[np.isfinite(points).all(axis=1)]
        low, high = _bounds(points)
    if len(points) < _FEWEST or max(high[:3]) > _FARTHEST_M or min(low[:3]) < -_FARTHEST_M:
        return False
    if len(low) > 3:
        return min(low[3:]) >= 0
    spread, even, odd = points.std(axis=0), points[::2].std(axis=0), points[1::2].std(axis=0)
    return bool(spread[2] < _FLAT * spread[:2].max() and (np.maximum(even, odd) <= 2 * np.minimum(even, odd)).all())


def _bounds(points: NDArray[np.float32]) -> tuple[list[float], list[float]]:
    """The least and the greatest value of each column of points (N, C)."""
    columns = np.ascontiguousarray(points.T)
    return columns.min(axis=1, initial=np.inf).tolist(), columns.max(axis=1, initial=-np.inf).tolist()


def _some(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """About `_LOOKED_AT` of points (N, C), evenly spread, at a distance that no number of columns up to 8 divides."""
    step = max(len(points) // _LOOKED_AT, 1)
    while math.gcd(step, 2 * 3 * 5 * 7) > 1:
        step -= 1
    return points[::step]
