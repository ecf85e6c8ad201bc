"""The annotations of a scene of tables as the tracks of the index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import plausible, schemas
from blendclip.datasets.drives.classes import Classes
from blendclip.datasets.drives.devkits import DevkitRules
from blendclip.datasets.drives.evaluated import Boxes, evaluated
from blendclip.datasets.drives.loading import NONE, Rows, Tables
from blendclip.datasets.drives.structs import finite_or_null, lists_of, struct_of

_TRACK = schemas.INDEX.field("tracks").type.value_type
_ANNOTATIONS = _TRACK.field("annotations").type
_MAX_STEP_S = 1.5  # between two annotations that say how fast a box moves, as in the devkits' `box_velocity`
# As nuScenes spells the levels, and as TruckScenes' schema has them.
_VISIBILITY = {"v0-40": 1, "v40-60": 2, "v60-80": 3, "v80-100": 4} | {str(level): level for level in (1, 2, 3, 4)}


@dataclass(frozen=True)
class Keyframes:
    """The K keyframes of a scene."""

    number_of: NDArray[np.int64]
    """(S,) number of each sample in the scene, -1 where it is not one of its keyframes."""
    timestamp_us: NDArray[np.int64]
    """(K,)"""
    ego: Mapping[int, NDArray[np.float64]]
    """Number to the place (3,) from which the evaluation measures distance, where that is known."""


def track_rows(
    devkit: DevkitRules, tables: Tables, classes: Classes, scene: int, keyframes: Keyframes
) -> pa.StructArray:
    """The tracks of a scene, in the order in which they appear, and the annotations of each in time.

    Raises:
        UserError: a visibility level has a name that is not known.
    """
    rows, starts = _by_track(tables, scene, keyframes)
    if not len(rows):
        return pa.array([], _TRACK)
    instances = tables.instance_of_annotation[rows]
    firsts = instances[starts]
    category = tables.category.arrow("name").take(pa.array(tables.category_of_instance[instances]))
    class_of = {name: classes(name) for name in category.unique().to_pylist()}
    boxes = _boxes(tables, rows, keyframes, category.to_pylist(), class_of)
    annotations = _annotations(tables, rows, boxes, evaluated(boxes, devkit.loaders, devkit.class_range_m), keyframes)
    names = category.take(pa.array(starts))
    return struct_of(
        _TRACK,
        instance_token=tables.instance.arrow("token").take(pa.array(firsts)),
        category=names,
        class_name=pa.array([class_of[name] for name in names.to_pylist()], pa.string()),
        annotations=lists_of(annotations, np.diff(np.append(starts, len(rows))), _ANNOTATIONS),
    )


def _by_track(tables: Tables, scene: int, keyframes: Keyframes) -> tuple[Rows, NDArray[np.int64]]:
    """The valid annotations (N,) of a scene, rows of their table, by track; and where each track starts (T,)."""
    rows = tables.annotations_by_scene[scene]
    rows = rows[tables.sample_annotation.array("is_valid")[rows]]
    number = keyframes.number_of[tables.sample_of_annotation[rows]]
    rows, number = rows[number >= 0], number[number >= 0]
    rows = rows[np.argsort(number, kind="stable")]
    _, first, track = np.unique(tables.instance_of_annotation[rows], return_index=True, return_inverse=True)
    appears = first[track.ravel()]
    return rows[np.argsort(appears, kind="stable")], np.flatnonzero(np.diff(np.sort(appears), prepend=-1))


def _boxes(
    tables: Tables, rows: Rows, keyframes: Keyframes, category: list[str], class_of: Mapping[str, str | None]
) -> Boxes:
    table = tables.sample_annotation
    lidar, radar = (_points(tables, rows, field) for field in ("num_lidar_pts", "num_radar_pts"))
    radar = np.nan_to_num(radar)
    return Boxes(
        keyframe=keyframes.number_of[tables.sample_of_annotation[rows]],
        category=category,
        class_name=[class_of[name] for name in category],
        translation=table.array("translation")[rows],
        size_wlh_m=table.array("size")[rows],
        rotation_wxyz=table.array("rotation")[rows],
        num_points=np.where(np.isnan(lidar) & (radar > 0), radar, lidar + radar),  # no radar point tells nothing
        ego=keyframes.ego,
    )


def _points(tables: Tables, rows: Rows, field: str) -> NDArray[np.float64]:
    """A column of numbers of points (N,), NaN where unknown, which some say by -1, or where it is none."""
    points = tables.sample_annotation.array(field)[rows]
    return np.where(plausible.are_counts(points), points, np.nan)


def _annotations(
    tables: Tables, rows: Rows, boxes: Boxes, keeps: NDArray[np.bool_], keyframes: Keyframes
) -> pa.StructArray:
    table, points = tables.sample_annotation, _points(tables, rows, "num_lidar_pts")
    return struct_of(
        _ANNOTATIONS.value_type,
        token=table.arrow("token").take(pa.array(rows)),
        keyframe=boxes.keyframe,
        timestamp_us=keyframes.timestamp_us[boxes.keyframe],
        translation=boxes.translation,
        rotation_wxyz=boxes.rotation_wxyz,
        size_lwh_m=boxes.size_wlh_m[:, [1, 0, 2]],
        velocity_mps=finite_or_null(_velocities(tables, rows), _ANNOTATIONS.value_type.field("velocity_mps").type),
        visibility=_visibility(tables, rows),
        num_lidar_pts=pa.array(points, mask=np.isnan(points)),
        attributes=tables.attributes_of_annotation.take(pa.array(rows)),
        evaluated=keeps,
    )


def _velocities(tables: Tables, rows: Rows) -> NDArray[np.float64]:
    """Velocities (N, 3) as the devkits' `box_velocity` gives them, m/s; NaN where it gives none that can be."""
    table = tables.sample_annotation
    before, after = (neighbours[rows] for neighbours in tables.neighbours)
    first, last = np.where(before >= 0, before, rows), np.where(after >= 0, after, rows)
    places, valid = table.array("translation"), table.array("is_valid")
    time_s = 1e-6 * tables.sample.times_us
    step_s = time_s[tables.sample_of_annotation[last]] - time_s[tables.sample_of_annotation[first]]
    longest_s = np.where((before >= 0) & (after >= 0), 2 * _MAX_STEP_S, _MAX_STEP_S)
    known = ((before != NONE) | (after != NONE)) & (step_s <= longest_s) & valid[first] & valid[last]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # 0/0 at one time: no velocity
        velocities = (places[last] - places[first]) / step_s[:, None]
    known &= plausible.lengths_m(velocities) <= plausible.SPEED_MPS
    return np.where(known[:, None], velocities, np.nan)


def _visibility(tables: Tables, rows: Rows) -> pa.Array:
    """Levels (N,), null where not said."""
    found = tables.visibility_of_annotation[rows]
    if tables.visibility is None:
        return pa.nulls(len(rows), pa.int8())
    names = tables.visibility.arrow("level").to_pylist()
    for row in np.unique(found[found >= 0]).tolist():
        if names[row] not in _VISIBILITY:
            raise tables.visibility.fault(row, "level", f"one of {', '.join(_VISIBILITY)}")
    levels = np.array([_VISIBILITY.get(name, 0) for name in [*names, ""]], np.int8)
    return pa.array(levels[found], mask=found < 0)
