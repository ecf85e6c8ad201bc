"""A log of Argoverse 2 as a row of the scene index."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import geometry, schemas
from blendclip.datasets.drives.argoverse2.keyframes import keyframes_of
from blendclip.datasets.drives.argoverse2.logs import CALIBRATION, CAMERAS, LIDAR, NS_PER_US, Camera, Log
from blendclip.datasets.drives.argoverse2.tracks import track_rows
from blendclip.datasets.drives.options import Argoverse2Options
from blendclip.datasets.drives.poses import index_rows
from blendclip.datasets.drives.structs import struct_of

log = logging.getLogger(__name__)

CHANNEL = "lidar"
_IMAGE = schemas.INDEX.field("images").type.value_type
_EGO_SE3_POINTS = np.eye(3, 4)  # points of a sweep lie in the ego frame
_NEAREST_US = 50_000  # half a turn of the LiDAR; cameras take 20 images a second


def scene_row(
    recording: Log, options: Argoverse2Options, class_of: Callable[[str], str | None]
) -> dict[str, Any] | None:
    """The log's row of the index, but for dataset and split; None, which is said, where it has no keyframe.

    Raises:
        UserError: a table is missing or broken, or sweeps are missing and `missing_files` is stop.
    """
    swept_ns, sweep_paths = recording.files_of(LIDAR, ".feather")
    keyframe_ns = keyframes_of(recording, swept_ns, options.keyframes_hz, options.missing_files)
    if not len(keyframe_ns):
        log.warning("log %s has no keyframe: it is left out", recording.name)
        return None
    keyframe_us = keyframe_ns // NS_PER_US
    return {
        "scene": recording.name,
        "scene_token": recording.name,
        "keyframes": struct_of(
            schemas.INDEX.field("keyframes").type.value_type,
            sample_token=pa.array([f"{recording.name}-{time_ns}" for time_ns in keyframe_ns.tolist()]),
            timestamp_us=keyframe_us,
            global_SE3_ego=recording.ego_poses.at(keyframe_us),
        ),
        "ego_poses": index_rows(recording.ego_poses),
        "sweeps": _sweeps(recording, swept_ns // NS_PER_US, sweep_paths, keyframe_us),
        "images": _images(recording, keyframe_us, distorted=options.distorted_images),
        "tracks": track_rows(recording, keyframe_ns, class_of),
    }


def _sweeps(
    recording: Log, time_us: NDArray[np.int64], paths: list[str], keyframe_us: NDArray[np.int64]
) -> pa.StructArray:
    """The sweeps that serve a keyframe: each the first that is not before it."""
    keyframe = np.searchsorted(keyframe_us, time_us)
    used = np.flatnonzero(time_us <= keyframe_us[-1])
    used = used[geometry.in_time(time_us[used], keyframe[used], keyframe_us, sweeps=True)]
    poses = recording.ego_poses.at(time_us[used])
    return struct_of(
        schemas.INDEX.field("sweeps").type.value_type,
        channel=pa.array([CHANNEL] * len(used), pa.string()),
        path=pa.array([paths[number] for number in used.tolist()], pa.string()),
        timestamp_us=time_us[used],
        keyframe=keyframe[used],
        global_SE3_sensor=geometry.compose(poses, _EGO_SE3_POINTS),
        ego_SE3_sensor=np.broadcast_to(_EGO_SE3_POINTS, (len(used), 3, 4)),
        point_times=np.ones(len(used), bool),
        point_columns=pa.nulls(len(used)),
        motion_compensated=np.ones(len(used), bool),
    )


def _images(recording: Log, keyframe_us: NDArray[np.int64], *, distorted: bool) -> pa.StructArray:
    """Of each calibrated camera the image nearest to each keyframe, if it is near."""
    channels = recording.camera_folders()
    if not channels:
        log.warning("log %s has no images in %s: it gives no views", recording.name, CAMERAS)
        return pa.array([], _IMAGE)
    tables = []
    for channel in channels:
        if (camera := recording.cameras.get(channel)) is None:
            log.warning(
                "log %s: the camera %s has no row in the tables of %s: its images are not used",
                *(recording.name, channel, CALIBRATION),
            )
        else:
            tables.append(_images_of(recording, channel, camera, keyframe_us, distorted=distorted))
    return pa.concat_arrays(tables) if tables else pa.array([], _IMAGE)


def _images_of(
    recording: Log, channel: str, camera: Camera, keyframe_us: NDArray[np.int64], *, distorted: bool
) -> pa.StructArray:
    time_ns, paths = recording.files_of(f"{CAMERAS}/{channel}", ".jpg")
    time_us = time_ns // NS_PER_US
    gap_us = np.abs(time_us[None] - keyframe_us[:, None])
    nearest = gap_us.argmin(axis=1) if len(time_us) else np.empty(0, np.int64)
    keyframe = np.flatnonzero(gap_us.min(axis=1, initial=_NEAREST_US + 1) <= _NEAREST_US)
    used = nearest[keyframe] if len(keyframe) else np.empty(0, np.int64)
    width_px, height_px = camera.size_wh_px
    bent = distorted and camera.distortion.any()
    return struct_of(
        _IMAGE,
        channel=pa.array([channel] * len(used), pa.string()),
        path=pa.array([paths[number] for number in used.tolist()], pa.string()),
        timestamp_us=time_us[used],
        keyframe=keyframe,
        global_SE3_camera=geometry.compose(recording.ego_poses.at(time_us[used]), camera.ego_SE3_camera),
        intrinsic=np.broadcast_to(camera.intrinsic, (len(used), 3, 3)),
        width_px=np.full(len(used), width_px),
        height_px=np.full(len(used), height_px),
        distortion=pa.array([camera.distortion.tolist() if bent else None] * len(used), pa.list_(pa.float64())),
    )
