"""What is wrong with rows of a scene: values that a recording cannot have, each named in a sentence of `rules`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blendclip import geometry, plausible
from blendclip.mining import rules


def annotation_faults(
    columns: Mapping[str, NDArray[Any]], keyframe_us: NDArray[np.int64], global_SE3_ego: NDArray[np.float64]
) -> dict[int, str]:
    """A sentence for every annotation that cannot be mined; of two at one time in a track the first valid one stays.

    Args:
        columns: track, keyframe, timestamp_us, translation, rotation_wxyz and size_lwh_m of `Annotations`.
        keyframe_us: (K,) of the scene's keyframes.
        global_SE3_ego: (K, 3, 4) at these.
    """
    center, size, rotation = (columns[name] for name in ("translation", "size_lwh_m", "rotation_wxyz"))
    ego, norm = global_SE3_ego[columns["keyframe"], :, 3], plausible.lengths_m(rotation)
    distance_m = plausible.lengths_m(center - ego)
    strange = (
        np.isfinite(ego).all(axis=1) & ~plausible.are_reached(keyframe_us, global_SE3_ego[:, :, 3])[columns["keyframe"]]
    )
    finite, known = np.isfinite(center).all(axis=1), np.isfinite(size).all(axis=1)
    faults: dict[int, str] = {}
    _note(faults, ~(known & (size > 0).all(axis=1)), lambda i: rules.SIZE_NOT_POSITIVE.format(size=size[i].tolist()))
    _note(
        faults,
        ~plausible.are_boxes(size),
        lambda i: rules.SIZE_TOO_LARGE.format(size=size[i].tolist(), most=plausible.BOX_SIDE_M),
    )
    _note(
        faults,
        ~(np.abs(norm - 1) <= geometry.UNIT_TOLERANCE),
        lambda i: rules.NO_UNIT_QUATERNION.format(rotation=rotation[i].tolist(), norm=norm[i]),
    )
    _note(faults, ~finite, lambda i: rules.CENTER_NOT_FINITE.format(center=center[i].tolist()))
    _note(faults, strange, lambda i: rules.STRANGE_EGO_POSE.format(place=ego[i].tolist()))
    _note(
        faults,
        distance_m > plausible.BOX_DISTANCE_M,
        lambda i: rules.BOX_TOO_FAR.format(distance=distance_m[i], most=plausible.BOX_DISTANCE_M),
    )
    seen = set()
    for i, key in enumerate(zip(columns["track"].tolist(), columns["timestamp_us"].tolist(), strict=True)):
        if i in faults:
            continue
        if key in seen:
            faults[i] = rules.SAME_TIME.format(timestamp_us=key[1])
        seen.add(key)
    return faults


def reading_faults(
    columns: Mapping[str, NDArray[Any]], keyframe_us: NDArray[np.int64], global_SE3_ego: NDArray[np.float64]
) -> dict[int, str]:
    """A sentence for every sweep or image whose time, pose or calibration is unknown or cannot be.

    Args:
        columns: those of `Readings`.
        keyframe_us: (K,) of the scene's keyframes.
        global_SE3_ego: (K, 3, 4) at these.
    """
    time_us, poses, intrinsic = (columns[name] for name in ("timestamp_us", "global_SE3_sensor", "intrinsic"))
    faults: dict[int, str] = {}
    _note(faults, ~columns["in_time"], lambda i: rules.WRONG_TIME.format(timestamp_us=time_us[i]))
    unknown = ~np.isfinite(poses).all(axis=(1, 2)) | ~np.isfinite(intrinsic).all(axis=tuple(range(1, intrinsic.ndim)))
    _note(faults, unknown, lambda i: rules.BROKEN_POSE)
    if columns["ego_SE3_sensor"].size:
        mounted_m = plausible.lengths_m(columns["ego_SE3_sensor"][:, :, 3])
        far = rules.MOUNTED_TOO_FAR
        _note(
            faults,
            mounted_m > plausible.MOUNTING_M,
            lambda i: far.format(distance=mounted_m[i], most=plausible.MOUNTING_M),
        )
    distance_m, most_m = _from_vehicle(time_us, poses[:, :, 3], keyframe_us, global_SE3_ego[:, :, 3])
    _note(
        faults,
        distance_m > most_m,
        lambda i: rules.SENSOR_TOO_FAR.format(distance=distance_m[i], most=most_m[i]),
    )
    if intrinsic.size:
        _note_cameras(faults, intrinsic, columns["size_wh_px"])
    return faults


def _from_vehicle(
    time_us: NDArray[np.int64], place: NDArray[np.float64], keyframe_us: NDArray[np.int64], ego: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far sensors at places (M, 3) at times (M,) are from the vehicle, and can be (M,), metres.

    The vehicle is where it is at the nearest keyframe, of K at places (K, 3), that it can have reached.
    """
    reached = np.flatnonzero(plausible.are_reached(keyframe_us, ego))
    if not len(reached):
        return np.zeros(len(place)), np.zeros(len(place))
    after = np.searchsorted(keyframe_us[reached], time_us).clip(max=len(reached) - 1)
    before = (after - 1).clip(min=0)
    gaps_us = [np.abs(keyframe_us[reached[side]] - time_us) for side in (before, after)]
    nearest = reached[np.where(gaps_us[0] <= gaps_us[1], before, after)]
    most_m = plausible.MOUNTING_M + plausible.reach_m(np.minimum(*gaps_us))
    return plausible.lengths_m(place - ego[nearest]), most_m


def _note_cameras(faults: dict[int, str], k: NDArray[np.float64], size_wh_px: NDArray[np.int64]) -> None:
    """Note images of sizes (M, 2) and intrinsic matrices (M, 3, 3) that no camera has."""
    sizes = [f"{width} x {height}" for width, height in size_wh_px.tolist()]
    _note(
        faults,
        ~plausible.are_image_sizes(size_wh_px),
        lambda i: rules.NO_IMAGE_SIZE.format(size=sizes[i], most=plausible.IMAGE_SIDE_PX),
    )
    _note(faults, ~plausible.are_pinholes(k), lambda i: rules.NO_PINHOLE.format(row=k[i, 2].tolist()))
    least, most = plausible.FOCAL_SIDES
    _note(
        faults,
        ~plausible.are_focal_lengths(k, size_wh_px),
        lambda i: rules.NO_FOCAL_LENGTH.format(
            focal=k[i, [0, 1], [0, 1]].tolist(), size=sizes[i], least=least, most=most
        ),
    )
    _note(
        faults,
        ~plausible.are_centers(k, size_wh_px),
        lambda i: rules.NO_PRINCIPAL_POINT.format(center=k[i, :2, 2].tolist(), size=sizes[i]),
    )


def _note(faults: dict[int, str], bad: NDArray[np.bool_], sentence: Callable[[int], str]) -> None:
    """Note the rows (N,) that are bad and have no fault yet."""
    for row in np.flatnonzero(bad).tolist():
        if row not in faults:
            faults[row] = sentence(row)
