"""Convex outlines in pixels: hulls, their bounds inside an image, and how much of a crop they cover. Numba kernels."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True)
def convex_hulls(
    points_px: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The convex hulls (P, V, 2) of the first counts[p] of the points (P, V, 2), and their numbers of corners (P,).

    The corners go round in one direction (Andrew's monotone chain); what is behind them is zero.
    """
    hulls, sizes = np.zeros_like(points_px), np.zeros(len(points_px), np.int64)
    chain = np.empty((2 * points_px.shape[1] + 1, 2))
    for p in range(len(points_px)):
        ordered = _sorted(points_px[p, : counts[p]])
        size = _half_chain(chain, 0, ordered)
        size = _half_chain(chain, size - 1, ordered[::-1]) - 1 if counts[p] > 1 else size
        hulls[p, :size], sizes[p] = chain[:size], size
    return hulls, sizes


@numba.njit(cache=True)
def _sorted(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A few points (V, 2) by x, then y (insertion sort)."""
    out = points.copy()
    for i in range(1, len(out)):
        x, y, j = out[i, 0], out[i, 1], i
        while j > 0 and (out[j - 1, 0] > x or (out[j - 1, 0] == x and out[j - 1, 1] > y)):
            out[j] = out[j - 1]
            j -= 1
        out[j, 0], out[j, 1] = x, y
    return out


@numba.njit(cache=True)
def _half_chain(chain: NDArray[np.float64], start: int, ordered: NDArray[np.float64]) -> int:
    """Write one side of the hull of ordered points (V, 2) into `chain` (2 V + 1, 2) from `start` on; return its end."""
    size = start
    for i in range(len(ordered)):
        x, y = ordered[i, 0], ordered[i, 1]
        while size >= start + 2 and _turn(chain[size - 2], chain[size - 1], x, y) <= 0:
            size -= 1
        chain[size, 0], chain[size, 1] = x, y
        size += 1
    return size


@numba.njit(cache=True)
def _turn(a: NDArray[np.float64], b: NDArray[np.float64], x: float, y: float) -> float:
    """Twice the signed area of the triangle of points a (2,), b (2,) and x, y; zero where they are on a line."""
    area: float = (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
    return area


@numba.njit(cache=True)
def bounds_inside(
    hulls: NDArray[np.float64], sizes: NDArray[np.int64], size_wh_px: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Bounds x, y, x, y (P, 4) of the part of each hull inside its image; NaN where none is.

    Hull p is the first sizes[p] corners of hulls[p], of (P, V, 2); `size_wh_px` is (P, 2).
    """
    bounds = np.full((len(hulls), 4), np.nan)
    for p in range(len(hulls)):
        part = hulls[p, : sizes[p]]
        for axis in range(2):
            part = _clipped(part, axis, 1.0, 0.0)
            part = _clipped(part, axis, -1.0, -float(size_wh_px[p, axis]))
        if len(part):
            bounds[p, 0], bounds[p, 1] = part[:, 0].min(), part[:, 1].min()
            bounds[p, 2], bounds[p, 3] = part[:, 0].max(), part[:, 1].max()
    return bounds


@numba.njit(cache=True)
def _clipped(corners: NDArray[np.float64], axis: int, sign: float, limit: float) -> NDArray[np.float64]:
    """The part (W, 2) of a convex polygon (V, 2) where sign * its coordinate along `axis` >= limit."""
    out, size = np.empty((len(corners) + 1, 2)), 0
    for i in range(len(corners)):
        a, b = corners[i - 1], corners[i]
        depth_a, depth_b = sign * a[axis] - limit, sign * b[axis] - limit
        if (depth_a < 0) != (depth_b < 0):
            share = depth_a / (depth_a - depth_b)
            out[size] = a + share * (b - a)
            out[size, axis] = sign * limit
            size += 1
        if depth_b >= 0:
            out[size] = b
            size += 1
    return out[:size]


@numba.njit(cache=True)
def covered_area(hulls: NDArray[np.float64], sizes: NDArray[np.int64], xyxy_px: NDArray[np.float64]) -> float:
    """The area in px^2 of the rectangle xyxy_px (4,) that convex hulls (P, V, 2) with sizes[p] corners cover together.

    Between neighbouring corners and crossings of edges, the covered length of a column of pixels is linear in x, so its
    value in the middle gives the area exactly.
    """
    left, right = xyxy_px[0], xyxy_px[2]
    edges = _edges(hulls, sizes, xyxy_px)
    cuts, count = np.empty(2 + len(edges) + len(edges) * (len(edges) - 1) // 2), 2
    cuts[0], cuts[1] = left, right
    for i in range(len(edges)):
        if left < edges[i, 0] < right:
            cuts[count] = edges[i, 0]
            count += 1
        for j in range(i):
            x = _crossing_x(edges[i], edges[j])
            if left < x < right:
                cuts[count] = x
                count += 1
    cuts = np.sort(cuts[:count])
    area = 0.0
    for k in range(count - 1):
        if cuts[k + 1] > cuts[k]:
            area += (cuts[k + 1] - cuts[k]) * _covered_length((cuts[k] + cuts[k + 1]) / 2, hulls, sizes, xyxy_px)
    return area


@numba.njit(cache=True)
def _edges(hulls: NDArray[np.float64], sizes: NDArray[np.int64], xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """All edges x0, y0, x1, y1 (E, 4) of hulls (P, V, 2), and the upper and lower side of the rectangle (4,)."""
    edges, count = np.empty((sizes.sum() + 2, 4)), 0
    for p in range(len(hulls)):
        for i in range(sizes[p]):
            a, b = hulls[p, i - 1 if i else sizes[p] - 1], hulls[p, i]
            edges[count, 0], edges[count, 1], edges[count, 2], edges[count, 3] = a[0], a[1], b[0], b[1]
            count += 1
    for y in (xyxy[1], xyxy[3]):
        edges[count, 0], edges[count, 1], edges[count, 2], edges[count, 3] = xyxy[0], y, xyxy[2], y
        count += 1
    return edges


@numba.njit(cache=True)
def _crossing_x(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The x at which two segments x0, y0, x1, y1 (4,) cross, NaN where they do not."""
    ax, ay, bx, by = a[2] - a[0], a[3] - a[1], b[2] - b[0], b[3] - b[1]
    cross = ax * by - ay * bx
    if cross == 0:
        return np.nan
    along_a = ((b[0] - a[0]) * by - (b[1] - a[1]) * bx) / cross
    along_b = ((b[0] - a[0]) * ay - (b[1] - a[1]) * ax) / cross
    return a[0] + along_a * ax if 0 <= along_a <= 1 and 0 <= along_b <= 1 else np.nan


@numba.njit(cache=True)
def _covered_length(x: float, hulls: NDArray[np.float64], sizes: NDArray[np.int64], xyxy: NDArray[np.float64]) -> float:
    """How much of the column at x of the rectangle (4,) lies in any of the hulls (P, V, 2), in px."""
    spans, count = np.empty((len(hulls), 2)), 0
    for p in range(len(hulls)):
        low, high = np.inf, -np.inf
        for i in range(sizes[p]):
            a, b = hulls[p, i - 1 if i else sizes[p] - 1], hulls[p, i]
            if (a[0] < x) != (b[0] < x):
                y = a[1] + (x - a[0]) / (b[0] - a[0]) * (b[1] - a[1])
                low, high = min(low, y), max(high, y)
        low, high = max(low, xyxy[1]), min(high, xyxy[3])
        if low < high:
            spans[count, 0], spans[count, 1] = low, high
            count += 1
    length, reached = 0.0, -np.inf
    for i in np.argsort(spans[:count, 0]):
        length += max(spans[i, 1] - max(spans[i, 0], reached), 0.0)
        reached = max(reached, spans[i, 1])
    return length
