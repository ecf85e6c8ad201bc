"""Boxes of a detector cut out of a sweep.

Letters in names: N points, M boxes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blendclip import geometry
from blendclip.errors import UserError
from blendclip.mining.crop import BoxTrajectories, points_in_boxes

_FAR_M = 1e4  # from here on float32 is coarser than a millimetre


def crop(sweep: NDArray[np.floating], boxes: ArrayLike) -> list[NDArray[np.float32] | None]:
    """The points of a sweep that lie in each of M boxes, faces included, each in the frame of its box.

    Args:
        sweep: (N, C >= 3) x, y, z in metres, and more; an array or tensor.
        boxes: (M, 7) x, y, z of the centre, length, width, height, yaw about z, counterclockwise from x, in radians;
            or (M, 10) with a quaternion w, x, y, z in place of yaw. Metres, in the frame of the sweep.

    Returns:
        For each box its points (n, C), x forward, y left, z up from its centre, and the other columns as they are; None
        where no point lies in it.

    Raises:
        UserError: a shape or type is wrong, or a box is not finite or of no size.
    """
    points, boxes = _points(sweep), _boxes(boxes)
    if not len(boxes):
        return []
    points, origin = _near(points, boxes)
    box_SE3_sensor = geometry.inverse(geometry.pose(rotations_of(boxes), boxes[:, :3] - origin))
    standing = BoxTrajectories(np.zeros(1, np.int64), box_SE3_sensor[:, None], np.arange(len(boxes)))
    offsets, rows, xyz_box = points_in_boxes(points, None, standing, boxes[:, 3:6])
    inside = points.take(rows, axis=0)
    inside[:, :3] = xyz_box
    ends = offsets.tolist()
    return [inside[begin:end] if end > begin else None for begin, end in zip(ends, ends[1:], strict=False)]


def box_faults(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(M,) True for boxes (M, 7 or 10) that cannot be cut out: not finite, of no size, or turned by no rotation."""
    broken_M = ~np.isfinite(boxes).all(axis=1) | ~(boxes[:, 3:6] > 0).all(axis=1)
    if boxes.shape[1] == 10:
        broken_M |= ~(np.abs(np.linalg.norm(boxes[:, 6:], axis=1) - 1) <= geometry.UNIT_TOLERANCE)
    return broken_M


def _points(sweep: Any) -> NDArray[np.floating]:
    points = np.asarray(sweep)
    if points.ndim != 2 or points.shape[1] < 3 or points.dtype.kind != "f":
        raise UserError(
            f"the sweep has shape {points.shape} and type {points.dtype}: give (N, 3) or wider floats, x, y, z first"
        )
    return points


def _near(points: NDArray[np.floating], boxes: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The points in float32, as they are where they can be, and the origin that was taken from all coordinates.

    It is the middle of boxes that are far from the frame's own, so that float32 keeps its digits.
    """
    origin = np.zeros(3)
    if np.abs(boxes[:, :3]).max() > _FAR_M:
        origin = boxes[:, :3].mean(axis=0)
        points = points.astype(np.float64)
        points[:, :3] -= origin
    return np.ascontiguousarray(points, np.float32), origin


def _boxes(given: ArrayLike) -> NDArray[np.float64]:
    boxes = np.asarray(given)
    if not boxes.size:
        return np.empty((0, 7))
    if boxes.ndim != 2 or boxes.shape[1] not in (7, 10) or boxes.dtype.kind not in "fiu":
        raise UserError(
            f"the boxes have shape {boxes.shape} and type {boxes.dtype}: give (M, 7) numbers, x y z length width "
            "height yaw, or (M, 10) with a quaternion w x y z in place of yaw"
        )
    boxes = boxes.astype(np.float64)
    if len(broken := np.flatnonzero(box_faults(boxes))):
        raise UserError(
            f"box {broken[0]} is {boxes[broken[0]].round(3).tolist()}: its numbers must be finite, its sizes above 0 "
            "and its quaternion of length 1; leave it out"
        )
    return boxes


def rotations_of(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quaternions w, x, y, z (M, 4) of boxes (M, 7 or 10)."""
    if boxes.shape[1] == 10:
        return boxes[:, 6:]
    half, zeros = boxes[:, 6] / 2, np.zeros(len(boxes))
    return np.stack([np.cos(half), zeros, zeros, np.sin(half)], axis=1)
