"""Checks a scene index against its contract; the first thing that is wrong is said, and where.

What an adapter computes must hold in every row. What a recording may get wrong here and there (a box of no size, a
sweep of another time) is complained of only where most rows have it: single ones are faults that mining rejects.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from blendclip import geometry, plausible, schemas, storage
from blendclip.errors import UserError
from blendclip.geometry import in_time
from blendclip.plain_names import plain_name

log = logging.getLogger(__name__)

_USUAL_US = (10**15, 4 * 10**15)  # the years 2001 to 2096
_YEAR_US = 31_556_952 * 10**6
_RIGID = 1e-4  # by which R R^T may differ from the identity
_SAME_POSE = (0.01, 1e-3)  # metres, and parts of a rotation matrix: what nearest instead of interpolated poses exceed
_JUMPS = 0.01  # share of steps in which even a good localization may jump
_FEW_JUMPS = 1  # which may also happen in a stream of few steps
_OPTIONAL = set("class_name velocity_mps visibility num_lidar_pts point_columns motion_compensated distortion".split())
_MOST = 0.5


def validate_index(path: Path, root: Path | None = None) -> int:
    """Check the index of one split; return its number of scenes.

    With `root`, the dataset's folder, the first file of each channel must be there.

    Raises:
        UserError: something is wrong; names file, scene, table, row, value and what it should be.
    """
    file = storage.open_parquet(path)
    _check_schema(path, file.schema_arrow)
    if file.metadata.num_rows == 0:
        raise UserError(f"{path} holds no scene: the adapter found none")
    check = _Check(path, root)
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group)
        if rows.num_rows != 1:
            raise UserError(f"{path} holds {rows.num_rows} scenes in row group {group}: write a row group per scene")
        for rule in (_names, _nulls, _keyframes, _ego_poses, _readings, _point_times, _images, _tracks, _boxes):
            rule(_Scene(check, rows))
    check.finish()
    return file.metadata.num_rows


def _check_schema(path: Path, found: pa.Schema) -> None:
    for wanted in schemas.INDEX:
        number = found.get_field_index(wanted.name)
        if number < 0:
            raise UserError(f"{path} has no column {wanted.name}: give it one of type {wanted.type}")
        if found.field(number).type != wanted.type:
            raise UserError(f"{path}: column {wanted.name} is {found.field(number).type}, must be {wanted.type}")


@dataclass
class _Tally:
    first: str = ""
    """Complaint about the first broken row."""
    broken: int = 0
    """Broken rows so far."""
    rows: int = 0
    """All rows so far."""


@dataclass
class _Check:
    """What is remembered over all scenes."""

    path: Path
    root: Path | None
    tallies: dict[tuple[str, str], _Tally] = field(default_factory=dict)
    """(table, what a value must be) to the rows that break it."""
    owner: dict[tuple[str, str], str] = field(default_factory=dict)
    """(kind, token) to the scene that has it."""
    channels: set[str] = field(default_factory=set)
    """Those whose first file was looked for."""
    tracking: _Tracking = field(default_factory=lambda: _Tracking())
    strange_clock: str = ""
    """Which time reads as another century than this."""

    def finish(self) -> None:
        """Complain of the first thing that is wrong in most rows, and warn of what may be meant."""
        for tally in self.tallies.values():
            if tally.broken > _MOST * tally.rows:
                raise UserError(f"{tally.first} (as {tally.broken} of {tally.rows} rows have it)")
        if self.strange_clock:
            log.warning("%s, as on another clock than since 1970: differences alone are used", self.strange_clock)
        if self.tracking.scenes and not self.tracking.followed:
            log.warning(
                "%s: no instance has two annotations, though %d scenes have boxes at several keyframes: every box is "
                "taken to stand still, whatever `motion` of clouds says, and what moves is smeared over the sweeps; "
                "give all boxes of an object one instance, or set `clouds: {sweeps: 1}`",
                *(self.path, self.tracking.scenes),
            )


@dataclass
class _Tracking:
    """Whether boxes are followed over time at all."""

    scenes: int = 0
    """Those with boxes at several keyframes."""
    followed: bool = False
    """Whether an instance of one of them has two annotations."""


class _Table:
    """One nested column of a scene."""

    def __init__(self, name: str, rows: pa.StructArray) -> None:
        self.name, self.rows = name, rows

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str, *shape: int) -> NDArray[Any]:
        """Values (N, *shape)."""
        values = self.rows.field(name)
        values = values.flatten() if shape else values
        return values.to_numpy(zero_copy_only=False).reshape(len(self), *shape)


class _Scene:
    """A scene and what complains about it."""

    def __init__(self, check: _Check, row: pa.Table) -> None:
        self.check, self.row = check, row
        self.name = row["scene"][0].as_py()
        self.keyframes, self.ego_poses, self.sweeps, self.images, self.tracks = (
            _Table(name, row[name].combine_chunks().flatten())
            for name in ("keyframes", "ego_poses", "sweeps", "images", "tracks")
        )
        self.annotations = _Table("annotations", self.tracks.rows.field("annotations").flatten())

    @property
    def tables(self) -> Iterator[_Table]:
        """All of them."""
        yield from (self.keyframes, self.ego_poses, self.sweeps, self.images, self.tracks, self.annotations)

    def says(self, table: str, row: int, column: str, value: Any, must: str) -> str:
        """The complaint about a value."""
        if isinstance(value, np.ndarray):
            value = (np.round(value, 4) if value.dtype.kind == "f" else value).tolist()
        return f"{self.check.path}, scene {self.name}, {table} row {row}: {column} is {value}, must be {must}"

    def every(self, table: _Table, column: str, good: ArrayLike, values: ArrayLike, must: str) -> None:
        """Complain of the first row that is not good."""
        bad = np.flatnonzero(~np.asarray(good))
        if len(bad):
            raise UserError(self.says(table.name, bad[0], column, np.asarray(values)[bad[0]], must))

    def most(self, table: _Table, column: str, good: ArrayLike, values: ArrayLike, must: str) -> None:
        """Complain, after the last scene, when most rows of the table are not good."""
        tally = self.check.tallies.setdefault((table.name, must), _Tally())
        bad = np.flatnonzero(~np.asarray(good))
        if len(bad) and not tally.first:
            tally.first = self.says(table.name, bad[0], column, np.asarray(values)[bad[0]], must)
        tally.broken += len(bad)
        tally.rows += len(table)

    def unique(self, table: _Table, column: str, *, in_scene: bool = False) -> None:
        """Complain of a token that was there before."""
        kind = f"{column} of {self.name}" if in_scene else column
        for row, token in enumerate(table.column(column)):
            key = (kind, token)
            if key in self.check.owner:
                must = f"unique, and is also in scene {self.check.owner[key]}"
                raise UserError(self.says(table.name, row, column, token, must))
            self.check.owner[key] = self.name


def _names(scene: _Scene) -> None:
    for column in ("dataset", "split", "scene", "scene_token"):
        if not scene.row[column][0].as_py():
            raise UserError(f"{scene.check.path}, scene {scene.name}: {column} is empty")
    for name in (scene.row["dataset"][0].as_py(), scene.row["split"][0].as_py(), *scene.name.split("/")):
        plain_name(name)
    key = ("scene", scene.name)
    if key in scene.check.owner:
        raise UserError(f"{scene.check.path} holds scene {scene.name} twice: names of scenes must be unique")
    scene.check.owner[key] = scene.name


def _nulls(scene: _Scene) -> None:
    for table in scene.tables:
        for column in table.rows.type:
            missing = np.asarray(table.rows.field(column.name).is_null())
            if column.name not in _OPTIONAL:
                scene.every(table, column.name, ~missing, np.full(len(table), "null"), f"a {column.type}")


def _keyframes(scene: _Scene) -> None:
    table = scene.keyframes
    if not len(table):
        raise UserError(f"{scene.check.path}, scene {scene.name} has no keyframe: leave the scene out")
    scene.unique(table, "sample_token")
    _plausible(scene.every, table)
    _usual_clock(scene)
    _increasing(scene, table)
    poses = _rigid(scene, table, "global_SE3_ego")
    known = np.isfinite(poses).all(axis=(1, 2))
    scene.most(table, "global_SE3_ego", known, np.full(len(table), "NaN"), "known: look at the ego poses")
    near = (np.abs(poses[..., 3]) <= plausible.COORDINATE_M).all(axis=1)
    must = f"in metres: no coordinate exceeds {plausible.COORDINATE_M:g}"
    scene.most(table, "global_SE3_ego", near | ~known, poses[..., 3], must)


def _ego_poses(scene: _Scene) -> None:
    table = scene.ego_poses
    _plausible(scene.every, table)
    _increasing(scene, table)
    poses = _rigid(scene, table, "global_SE3_ego")
    scene.every(table, "global_SE3_ego", np.isfinite(poses).all(axis=(1, 2)), poses, "finite: leave unknown ones out")
    time_us = table.column("timestamp_us")
    step_m = np.linalg.norm(np.diff(poses[..., 3], axis=0), axis=1)
    slow = np.concatenate([[True], step_m <= plausible.reach_m(np.diff(time_us))])[: len(table)]
    must = (
        f"reachable from the row before below {plausible.SPEED_MPS:g} m/s: these seem to be poses of several vehicles"
    )
    scene.every(
        table, "global_SE3_ego", slow | ((~slow).sum() <= max(_FEW_JUMPS, _JUMPS * len(slow))), poses[..., 3], must
    )


def _readings(scene: _Scene) -> None:
    keyframe_us = scene.keyframes.column("timestamp_us")
    served = {True: "the time from the keyframe before to the keyframe it serves", False: "the keyframe it serves"}
    for table, pose in ((scene.sweeps, "global_SE3_sensor"), (scene.images, "global_SE3_camera")):
        keyframe, time_us = _keyframe_numbers(scene, table), table.column("timestamp_us")
        _files(scene, table)
        _plausible(scene.most, table)
        sweeps = table is scene.sweeps
        near = in_time(time_us, keyframe, keyframe_us, sweeps=sweeps)
        scene.most(table, "timestamp_us", near, time_us, f"within a second of {served[sweeps]}")
        known = np.isfinite(_rigid(scene, table, pose)).all(axis=(1, 2))
        scene.most(table, pose, known, np.full(len(table), "NaN"), "known: look at the ego poses and calibrations")
    mounted = _rigid(scene, scene.sweeps, "ego_SE3_sensor")[..., 3]
    near = ~(plausible.lengths_m(mounted) > plausible.MOUNTING_M)
    scene.most(scene.sweeps, "ego_SE3_sensor", near, mounted, f"within {plausible.MOUNTING_M:g} m of the vehicle")
    _once(scene, scene.sweeps)
    columns = scene.sweeps.column("point_columns")
    good = np.isnan(columns.astype(float)) | (columns.astype(float) >= 3)
    scene.every(scene.sweeps, "point_columns", good, columns, "at least 3, x, y and z, or null where the file says it")


def _once(scene: _Scene, sweeps: _Table) -> None:
    """No sweep stands twice: its points would count twice."""
    channel, time_us, path = (sweeps.column(name) for name in ("channel", "timestamp_us", "path"))
    moment = [f"{one} at {at}" for one, at in zip(channel, time_us.tolist(), strict=True)]
    for column, values in (("channel, timestamp_us", moment), ("path", path.tolist())):
        _, first, which = np.unique(np.array(values, str), return_index=True, return_inverse=True)
        once = first[which.ravel()] == np.arange(len(sweeps))
        scene.every(sweeps, column, once, np.array(values, object), "that of one sweep: its points would count twice")


def _files(scene: _Scene, table: _Table) -> None:
    channel, path = table.column("channel"), table.column("path")
    scene.every(table, "channel", channel != "", channel, "a name")
    inside = [bool(name) and name[0] != "/" and ".." not in name.split("/") for name in path]
    scene.every(table, "path", np.array(inside, bool), path, "relative to the dataset's root and inside it")
    for row in np.unique(channel.astype(str), return_index=True)[1] if scene.check.root else []:
        if channel[row] not in scene.check.channels and not (scene.check.root / path[row]).is_file():
            raise UserError(scene.says(table.name, row, "path", path[row], f"a file under {scene.check.root}"))
        scene.check.channels.add(channel[row])


def _point_times(scene: _Scene) -> None:
    """Sweeps with point times need the ego poses around them, and a pose that agrees with those."""
    table, stream = scene.sweeps, scene.ego_poses
    poses, time_us = table.column("global_SE3_sensor", 3, 4), table.column("timestamp_us")
    stamped = table.column("point_times").astype(bool) & np.isfinite(poses).all(axis=(1, 2))
    global_SE3_ego = geometry.interpolate_poses(
        stream.column("timestamp_us"), stream.column("global_SE3_ego", 3, 4), time_us
    )
    covered = np.isfinite(global_SE3_ego).all(axis=(1, 2))
    must = f"inside ego_poses, and in no gap of more than {geometry.MAX_POSE_GAP_US} us, as point_times is set"
    scene.every(table, "timestamp_us", covered | ~stamped, time_us, must)
    expected = geometry.compose(global_SE3_ego, table.column("ego_SE3_sensor", 3, 4))
    off = np.abs(poses - expected)
    same = (off[..., 3].max(axis=1) <= _SAME_POSE[0]) & (off[..., :3].max(axis=(1, 2)) <= _SAME_POSE[1])
    must = "the ego pose, interpolated at the sweep's time, times ego_SE3_sensor"
    scene.every(table, "global_SE3_sensor", same | ~stamped, poses, must)


def _images(scene: _Scene) -> None:
    table = scene.images
    camera_of = np.stack([table.column("keyframe").astype(str), table.column("channel").astype(str)], axis=1)
    _, first, which = np.unique(camera_of, axis=0, return_index=True, return_inverse=True)
    one = first[which.ravel()] == np.arange(len(table))
    scene.every(table, "keyframe", one, camera_of, "of one image for each camera: keep the one nearest to the keyframe")
    size_wh = np.stack([table.column("width_px"), table.column("height_px")], axis=1)
    must = f"positive, at most {plausible.IMAGE_SIDE_PX}"
    scene.most(table, "width_px, height_px", plausible.are_image_sizes(size_wh), size_wh, must)
    k = table.column("intrinsic", 3, 3)
    scene.most(table, "intrinsic", plausible.are_pinholes(k), k, "a pinhole matrix in pixels with the last row 0 0 1")
    good, (least, most) = plausible.are_focal_lengths(k, size_wh), plausible.FOCAL_SIDES
    must = f"in pixels of the image: a focal length of {least:g} to {most:g} times its size"
    scene.most(table, "intrinsic", good, k, must)
    must = "in pixels of the image: a principal point in or near it"
    scene.most(table, "intrinsic", plausible.are_centers(k, size_wh), k, must)
    lenses = table.rows.field("distortion").to_pylist()
    must = "k1, k2, p1, p2 and k3 of the lens, or null"
    scene.every(table, "distortion", plausible.are_lenses(lenses), np.array(lenses, object), must)


def _tracks(scene: _Scene) -> None:
    scene.unique(scene.tracks, "instance_token", in_scene=True)
    category, class_name = scene.tracks.column("category"), scene.tracks.column("class_name")
    scene.every(scene.tracks, "category", category != "", category, "a name")
    scene.every(scene.tracks, "class_name", class_name != "", class_name, "a name, or null where it has no class")
    lengths = np.asarray(scene.tracks.rows.field("annotations").value_lengths())
    scene.every(scene.tracks, "annotations", lengths > 0, lengths, "more than none: leave empty tracks out")
    if len(np.unique(scene.annotations.column("keyframe"))) > 1:
        scene.check.tracking.scenes += 1
        scene.check.tracking.followed |= bool((lengths > 1).any())


def _boxes(scene: _Scene) -> None:
    table = scene.annotations
    scene.unique(table, "token")
    keyframe, time_us = _keyframe_numbers(scene, table), table.column("timestamp_us")
    near = in_time(time_us, keyframe, scene.keyframes.column("timestamp_us"), sweeps=False)
    scene.most(table, "timestamp_us", near, time_us, "the time of its keyframe")
    visibility = table.column("visibility").astype(float)
    levels = np.isnan(visibility) | np.isin(visibility, [1, 2, 3, 4])
    scene.every(table, "visibility", levels, visibility, "a level from 1 to 4, or null")
    velocities = np.asarray(table.rows.field("velocity_mps").value_lengths().fill_null(3))
    scene.every(table, "velocity_mps", velocities == 3, velocities, "three numbers, or null")
    points = table.column("num_lidar_pts")
    good = np.isnan(points.astype(float)) | (points >= 0)
    scene.every(table, "num_lidar_pts", good, points, "a number of points, or null where it is not known")
    size, centre, q = (table.column(*what) for what in (("size_lwh_m", 3), ("translation", 3), ("rotation_wxyz", 4)))
    must = f"positive, metres, at most {plausible.BOX_SIDE_M:g}"
    scene.most(table, "size_lwh_m", plausible.are_boxes(size), size, must)
    unit = np.abs(np.linalg.norm(q, axis=1) - 1) <= geometry.UNIT_TOLERANCE
    scene.most(table, "rotation_wxyz", unit, q, "a unit quaternion, w first")
    upright = 1 - 2 * (q[:, 1] ** 2 + q[:, 2] ** 2) > 0.5
    scene.most(
        table, "rotation_wxyz", upright | ~unit, q, "of a box whose z axis points up: w first, global frame z up"
    )
    ego = scene.keyframes.column("global_SE3_ego", 3, 4)[keyframe, :, 3]
    close = ~(plausible.lengths_m(centre - ego) > plausible.BOX_DISTANCE_M)  # NaN is mining's business
    must = f"in the global frame: within {plausible.BOX_DISTANCE_M:g} m of the keyframe's ego vehicle"
    scene.most(table, "translation", close, centre, must)


def _keyframe_numbers(scene: _Scene, table: _Table) -> NDArray[np.int64]:
    keyframe = table.column("keyframe").astype(np.int64)
    good = (keyframe >= 0) & (keyframe < len(scene.keyframes))
    scene.every(table, "keyframe", good, keyframe, f"from 0 to {len(scene.keyframes) - 1}, the scene's keyframes")
    return keyframe


def _plausible(complain: Callable[..., None], table: _Table) -> None:
    """Times are microseconds, of whatever clock."""
    time_us = table.column("timestamp_us")
    wrong = [plausible.wrong_unit(time) for time in time_us.tolist()]
    good = np.array([what is None for what in wrong], bool)
    shown = np.where(good, time_us.astype(object), np.array(wrong, object))
    complain(table, "timestamp_us", good, shown, "microseconds since 1970")


def _usual_clock(scene: _Scene) -> None:
    time_us = int(scene.keyframes.column("timestamp_us")[0])
    if not _USUAL_US[0] <= time_us <= _USUAL_US[1] and not scene.check.strange_clock:
        year = 1970 + int(time_us / _YEAR_US)
        where = f"{scene.check.path}, scene {scene.name}"
        scene.check.strange_clock = f"{where}: the time stamp {time_us} reads as the year {year}"


def _increasing(scene: _Scene, table: _Table) -> None:
    time_us = table.column("timestamp_us")
    later = np.concatenate([[True], np.diff(time_us) > 0])[: len(table)]
    scene.every(table, "timestamp_us", later, time_us, "later than the row before")


def _rigid(scene: _Scene, table: _Table, column: str) -> NDArray[np.float64]:
    """The poses (N, 3, 4) of a column, which are [R | t] with a rotation R, or NaN throughout where unknown."""
    poses = table.column(column, 3, 4)
    rotation = poses[..., :3]
    off = np.abs(rotation @ np.swapaxes(rotation, -1, -2) - np.eye(3)).max(axis=(1, 2))
    with np.errstate(invalid="ignore"):  # NaN is judged below
        good = (off <= _RIGID) & (np.linalg.det(rotation) > 0) & np.isfinite(poses).all(axis=(1, 2))
    unknown = np.isnan(poses).all(axis=(1, 2))
    scene.every(table, column, good | unknown, poses, "a rigid pose, rows of [R | t], or NaN throughout where unknown")
    return poses
