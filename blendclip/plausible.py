"""What values of a driving recording can be, by kind.

The bounds leave out what no vehicle or sensor is, not what is rare. A value beyond them is a fault of its row, and of
the dataset where most rows have one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOUNTING_M = 30.0
"""Distance of a sensor from the vehicle's origin: the longest trucks have 25 m."""
COORDINATE_M = 2.1e7
"""Coordinate of a vehicle in the global frame: UTM reaches 1e7 m, Web Mercator 2.004e7 m."""
SPEED_MPS = 100.0
"""Speed of a vehicle or an annotated object."""
JUMP_M = 5.0
"""Distance by which a localization may jump."""
BOX_DISTANCE_M = 1000.0
"""Distance of an annotated box from the vehicle: no sensor sees a box further away."""
BOX_SIDE_M = 100.0
"""Length, width or height of an annotated box."""
IMAGE_SIDE_PX = 65_535
"""Width or height of an image: a JPEG has no longer side."""
FOCAL_SIDES = (0.05, 100.0)
"""Focal length in sides of the image."""
CENTER_SIDES = (-0.5, 1.5)
"""Principal point in sides of the image."""
POINTS = 10_000_000
"""Number of LiDAR points in a box."""
_EARLIEST_US, _LATEST_US = 10**14, 8 * 10**15  # the years 1973 to 2223
_UNITS = {"seconds": 10**6, "milliseconds": 10**3, "nanoseconds": 10**-3}
_LAST_ROW = 1e-6  # by which the last row of an intrinsic matrix may differ from 0 0 1


def lengths_m(vectors_ND: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths (N,) of vectors (N, D), infinite where they are too long for a number."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths: NDArray[np.float64] = np.linalg.norm(vectors_ND, axis=1)
    return lengths


def are_boxes(size_lwh_m: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether sizes (N, 3) are those of boxes (N,)."""
    good: NDArray[np.bool_] = ((size_lwh_m > 0) & (size_lwh_m <= BOX_SIDE_M)).all(axis=1)
    return good


def are_counts(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether numbers (N,) are counts of points in boxes (N,)."""
    good: NDArray[np.bool_] = (points >= 0) & (points <= POINTS) & (points == np.floor(points))
    return good


def are_image_sizes(size_wh_px: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether widths and heights (N, 2) are those of images (N,)."""
    good: NDArray[np.bool_] = ((size_wh_px > 0) & (size_wh_px <= IMAGE_SIDE_PX)).all(axis=1)
    return good


def are_pinholes(intrinsic: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the last rows of intrinsic matrices (N, 3, 3) are 0 0 1 (N,)."""
    good: NDArray[np.bool_] = (np.abs(intrinsic[:, 2] - [0, 0, 1]) < _LAST_ROW).all(axis=1)
    return good


def are_focal_lengths(intrinsic: NDArray[np.float64], size_wh_px: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the focal lengths of intrinsic matrices (N, 3, 3) suit images of sizes (N, 2), pixels (N,)."""
    focal_px = intrinsic[:, [0, 1], [0, 1]]
    least, most = FOCAL_SIDES
    good: NDArray[np.bool_] = ((focal_px > size_wh_px * least) & (focal_px < size_wh_px * most)).all(axis=1)
    return good


def are_centers(intrinsic: NDArray[np.float64], size_wh_px: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the principal points of intrinsic matrices (N, 3, 3) are near images of sizes (N, 2), pixels (N,)."""
    center_px = intrinsic[:, :2, 2]
    least, most = CENTER_SIDES
    good: NDArray[np.bool_] = ((center_px > size_wh_px * least) & (center_px < size_wh_px * most)).all(axis=1)
    return good


def are_lenses(distortion: Sequence[Sequence[float | None] | None]) -> NDArray[np.bool_]:
    """Whether coefficients of distortion are five numbers, or none at all (N,)."""
    good = [lens is None or (len(lens) == 5 and np.isfinite(np.array(lens, float)).all()) for lens in distortion]
    return np.array(good, bool)


def are_reached(time_us: NDArray[np.int64], place: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a vehicle at places (K, 3), metres, at times (K,) can be where it is most of the other times (K,).

    Unknown places, NaN, cannot; a single known one can.
    """
    known = np.isfinite(place).all(axis=1)
    unreached = np.zeros(len(place), np.int64)
    for number in np.flatnonzero(known).tolist():
        unreached += lengths_m(place - place[number]) > reach_m(time_us - time_us[number])
    return known & (2 * unreached <= known.sum() - 1)


def reach_m(gap_us: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far (N,) a vehicle comes in times (N,), and its localization may jump."""
    return JUMP_M + SPEED_MPS * np.abs(gap_us) / 1e6


def wrong_unit(timestamp: float) -> str | None:
    """What a time looks like that is in another unit than microseconds; None where it may be on any clock in them."""
    if _EARLIEST_US <= timestamp <= _LATEST_US:
        return None
    units = [unit for unit, factor in _UNITS.items() if _EARLIEST_US <= timestamp * factor <= _LATEST_US]
    return f"{timestamp}, {units[0]} by the look of it" if units else None
