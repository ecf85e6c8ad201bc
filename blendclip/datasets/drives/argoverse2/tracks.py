"""The boxes of a log, at its keyframes, as the tracks of the index."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from blendclip import geometry, plausible, schemas
from blendclip.datasets.drives.argoverse2.logs import MAP, NS_PER_US, QUATERNION, SIZE, TRANSLATION, Log
from blendclip.datasets.drives.argoverse2.region import region_of
from blendclip.datasets.drives.structs import finite_or_null, lists_of, struct_of

log = logging.getLogger(__name__)

_TRACK = schemas.INDEX.field("tracks").type.value_type
_ANNOTATIONS = _TRACK.field("annotations").type
_RANGE_M = 150.0  # of the detection challenge
_MAX_STEP_S = 1.5  # between two annotations that say how fast a box moves, as in nuScenes


def track_rows(recording: Log, keyframe_ns: NDArray[np.int64], class_of: Callable[[str], str | None]) -> pa.StructArray:
    """The tracks of a log, in the order in which they appear, and the annotations of each in time."""
    rows, starts = _by_track(recording, keyframe_ns)
    if not len(rows):
        return pa.array([], _TRACK)
    table = recording.annotations
    category = table.text("category").take(pa.array(rows[starts]))
    classes = [class_of(name) for name in category.to_pylist()]
    lengths = np.diff(np.append(starts, len(rows)))
    annotations = _annotations(recording, keyframe_ns, rows, np.repeat([one is not None for one in classes], lengths))
    return struct_of(
        _TRACK,
        instance_token=table.text("track_uuid").take(pa.array(rows[starts])),
        category=category,
        class_name=pa.array(classes, pa.string()),
        annotations=lists_of(annotations, lengths, _ANNOTATIONS),
    )


def _by_track(recording: Log, keyframe_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The annotations (N,) at keyframes, rows of their table, by track and time; and where each track starts (T,)."""
    table = recording.annotations
    time_ns = table["timestamp_ns"]
    rows = np.flatnonzero(np.isin(time_ns, keyframe_ns))
    rows = rows[np.argsort(time_ns[rows], kind="stable")]
    track = pc.dictionary_encode(table.text("track_uuid").take(pa.array(rows))).indices.to_numpy()
    order = np.argsort(track, kind="stable")
    rows, track = rows[order], track[order]
    twice = np.concatenate([[False], (np.diff(track) == 0) & (np.diff(time_ns[rows]) == 0)])[: len(rows)]
    if twice.any():
        log.warning(
            "%s: %d boxes stand beside another one of their track and time, such as row %d, and are left out",
            *(table.path, twice.sum(), rows[twice][0]),
        )
    rows, track = rows[~twice], track[~twice]
    return rows, np.flatnonzero(np.diff(track, prepend=-1))


def _annotations(
    recording: Log, keyframe_ns: NDArray[np.int64], rows: NDArray[np.int64], has_class: NDArray[np.bool_]
) -> pa.StructArray:
    """The annotations (N,) of some rows, of which `has_class` (N,) says whether they have a class."""
    table = recording.annotations
    time_ns = table["timestamp_ns"][rows]
    city_SE3_ego = recording.ego_poses.at(time_ns // NS_PER_US)
    center_ego, size_lwh_m = table.vectors(*TRANSLATION)[rows], table.vectors(*SIZE)[rows]
    center_city = geometry.transform(city_SE3_ego, center_ego[:, None])[:, 0]
    rotation = _product(geometry.quaternion(city_SE3_ego[..., :3]), table.vectors(*QUATERNION)[rows])
    points = table["num_interior_pts"][rows]
    points = np.where(plausible.are_counts(points), points, np.nan)
    evaluated = has_class & (plausible.lengths_m(center_ego) < _RANGE_M) & (np.nan_to_num(points) > 0)
    tracks = table.text("track_uuid").take(pa.array(rows)).to_pylist()
    return struct_of(
        _ANNOTATIONS.value_type,
        token=pa.array([f"{recording.name}-{at}-{track}" for at, track in zip(time_ns.tolist(), tracks, strict=True)]),
        keyframe=np.searchsorted(keyframe_ns, time_ns),
        timestamp_us=time_ns // NS_PER_US,
        translation=center_city,
        rotation_wxyz=rotation,
        size_lwh_m=size_lwh_m,
        velocity_mps=finite_or_null(
            _velocities(tracks, time_ns, center_city), _ANNOTATIONS.value_type.field("velocity_mps").type
        ),
        visibility=pa.nulls(len(rows)),
        num_lidar_pts=pa.array(points, mask=np.isnan(points)),
        attributes=pa.array([[]] * len(rows), _ANNOTATIONS.value_type.field("attributes").type),
        evaluated=evaluated & _in_region(recording, center_city, rotation, size_lwh_m),
    )


def _in_region(
    recording: Log, center: NDArray[np.float64], rotation_wxyz: NDArray[np.float64], size_lwh_m: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether a corner of each box (N,) lies in the region of interest, seen from above; true without a map."""
    region = region_of(recording.folder, MAP)
    if region is None:
        return np.ones(len(center), bool)
    known = np.isfinite(np.concatenate([center, rotation_wxyz, size_lwh_m], axis=1)).all(axis=1)
    known &= np.abs(plausible.lengths_m(rotation_wxyz) - 1) <= geometry.UNIT_TOLERANCE
    boxes = geometry.pose(rotation_wxyz[known], center[known])
    corners = geometry.transform(boxes, geometry.box_corners(size_lwh_m[known]))
    inside = np.zeros(len(center), bool)
    inside[known] = region.holds(corners[..., :2].reshape(-1, 2)).reshape(-1, 8).any(axis=1)
    return inside


def _product(a_wxyz: NDArray[np.float64], b_wxyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation (N, 4) that turns by b, then by a, of quaternions (N, 4); its norm is the product of theirs."""
    (aw, ax, ay, az), (bw, bx, by, bz) = a_wxyz.T, b_wxyz.T
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=1,
    )


def _velocities(tracks: list[str], time_ns: NDArray[np.int64], center: NDArray[np.float64]) -> NDArray[np.float64]:
    """Velocities (N, 3) of boxes by track and time, m/s, from the annotation before to the one after; NaN without."""
    number = np.arange(len(tracks))
    same = np.array([a == b for a, b in zip(tracks[1:], tracks, strict=False)], bool)
    near = same & (np.diff(time_ns) <= _MAX_STEP_S * 1e9)
    first = number - np.concatenate([[False], near])
    last = number + np.concatenate([near, [False]])
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # 0/0 at one time: no velocity
        velocities = (center[last] - center[first]) / (1e-9 * (time_ns[last] - time_ns[first]))[:, None]
    known = (last > first) & (plausible.lengths_m(velocities) <= plausible.SPEED_MPS)
    return np.where(known[:, None], velocities, np.nan)
