"""Clouds as the inputs of an exported encoder, with numpy alone: what a car runs before the ONNX file.

Patches are those of `grouping`, point for point: centres by farthest point sampling from the first point on, around
each its nearest neighbours, the earlier of two points that are equally far. Distances are rounded as there: float32,
(dx dx + dy dy) + dz dz.

Letters in names: B clouds, N points of a cloud, P patches of a cloud, K points of a patch, C channels: x, y, z and,
where the encoder sees colours, red, green, blue from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blendclip.errors import UserError

LEAST_M = 0.01
"""A length below it counts as it: a point has no size."""


def encoder_inputs(
    clouds: Sequence[ArrayLike],
    rgb: Sequence[ArrayLike] | None = None,
    *,
    patch_points: int = 32,
    patches_per_point: float = 2 / 32,
    max_patches: int = 512,
    in_metres: bool | None = None,
) -> dict[str, NDArray]:
    """The inputs of an exported encoder by name, for clouds of any sizes and any scale.

    Args:
        clouds: B of (N, 3), metres or any other unit, z up.
        rgb: of each cloud (N, 3), 0 to 1; for encoders with colours alone.
        patch_points: K, as the exported file's metadata say.
        patches_per_point: as there.
        max_patches: as there.
        in_metres: whether the clouds are in metres, for encoders that are told sizes alone, as the metadata say; None
            for others.

    Returns:
        `patches` (B, P, K, C) and `centers` (B, P, 3), float32, zero where a cloud has fewer than P patches, and `mask`
        (B, P) bool, true where it has one. With `in_metres`, `size` (B, 3) float32, NaN where it is not known.

    Raises:
        UserError: there is no cloud, or one is empty, not (N, 3) or not finite.
    """
    if not len(clouds):
        raise UserError("there is no cloud to encode: give at least one")
    colors = [None] * len(clouds) if rgb is None else rgb
    checked = [_checked(cloud, number) for number, cloud in enumerate(clouds)]
    grouped = [
        group(normalized(cloud), color, patch_points, patches_per_point, max_patches)
        for cloud, color in zip(checked, colors, strict=True)
    ]
    most = max(len(centers) for _, centers in grouped)
    unknown = np.full(3, np.nan, np.float32)
    sizes = [] if in_metres is None else [size(cloud) if in_metres else unknown for cloud in checked]
    return ({"size": np.stack(sizes)} if sizes else {}) | {
        "patches": np.stack([_padded(patches_PKC, most) for patches_PKC, _ in grouped]),
        "centers": np.stack([_padded(centers_P3, most) for _, centers_P3 in grouped]),
        "mask": np.stack([np.arange(most) < len(centers_P3) for _, centers_P3 in grouped]),
    }


def normalized(points_N3: NDArray[np.float32]) -> NDArray[np.float32]:
    """A cloud (N, 3) with its mean at the origin and its furthest point at distance 1.

    A cloud whose points all coincide lies at the origin.
    """
    centred_N3 = points_N3 - points_N3.sum(axis=0, dtype=np.float32) / np.float32(len(points_N3))
    radius = np.sqrt((centred_N3 * centred_N3).sum(axis=1).max())
    return centred_N3 / max(radius, np.float32(1e-9))


def size(points_N3: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3,) natural logarithms of the radius about the mean, the height, and the radius from above of a cloud in metres.

    A length below a centimetre counts as one.
    """
    centred_N3 = points_N3 - points_N3.mean(axis=0)
    radius, flat = (np.linalg.norm(centred_N3[:, :axes], axis=1).max() for axes in (3, 2))
    return np.log(np.maximum([radius, np.ptp(points_N3[:, 2]), flat], LEAST_M)).astype(np.float32)


def group(
    points_N3: NDArray[np.float32],
    rgb_N3: ArrayLike | None = None,
    patch_points: int = 32,
    patches_per_point: float = 2 / 32,
    max_patches: int = 512,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Patches (P, K, C) of a normalised cloud (N, 3), less their centres, and the centres (P, 3).

    P is `patches_per_point` times N, at least 1 and at most `max_patches`. A cloud of fewer than K points gives patches
    of all its points, filled up with their centre.
    """
    size = len(points_N3)
    members_PK, last = [], 0
    reach_N = np.full(size, np.inf, np.float32)
    for _ in range(max(1, min(int(patches_per_point * size), max_patches))):
        squared_N = _squared_distances(points_N3, last)
        filling = np.full(max(0, patch_points - size), last)
        members_PK.append(np.concatenate([[last], _nearest(squared_N, min(patch_points, size)), filling]))
        reach_N = np.minimum(reach_N, squared_N)
        last = int(reach_N.argmax())
    rows = np.stack(members_PK)
    centers_P, members_PK = rows[:, 0], rows[:, 1:]
    patches_PKC = points_N3[members_PK] - points_N3[centers_P][:, None]
    if rgb_N3 is not None:
        patches_PKC = np.concatenate([patches_PKC, np.asarray(rgb_N3, np.float32)[members_PK]], axis=2)
    return patches_PKC, points_N3[centers_P]


def _checked(cloud: ArrayLike, number: int) -> NDArray[np.float32]:
    points_N3 = np.asarray(cloud, np.float32)
    if points_N3.ndim != 2 or points_N3.shape[1] != 3 or not len(points_N3):
        raise UserError(f"cloud {number} is of shape {points_N3.shape}: give (N, 3) with at least one point")
    if not np.isfinite(points_N3).all():
        raise UserError(f"cloud {number} has points that are not finite: leave them out")
    return points_N3


def _squared_distances(points_N3: NDArray[np.float32], center: int) -> NDArray[np.float32]:
    """(N,) of all points from one of them."""
    offset_N3 = points_N3 - points_N3[center]
    offset_N3 *= offset_N3
    return offset_N3[:, 0] + offset_N3[:, 1] + offset_N3[:, 2]


def _nearest(squared_N: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Places of the `count` smallest, in order; among equals the earlier ones."""
    # Floats that are not negative are ordered as their bits are; with its place behind, no two keys are equal.
    key_N = squared_N.view(np.int32).astype(np.int64) << 32 | np.arange(len(squared_N))
    return np.sort(np.partition(key_N, count - 1)[:count]) & 0xFFFFFFFF


def _padded(rows: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """`rows`, followed by zeros up to `length`."""
    return np.pad(rows, [(0, length - len(rows)), *[(0, 0)] * (rows.ndim - 1)])
