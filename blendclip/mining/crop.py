"""The crop kernel: which points of a sweep lie in which boxes, in one pass over the points."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

_CELLS_PER_SIDE = 128  # of the grid over all boxes of a sweep: cells of about a metre; its table fits the CPU cache
_MARGIN_M = 0.01  # around a box's shadow, for what blending between poses may differ from the poses


@dataclass(frozen=True)
class Passage:
    """How boxes pass before a sensor: T trajectories at K moments of a sweep, blended linearly in between."""

    moments_us: NDArray[np.int64]  # (K,) strictly increasing; not looked at where K is 1: the boxes then stand still
    box_SE3_sensor: NDArray[np.float64]  # (T, K, 3, 4)  # noqa: N815
    trajectory: NDArray[np.int64]  # (B,) which of the T each box follows


def points_in_boxes(
    points_sensor: NDArray[np.float32],
    times_us: NDArray[np.int64] | None,
    passage: Passage,
    size_lwh_m: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Points of a sweep that lie in each of B boxes (faces included) when they are measured, in box frame.

    Args:
        points_sensor: (N, C >= 3) x, y, z, ... in the sensor's frame, metres; rows with NaN lie in no box.
        times_us: (N,) when each point was measured, within the passage's moments; needed for more than one moment.
        passage: of the boxes.
        size_lwh_m: (B, 3).

    Returns:
        offsets (B + 1,), row numbers (M,) and coordinates (M, 3) in box frame: box b owns offsets[b]:offsets[b + 1],
        in the order of the sweep.
    """
    half_m, matrices = np.ascontiguousarray(size_lwh_m / 2), np.ascontiguousarray(passage.box_SE3_sensor)
    shadows = _shadows(matrices, passage.trajectory, half_m)
    origin = shadows[:, 0].min(axis=0)
    cell_m = max((shadows[:, 1].max(axis=0) - origin).max() / (_CELLS_PER_SIDE - 1), 1e-6)
    starts, members = _boxes_of_cells(np.floor((shadows - origin) / cell_m).astype(np.int64))
    times_us = np.empty(0, np.int64) if times_us is None else times_us
    boxes = (matrices, passage.trajectory, half_m)
    return _gather(points_sensor, times_us, passage.moments_us, boxes, origin, cell_m, starts, members)


@numba.njit(cache=True)
def _shadows(matrices, trajectory, half):
    """Bounds (B, low/high, x/y) of each box on the sensor's x and y, over all moments."""
    shadows = np.empty((len(half), 2, 2))
    for b in range(len(half)):
        shadows[b, 0], shadows[b, 1] = np.inf, -np.inf
        for k in range(matrices.shape[1]):
            m = matrices[trajectory[b], k]
            for axis in range(2):
                centre, reach = 0.0, _MARGIN_M
                for j in range(3):
                    centre -= m[j, axis] * m[j, 3]
                    reach += abs(m[j, axis]) * half[b, j]
                shadows[b, 0, axis] = min(shadows[b, 0, axis], centre - reach)
                shadows[b, 1, axis] = max(shadows[b, 1, axis], centre + reach)
    return shadows


def points_in_frame(
    points_sensor: NDArray[np.float32],
    times_us: NDArray[np.int64] | None,
    moments_us: NDArray[np.int64],
    frame_SE3_sensor: NDArray[np.float64],
) -> NDArray[np.float64]:
    """All points (N, 3) of a sweep in another frame, whose poses (K, 3, 4) at the moments (K,) are blended linearly."""
    times_us = np.empty(0, np.int64) if times_us is None else times_us
    return _in_frame(points_sensor, times_us, moments_us, np.ascontiguousarray(frame_SE3_sensor))


@numba.njit(cache=True)
def _in_frame(points, times, moments, matrices):
    out, k, share = np.empty((len(points), 3)), 0, 0.0
    for row in range(len(points)):
        x, y, z = np.float64(points[row, 0]), np.float64(points[row, 1]), np.float64(points[row, 2])
        if len(moments) > 1:
            k = _slice_at(moments, times[row], k)
            share = (times[row] - moments[k]) / (moments[k + 1] - moments[k])
        for axis in range(3):
            m = matrices[k, axis]
            out[row, axis] = m[0] * x + m[1] * y + m[2] * z + m[3]
            if len(moments) > 1:
                m = matrices[k + 1, axis]
                out[row, axis] += share * (m[0] * x + m[1] * y + m[2] * z + m[3] - out[row, axis])
    return out


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
def _gather(points, times, moments, boxes, origin, cell, starts, members):
    side, (matrices, trajectory, half) = _CELLS_PER_SIDE, boxes
    capacity, found = 1024, 0
    box_of, row_of, xyz_of = (
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
        np.empty((capacity, 3), np.float32),
    )
    counts = np.zeros(half.shape[0] + 1, np.int64)
    per_cell, still = 1.0 / cell, len(moments) == 1
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
            k = _slice_at(moments, times[row], k)
            share = (times[row] - moments[k]) / (moments[k + 1] - moments[k])
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
def _axis_of(matrices, t, k, axis, x, y, z):
    """One coordinate of a point moved by matrices[t, k]."""
    m = matrices[t, k, axis]
    return m[0] * x + m[1] * y + m[2] * z + m[3]


@numba.njit(cache=True)
def _slice_at(moments, time, k):
    """The k with moments[k] <= time <= moments[k + 1], looked for from the last one on: sweeps run in time."""
    last = len(moments) - 2
    while k < last and time > moments[k + 1]:
        k += 1
    while k > 0 and time < moments[k]:
        k -= 1
    return k


@numba.njit(cache=True)
def _grown(array, capacity):
    larger = np.empty((capacity,) + array.shape[1:], array.dtype)
    larger[: len(array)] = array
    return larger


@numba.njit(cache=True)
def _by_box(box_of, row_of, xyz_of, offsets):
    fill = offsets[:-1].copy()
    rows, xyz = np.empty(len(row_of), np.int32), np.empty((len(row_of), 3), np.float32)
    for i in range(len(row_of)):
        at = fill[box_of[i]]
        fill[box_of[i]] += 1
        rows[at] = row_of[i]
        xyz[at] = xyz_of[i]
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

    `source` and `target` hold coordinates (M, 3), intensities (M,) and time lags (M,). `fill` is the next free place of
    each box, moved on by this; where it is negative, the box's points are passed over.
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
