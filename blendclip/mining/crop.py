"""The crop kernel: which points of a sweep lie in which boxes, in one pass over the points.

Sizes: N points of the sweep, M points in boxes, B boxes, T trajectories, K timestamps, S cells on a side of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_CELLS_PER_SIDE = 128  # of the grid over all boxes of a sweep: cells of about a metre; its table fits the CPU cache
_MARGIN_M = 0.01  # around a box's bounds, for what blending between poses may differ from the poses

Boxes = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]
"""`box_SE3_sensor` (T, K, 3, 4), the trajectory of each box (B,) and half of its size (B, 3) in metres."""
Inside = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]
"""offsets (B + 1,), rows (M,) and box-frame coordinates (M, 3): box b owns offsets[b]:offsets[b + 1]."""
Points = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Coordinates (M, 3) in metres, intensities (M,) and time lags (M,) in seconds."""


@dataclass(frozen=True)
class BoxTrajectories:
    """Where boxes are before a sensor, at K timestamps of a sweep; poses are blended linearly in between."""

    timestamps_us: NDArray[np.int64]
    """(K,) strictly increasing; not looked at where K is 1: the boxes then stand still."""
    box_SE3_sensor: NDArray[np.float64]  # noqa: N815
    """(T, K, 3, 4) of each trajectory at each timestamp."""
    trajectory: NDArray[np.int64]
    """(B,) which of the T each box follows."""


def points_in_boxes(
    points_sensor: NDArray[np.float32],
    point_times_us: NDArray[np.int64] | None,
    trajectories: BoxTrajectories,
    size_lwh_m: NDArray[np.float64],
) -> Inside:
    """Points of a sweep that lie in each of B boxes (faces included) when they are measured, in box frame.

    Args:
        points_sensor: (N, C >= 3) x, y, z, ... in the sensor's frame, metres; rows with NaN lie in no box.
        point_times_us: (N,) when each point was measured, within the trajectories' timestamps; needed for more than one
            of them.
        trajectories: of the boxes.
        size_lwh_m: (B, 3).

    Returns:
        offsets (B + 1,), row numbers (M,) and coordinates (M, 3) in box frame: box b owns offsets[b]:offsets[b + 1],
        in the order of the sweep.
    """
    half_m, matrices = np.ascontiguousarray(size_lwh_m / 2), np.ascontiguousarray(trajectories.box_SE3_sensor)
    bounds_m = _bev_bounds(matrices, trajectories.trajectory, half_m)
    origin = bounds_m[:, 0].min(axis=0)
    cell_m = max((bounds_m[:, 1].max(axis=0) - origin).max() / (_CELLS_PER_SIDE - 1), 1e-6)
    starts, members = _boxes_of_cells(np.floor((bounds_m - origin) / cell_m).astype(np.int64))
    times_us = np.empty(0, np.int64) if point_times_us is None else point_times_us
    boxes = (matrices, trajectories.trajectory, half_m)
    inside: Inside = _gather(
        points_sensor, times_us, trajectories.timestamps_us, boxes, origin, cell_m, starts, members
    )
    return inside


