"""Poses, boxes and pinhole projection on plain arrays.

A pose is named `dst_SE3_src`: a (..., 3, 4) float64 matrix [R | t] that takes points of frame `src` to frame `dst`, so
a chain reads by cancelling: `global_SE3_sensor = compose(global_SE3_ego, ego_SE3_sensor)`. Quaternions are w, x, y, z.
The box frame has its origin at the box centre, x forward, y left, z up; sizes are length, width, height along x, y, z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEAR_M = 0.1  # boxes are cut at this depth, so that a box that reaches behind the camera keeps its true outline
UNIT_TOLERANCE = 1e-3  # |q| may differ from 1 by rounding in a file, not by more
NEAR_US = 1_000_000  # a reading further than this from the time that it serves has a wrong time stamp
MAX_POSE_GAP_US = 200_000  # over 0.2 s a vehicle braking at 10 m/s2 is up to 5 cm off the straight line between poses

_CORNER_SIGNS = np.array([(x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)], dtype=np.float64)
BOX_EDGES = np.array(  # (12, 2) which of the corners each edge of a box joins
    [(a, b) for a in range(8) for b in range(a + 1, 8) if (_CORNER_SIGNS[a] != _CORNER_SIGNS[b]).sum() == 1]
)
FRONT_FACE = np.array([0, 1, 3, 2])  # its corners, in a ring


def rotation_matrix(rotation_wxyz: ArrayLike) -> NDArray[np.float64]:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4), which are normalised first."""
    w, x, y, z = np.moveaxis(_unit(np.asarray(rotation_wxyz, dtype=np.float64)), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def pose(rotation_wxyz: ArrayLike, translation_m: ArrayLike) -> NDArray[np.float64]:
    """Poses (..., 3, 4) from quaternions (..., 4) and translations (..., 3) in metres."""
    return np.concatenate([rotation_matrix(rotation_wxyz), np.asarray(translation_m, np.float64)[..., None]], axis=-1)


def compose(a_SE3_b: NDArray[np.float64], b_SE3_c: NDArray[np.float64]) -> NDArray[np.float64]:
    """`a_SE3_c` (..., 3, 4) of poses (..., 3, 4), with the leading dimensions broadcast."""
    a_SE3_c = a_SE3_b[..., :3] @ b_SE3_c
    a_SE3_c[..., 3] += a_SE3_b[..., 3]
    return a_SE3_c


def inverse(a_SE3_b: NDArray[np.float64]) -> NDArray[np.float64]:
    """`b_SE3_a` of poses (..., 3, 4)."""
    b_R_a = np.swapaxes(a_SE3_b[..., :3], -1, -2)
    return np.concatenate([b_R_a, -(b_R_a @ a_SE3_b[..., 3:])], axis=-1)


def transform(a_SE3_b: NDArray[np.float64], points_b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (..., N, 3) of frame b in frame a."""
    return points_b @ np.swapaxes(a_SE3_b[..., :3], -1, -2) + a_SE3_b[..., None, :, 3]


def slerp(
    from_wxyz: NDArray[np.float64], to_wxyz: NDArray[np.float64], amount: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Unit quaternions (N, 4) on the shorter arc between unit quaternions (N, 4).

    `amount` (N,) is 0 at `from` and 1 at `to`; beyond, the rotation goes on at the same angular velocity.
    """
    dot = np.sum(from_wxyz * to_wxyz, axis=-1)
    to_wxyz = np.where(dot[:, None] < 0, -to_wxyz, to_wxyz)
    angle = np.arccos(np.clip(np.abs(dot), 0.0, 1.0))
    sine = np.sin(angle)
    straight = sine < 1e-6  # nearly equal: the limit is linear
    safe_sine = np.where(straight, 1.0, sine)
    weight_from = np.where(straight, 1 - amount, np.sin((1 - amount) * angle) / safe_sine)
    weight_to = np.where(straight, amount, np.sin(amount * angle) / safe_sine)
    return _unit(weight_from[:, None] * from_wxyz + weight_to[:, None] * to_wxyz)


def _unit(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quaternions (..., 4) of length 1."""
    unit: NDArray[np.float64] = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return unit


def quaternion(rotation_matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit quaternions (..., 4) of rotation matrices (..., 3, 3); of q and -q, either."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = np.moveaxis(rotation_matrix, (-2, -1), (0, 1))
    rows = [
        [1 + xx + yy + zz, zy - yz, xz - zx, yx - xy],
        [zy - yz, 1 + xx - yy - zz, xy + yx, xz + zx],
        [xz - zx, xy + yx, 1 - xx + yy - zz, yz + zy],
        [yx - xy, xz + zx, yz + zy, 1 - xx - yy + zz],
    ]
    products = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)  # 4 q q^T
    largest = np.diagonal(products, axis1=-2, axis2=-1).argmax(axis=-1)  # the row that cancels least
    return _unit(np.take_along_axis(products, largest[..., None, None], axis=-2)[..., 0, :])


def interpolate_poses(
    timestamp_us: NDArray[np.int64],
    a_SE3_b: NDArray[np.float64],
    at_us: NDArray[np.int64],
    max_gap_us: int = MAX_POSE_GAP_US,
    max_beyond_us: int = 0,
) -> NDArray[np.float64]:
    """The poses `a_SE3_b` (M, 3, 4) at times (M,) of a stream of poses (E, 3, 4) at strictly increasing times (E,).

    Between two poses the origin moves linearly and the rotation on the shorter arc (slerp); up to `max_beyond_us`
    before the first and after the last both go on at constant velocity. NaN further out, and between two that are more
    than `max_gap_us` apart.
    """
    if not len(timestamp_us):
        return np.full((len(at_us), 3, 4), np.nan)
    before = np.clip(np.searchsorted(timestamp_us, at_us, side="right") - 1, 0, max(len(timestamp_us) - 2, 0))
    after = np.minimum(before + 1, len(timestamp_us) - 1)
    span_us = timestamp_us[after] - timestamp_us[before]
    amount = (at_us - timestamp_us[before]) / np.maximum(span_us, 1)
    a, b = a_SE3_b[before], a_SE3_b[after]
    rotation = slerp(quaternion(a[..., :3]), quaternion(b[..., :3]), amount)
    poses = pose(rotation, a[..., 3] + amount[:, None] * (b[..., 3] - a[..., 3]))
    beyond_us = np.maximum(timestamp_us[0] - at_us, at_us - timestamp_us[-1])
    hit = (at_us == timestamp_us[before]) | (at_us == timestamp_us[after])
    known = (beyond_us <= max_beyond_us) & ((span_us <= max_gap_us) | hit)
    return np.where(known[:, None, None], poses, np.nan)


@dataclass(frozen=True)
class EgoPoses:
    """The recorded poses of an ego vehicle over time; there may be none."""

    timestamp_us: NDArray[np.int64]
    """(E,) strictly increasing."""
    global_SE3_ego: NDArray[np.float64]  # noqa: N815
    """(E, 3, 4) at these times."""

    def at(self, timestamp_us: NDArray[np.int64], max_beyond_us: int = 0) -> NDArray[np.float64]:
        """`global_SE3_ego` (M, 3, 4) at times (M,), interpolated; NaN where `interpolate_poses` knows none."""
        return interpolate_poses(self.timestamp_us, self.global_SE3_ego, timestamp_us, max_beyond_us=max_beyond_us)


def in_time(
    time_us: NDArray[np.int64], keyframe: NDArray[np.int64], keyframe_us: NDArray[np.int64], *, sweeps: bool
) -> NDArray[np.bool_]:
    """Whether each reading (M,) lies within a second of the time it serves; what does not has a wrong time stamp.

    An image serves the time of its keyframe, a sweep the time since the keyframe before (before the first, as much).

    Args:
        time_us: (M,) of the readings.
        keyframe: (M,) the keyframe that each serves, counted in the scene.
        keyframe_us: (K,) of all keyframes of the scene, in order.
        sweeps: whether these are sweeps.
    """
    begin_us = keyframe_us
    if sweeps:
        begin_us = np.concatenate([keyframe_us[:1] - np.diff(keyframe_us[:2]).sum(), keyframe_us[:-1]])
    return (time_us >= begin_us[keyframe] - NEAR_US) & (time_us <= keyframe_us[keyframe] + NEAR_US)


def box_corners(size_lwh_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """The eight corners (..., 8, 3) in box frame of boxes of size (..., 3)."""
    return _CORNER_SIGNS * (np.asarray(size_lwh_m)[..., None, :] / 2)


def project(intrinsic: NDArray[np.float64], points_camera: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels (..., N, 2) of camera-frame points (..., N, 3) (x right, y down, z forward, depth above zero)."""
    uvw = points_camera @ np.swapaxes(intrinsic, -1, -2)
    return uvw[..., :2] / uvw[..., 2:]


def outline_points(
    intrinsic: NDArray[np.float64], corners_camera: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Pixels whose convex hull is the outline of each of P boxes with corners (P, 8, 3) in the camera frame.

    What lies nearer than `NEAR_M` is cut off: the outline of a box that reaches behind the camera is that of its rest.
    Some of each box must be in front.

    Args:
        intrinsic: (P, 3, 3).
        corners_camera: (P, 8, 3).

    Returns:
        Pixels (P, 20, 2), not cut by the image, and how many of them count (P,): 8 for a box wholly in front.
    """
    in_front = corners_camera[..., 2] >= NEAR_M
    whole = in_front.all(axis=1)
    points_px = np.zeros((len(corners_camera), 8 + len(BOX_EDGES), 2))
    points_px[whole, :8] = project(intrinsic[whole], corners_camera[whole])
    points_px[~whole] = project(intrinsic[~whole], _cut_near(corners_camera[~whole], in_front[~whole]))
    return points_px, np.where(whole, 8, points_px.shape[1])


def segment_pixels(
    intrinsic: NDArray[np.float64], start_camera: NDArray[np.float64], end_camera: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pixels (..., 2, 2) of the ends of line segments between camera-frame points (..., 3), not cut by the image.

    What lies nearer than `NEAR_M` is cut off; a segment of which nothing remains is NaN.
    """
    ends = np.stack([start_camera, end_camera], axis=-2)
    depth_m = ends[..., 2]
    behind = depth_m < NEAR_M
    crossing = behind.any(axis=-1, keepdims=True) & ~behind.all(axis=-1, keepdims=True)
    span_m = np.where(crossing, depth_m[..., ::-1] - depth_m, 1.0)
    amount = np.where(behind & crossing, (NEAR_M - depth_m) / span_m, 0.0)
    cut = ends + amount[..., None] * (ends[..., ::-1, :] - ends)
    hidden = behind.all(axis=-1)[..., None, None]
    return np.where(hidden, np.nan, project(intrinsic, np.where(hidden, [0.0, 0.0, 1.0], cut)))


def _cut_near(corners_camera: NDArray[np.float64], in_front: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Points (P, 20, 3) whose hull is the part of each box in front of `NEAR_M`: its corners there and its cut edges.

    Corners behind and edges not cut are replaced by a corner in front, which leaves the hull as it is.
    """
    some_corner = np.take_along_axis(corners_camera, in_front.argmax(axis=1)[:, None, None], axis=1)
    a, b = corners_camera[:, BOX_EDGES[:, 0]], corners_camera[:, BOX_EDGES[:, 1]]
    crossing = (in_front[:, BOX_EDGES[:, 0]] != in_front[:, BOX_EDGES[:, 1]])[..., None]
    amount = (NEAR_M - a[..., 2:]) / np.where(crossing, b[..., 2:] - a[..., 2:], 1.0)
    cuts = np.where(crossing, a + (b - a) * amount, some_corner)
    return np.concatenate([np.where(in_front[..., None], corners_camera, some_corner), cuts], axis=1)
