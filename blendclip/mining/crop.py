"""The crop kernel: which points of a sweep lie in which boxes, in one pass over the points."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from blendclip import geometry

_CELLS_PER_SIDE = 128  # of the grid over all boxes of a sweep: cells of about a metre; its table fits the CPU cache


def points_in_boxes(
    points_sensor: NDArray[np.float32], box_SE3_sensor: NDArray[np.float64], size_lwh_m: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Points of a sweep that lie in each of B boxes (faces included), in box frame.

    Args:
        points_sensor: (N, C >= 3) x, y, z, ... in the sensor's frame, metres; rows with NaN lie in no box.
        box_SE3_sensor: (B, 3, 4).
        size_lwh_m: (B, 3).

    Returns:
        offsets (B + 1,), row numbers (M,) and coordinates (M, 3) in box frame: box b owns offsets[b]:offsets[b + 1],
        in the order of the sweep.
    """
    half_m = np.ascontiguousarray(size_lwh_m / 2)
    corners_sensor = geometry.transform(geometry.inverse(box_SE3_sensor), geometry.box_corners(size_lwh_m))[..., :2]
    low, high = corners_sensor.min(axis=1), corners_sensor.max(axis=1)  # (B, 2) shadow of the box on the sensor's x, y
    origin = low.min(axis=0)
    cell_m = max((high.max(axis=0) - origin).max() / (_CELLS_PER_SIDE - 1), 1e-6)
    cells = np.floor((np.stack([low, high], axis=1) - origin) / cell_m).astype(np.int64)
    starts, members = _boxes_of_cells(cells)
    return _gather(points_sensor, box_SE3_sensor, half_m, origin, cell_m, starts, members)


@numba.njit(cache=True)
def _boxes_of_cells(cells):
    """The boxes whose shadow touches cell c, `members[starts[c]:starts[c + 1]]`; `cells` is (B, low/high, x/y)."""
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
def _gather(points, matrices, half, origin, cell, starts, members):
    side = _CELLS_PER_SIDE
    capacity, found = 1024, 0
    box_of, row_of = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    counts = np.zeros(half.shape[0] + 1, np.int64)
    per_cell = 1.0 / cell
    for row in range(points.shape[0]):
        x, y, z = np.float64(points[row, 0]), np.float64(points[row, 1]), np.float64(points[row, 2])
        gx, gy = (x - origin[0]) * per_cell, (y - origin[1]) * per_cell
        if not (0.0 <= gx < side and 0.0 <= gy < side):  # NaN falls out here too
            continue
        c = np.int64(gx) * side + np.int64(gy)
        for k in range(starts[c], starts[c + 1]):
            b = members[k]
            m = matrices[b]
            inside = True
            for axis in range(3):
                p = m[axis, 0] * x + m[axis, 1] * y + m[axis, 2] * z + m[axis, 3]
                if not abs(p) <= half[b, axis]:
                    inside = False
                    break
            if not inside:
                continue
            if found == capacity:
                capacity *= 2
                box_of, row_of = _grown(box_of, capacity), _grown(row_of, capacity)
            box_of[found], row_of[found] = b, row
            counts[b + 1] += 1
            found += 1
    return _by_box(points, matrices, box_of[:found], row_of[:found], np.cumsum(counts))


@numba.njit(cache=True)
def _grown(array, capacity):
    larger = np.empty(capacity, array.dtype)
    larger[: len(array)] = array
    return larger


@numba.njit(cache=True)
def _by_box(points, matrices, box_of, row_of, offsets):
    fill = offsets[:-1].copy()
    rows, xyz = np.empty(len(row_of), np.int32), np.empty((len(row_of), 3), np.float32)
    for i in range(len(row_of)):
        b, row = box_of[i], row_of[i]
        at, m = fill[b], matrices[b]
        fill[b] += 1
        rows[at] = row
        x, y, z = np.float64(points[row, 0]), np.float64(points[row, 1]), np.float64(points[row, 2])
        for axis in range(3):
            xyz[at, axis] = m[axis, 0] * x + m[axis, 1] * y + m[axis, 2] * z + m[axis, 3]
    return offsets, rows, xyz


@numba.njit(cache=True)
def place(
    fill: NDArray[np.int64],
    boxes: NDArray[np.int64],
    counts: NDArray[np.int64],
    source: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    target: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """Copy the points of some boxes, counts[i] of box boxes[i] in turn, to where each box's points go on in `target`.

    `source` and `target` hold coordinates (M, 3), intensities (M,) and time lags, the source one for each of its boxes.
    `fill` is the next free place of each box, moved on by this; where it is negative, the box's points are passed over.
    """
    start = 0
    for i in range(len(boxes)):
        at, end = fill[boxes[i]], start + counts[i]
        if at >= 0:
            for j in range(start, end):
                for axis in range(3):
                    target[0][at, axis] = source[0][j, axis]
                target[1][at] = source[1][j]
                target[2][at] = source[2][i]
                at += 1
            fill[boxes[i]] = at
        start = end