@numba.njit(cache=True)
def _bev_bounds(
    matrices: NDArray[np.float64], trajectory: NDArray[np.int64], half: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bounds (B, 2, 2) of each box on the sensor's x and y over all timestamps: [b, low or high, x or y], metres.

    `matrices` (T, K, 3, 4) are `box_SE3_sensor`, `trajectory` is (B,), `half` (B, 3). Rows of a matrix are the box's
    axes in the sensor's frame, so its extent along a sensor axis is the sum of what each half side reaches along it.
    """
    bounds = np.empty((len(half), 2, 2))
    for b in range(len(half)):
        bounds[b, 0], bounds[b, 1] = np.inf, -np.inf
        for k in range(matrices.shape[1]):
            m = matrices[trajectory[b], k]
            for axis in range(2):
                center, reach = 0.0, _MARGIN_M
                for j in range(3):
                    center -= m[j, axis] * m[j, 3]
                    reach += abs(m[j, axis]) * half[b, j]
                bounds[b, 0, axis] = min(bounds[b, 0, axis], center - reach)
                bounds[b, 1, axis] = max(bounds[b, 1, axis], center + reach)
    return bounds


def points_in_frame(
    points_sensor: NDArray[np.float32],
    point_times_us: NDArray[np.int64] | None,
    timestamps_us: NDArray[np.int64],
    frame_SE3_sensor: NDArray[np.float64],
) -> NDArray[np.float64]:
    """All points (N, 3) of a sweep in another frame, whose poses are blended linearly between timestamps.

    Args:
        points_sensor: (N, C >= 3) x, y, z, ... in the sensor's frame, metres.
        point_times_us: (N,) when each point was measured, within `timestamps_us`; needed where K is more than 1.
        timestamps_us: (K,) strictly increasing.
        frame_SE3_sensor: (K, 3, 4) at these timestamps.
    """
    times_us = np.empty(0, np.int64) if point_times_us is None else point_times_us
    points_frame: NDArray[np.float64] = _in_frame(
        points_sensor, times_us, timestamps_us, np.ascontiguousarray(frame_SE3_sensor)
    )
    return points_frame


@numba.njit(cache=True)
def _in_frame(
    points: NDArray[np.float32],
    times: NDArray[np.int64],
    timestamps: NDArray[np.int64],
    matrices: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Points (N, C) moved by matrices (K, 3, 4) at timestamps (K,), blended at their times (N,): (N, 3).

    Times are not looked at where K is 1, and may then be empty.
    """
    out, k, share = np.empty((len(points), 3)), 0, 0.0
    for row in range(len(points)):
        x, y, z = np.float64(points[row, 0]), np.float64(points[row, 1]), np.float64(points[row, 2])
        if len(timestamps) > 1:
            k = _slice_at(timestamps, times[row], k)
            share = (times[row] - timestamps[k]) / (timestamps[k + 1] - timestamps[k])
        for axis in range(3):
            m = matrices[k, axis]
            out[row, axis] = m[0] * x + m[1] * y + m[2] * z + m[3]
            if len(timestamps) > 1:
                m = matrices[k + 1, axis]
                out[row, axis] += share * (m[0] * x + m[1] * y + m[2] * z + m[3] - out[row, axis])
    return out


@numba.njit(cache=True)
def _boxes_of_cells(cells: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The boxes over each cell c = x * S + y of the grid: `members[starts[c]:starts[c + 1]]`.

    `cells` (B, 2, 2) holds the first and last cell that the bounds of box b touch: [b, low or high, x or y]; `starts`
    is (S * S + 1,).
    """
    side = _CELLS_PER_SIDE
    counts = np.zeros(side * side, np.int32)
    for b in range(cells.shape[0]):
        for ix in range(cells[b, 0, 0], cells[b, 1, 0] + 1):
            for iy in range(cells[b, 0, 1], cells[b, 1, 1] + 1):
                counts[ix * side + iy] += 1
    starts = np.zeros(side * side + 1, np.int32)
    starts[1:] = np.cumsum(counts)
    members = np.empty(starts[-1], np.int32)
    fill = starts[:-1].copy()
    for b in range(cells.shape[0]):
        for ix in range(cells[b, 0, 0], cells[b, 1, 0] + 1):
            for iy in range(cells[b, 0, 1], cells[b, 1, 1] + 1):
                members[fill[ix * side + iy]] = b
                fill[ix * side + iy] += 1
    return starts, members


@numba.njit(cache=True)
def _gather(
    points: NDArray[np.float32],
    times: NDArray[np.int64],
    timestamps: NDArray[np.int64],
    boxes: Boxes,
    origin: NDArray[np.float64],
    cell: float,
    starts: NDArray[np.int32],
    members: NDArray[np.int32],
) -> Inside:
    """The points (N, C) inside each box, by box and then in the order of the sweep, as `Inside`.

    A point is only held against the boxes of its cell: `origin` (2,) is the grid's lower corner on the sensor's x and
    y, `cell` the side of a cell, both in metres, `starts` and `members` are of `_boxes_of_cells`. `times` (N,) are the
    points', `timestamps` (K,) the matrices'; times are not looked at where K is 1.
    """
    side, (matrices, trajectory, half) = _CELLS_PER_SIDE, boxes
    capacity, found = 1024, 0
    box_of, row_of, xyz_of = (
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
        np.empty((capacity, 3), np.float32),
    )
    counts = np.zeros(half.shape[0] + 1, np.int64)
    per_cell, still = 1.0 / cell, len(timestamps) == 1
    p, k, share = np.empty(3), 0, 0.0
    for row in range(points.shape[0]):
        x, y, z = np.float64(points[row, 0]), np.float64(points[row, 1]), np.float64(points[row, 2])
        gx, gy = (x - origin[0]) * per_cell, (y - origin[1]) * per_cell
        if not (0.0 <= gx < side and 0.0 <= gy < side):  # NaN falls out here too
            continue
        c = np.int64(gx) * side + np.int64(gy)
        if starts[c] == starts[c + 1]:
            continue
        if not still:
            k = _slice_at(timestamps, times[row], k)
            share = (times[row] - timestamps[k]) / (timestamps[k + 1] - timestamps[k])
        for n in range(starts[c], starts[c + 1]):
            b = members[n]
            inside = True
            t = trajectory[b]
            for axis in range(3):
                a = _axis_of(matrices, t, k, axis, x, y, z)
                p[axis] = a if still else a + share * (_axis_of(matrices, t, k + 1, axis, x, y, z) - a)
                if not abs(p[axis]) <= half[b, axis]:
                    inside = False
                    break
            if not inside:
                continue
            if found == capacity:
                capacity *= 2
                box_of, row_of, xyz_of = _grown(box_of, capacity), _grown(row_of, capacity), _grown(xyz_of, capacity)
            box_of[found], row_of[found] = b, row
            xyz_of[found] = p
            counts[b + 1] += 1
            found += 1
    return _by_box(box_of[:found], row_of[:found], xyz_of[:found], np.cumsum(counts))


@numba.njit(cache=True, inline="always")
def _axis_of(
    matrices: NDArray[np.float64], t: int, k: int, axis: int, x: np.float64, y: np.float64, z: np.float64
) -> np.float64:
    """One coordinate of the point x, y, z moved by matrices[t, k] of (T, K, 3, 4)."""
    m = matrices[t, k, axis]
    moved: np.float64 = m[0] * x + m[1] * y + m[2] * z + m[3]
    return moved


@numba.njit(cache=True)
def _slice_at(timestamps: NDArray[np.int64], time: int, k: int) -> int:
    """The k with timestamps[k] <= time <= timestamps[k + 1] of (K,), looked for from the last k on.

    Points of a sweep come nearly in time, so this takes few steps.
    """
    last = len(timestamps) - 2
    while k < last and time > timestamps[k + 1]:
        k += 1
    while k > 0 and time < timestamps[k]:
        k -= 1
    return k


@numba.njit(cache=True)
def _grown(array: NDArray[Any], capacity: int) -> NDArray[Any]:
    """The array (M, ...) as the head of one of `capacity` rows."""
    larger = np.empty((capacity,) + array.shape[1:], array.dtype)
    larger[: len(array)] = array
    return larger


@numba.njit(cache=True)
def _by_box(
    box_of: NDArray[np.int32], row_of: NDArray[np.int32], xyz_of: NDArray[np.float32], offsets: NDArray[np.int64]
) -> Inside:
    """Rows (M,) and coordinates (M, 3) sorted by box (M,), stably; box b owns offsets[b]:offsets[b + 1] of (B + 1,)."""
    fill = offsets[:-1].copy()
    rows, xyz = np.empty(len(row_of), np.int32), np.empty((len(row_of), 3), np.float32)
    for i in range(len(row_of)):
        at = fill[box_of[i]]
        fill[box_of[i]] += 1
        rows[at] = row_of[i]
        xyz[at] = xyz_of[i]
    return offsets, rows, xyz


@numba.njit(cache=True)
def scatter(
    fill: NDArray[np.int64], boxes: NDArray[np.int64], counts: NDArray[np.int64], source: Points, target: Points
) -> None:
    """Copy the points of some boxes, counts[i] of box boxes[i] in turn, to where each box's points go on in `target`.

    `boxes` and `counts` are (P,), `source` holds the points of all of them in that order. `fill` (B,) is the next free
    row of each box in `target`, moved on by this; where it is negative, the box's points are passed over.
    """
    start = 0
    for i in range(len(boxes)):
        at, end = fill[boxes[i]], start + counts[i]
        if at >= 0:
            for j in range(start, end):
                for axis in range(3):
                    target[0][at, axis] = source[0][j, axis]
                target[1][at] = source[1][j]
                target[2][at] = source[2][j]
                at += 1
            fill[boxes[i]] = at
        start = end
