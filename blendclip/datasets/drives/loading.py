"""The tables of a dataset in nuScenes' schema as columns: read, joined by their tokens, and sorted by scene."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from blendclip.datasets.drives import records
from blendclip.datasets.drives.json_tables import RECORD_NUMBER, read_columns, record_name
from blendclip.errors import UserError

log = logging.getLogger(__name__)

Rows = NDArray[np.int64]
_WHOLE = 2.0**61  # differences of times below this are 64-bit integers
NONE, DANGLING = -1, -2
"""In place of a row: that there is no token, or that no record has it."""


class Table:
    """The columns of one JSON file, of N records."""

    def __init__(self, path: Path, columns: pa.Table) -> None:
        self.path, self.columns = path, columns
        self._arrays: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    def arrow(self, field: str) -> pa.Array:
        """A column as Arrow (N,)."""
        column = self.columns[field]
        return column.chunk(0) if column.num_chunks else column.combine_chunks()

    def array(self, field: str) -> NDArray[Any]:
        """A column of numbers or flags (N,), or of vectors (N, D); numbers are NaN where null."""
        if field not in self._arrays:
            column = self.arrow(field)
            values = column.values if pa.types.is_fixed_size_list(column.type) else column  # those of nulls as well
            shape = (len(self), -1) if values is not column and len(self) else (len(self),)
            self._arrays[field] = values.to_numpy(zero_copy_only=False).reshape(shape)
        return self._arrays[field]

    @cached_property
    def times_us(self) -> NDArray[np.int64]:
        """The timestamps (N,), microseconds.

        Raises:
            UserError: one is not finite, or too large for a whole number.
        """
        times = self.array("timestamp")
        for row in np.flatnonzero(~(np.abs(times) < _WHOLE)).tolist():
            raise self.fault(row, "timestamp", "microseconds since 1970")
        return times.astype(np.int64)

    def value(self, field: str, row: int) -> Any:
        """One value."""
        return self.columns[field][row].as_py()

    def rows_of(self, tokens: pa.Array) -> Rows:
        """The rows (M,) whose tokens these are, the last where several have one; `NONE` where empty, or `DANGLING`."""
        backwards = self.arrow("token").take(pa.array(np.arange(len(self))[::-1]))
        found = pc.fill_null(pc.index_in(tokens, value_set=backwards), -1).to_numpy(zero_copy_only=False)
        said = pc.fill_null(pc.not_equal(tokens, ""), False).to_numpy(zero_copy_only=False)
        return np.where(found >= 0, len(self) - 1 - found, np.where(said, DANGLING, NONE)).astype(np.int64)

    def fault(self, row: int, field: str, must: str, shown: str | None = None) -> UserError:
        """The complaint about a value, which may be shown otherwise than as it is."""
        name = record_name(self.path, self.value(RECORD_NUMBER, row), self.value("token", row))
        return UserError(f"{name}: {field} is {shown or repr(self.value(field, row)):.80}, must be {must}")

    def references(self, field: str, other: Table, *, may_lack: bool = False) -> Rows:
        """The rows (N,) of another table that a column of tokens names, `NONE` where it may lack one and does.

        Raises:
            UserError: a token is in no record of the other table.
        """
        rows = other.rows_of(self.arrow(field))
        self.check(field, np.flatnonzero(rows < (NONE if may_lack else 0)), other)
        return rows

    def check(self, field: str, dangling: Rows, other: Table) -> None:
        """Complain of the first of some rows whose token is in no record of another table.

        Raises:
            UserError: there is one.
        """
        if len(dangling):
            raise self.fault(int(dangling[0]), field, f"a token of {other.path.name}: unpack the dataset again")


def read_table(folder: Path, name: str, record: type[records.Record], keep: Any = None) -> Table:
    """A table of the folder; `read_columns` says what `keep` is and what is raised."""
    path = folder / f"{name}.json"
    return Table(path, read_columns(path, record, keep))


def _optional(folder: Path, name: str, record: type[records.Record]) -> Table | None:
    return read_table(folder, name, record) if (folder / f"{name}.json").is_file() else None


@dataclass(frozen=True)
class Tables:
    """What a dataset's tables say, as far as the scene index needs it."""

    root: Path
    version: str
    scene: Table
    sample: Table
    sensor: Table
    calibrated_sensor: Table
    sample_data: Table
    """LiDAR sweeps and the keyframes' images."""
    ego_pose: Table
    """Of these readings; all of them where ego poses come at times of their own."""
    category: Table
    instance: Table
    sample_annotation: Table
    attribute: Table | None
    visibility: Table | None

    @property
    def folder(self) -> Path:
        """Where the tables are."""
        return self.root / self.version

    @cached_property
    def scene_of_sample(self) -> Rows:
        """(S,) rows of `scene`, `DANGLING` where its table was cut to fewer."""
        return self.scene.rows_of(self.sample.arrow("scene_token"))

    @cached_property
    def samples_by_scene(self) -> Groups:
        """Rows of `sample` by scene."""
        return Groups(self.scene_of_sample, len(self.scene))

    @cached_property
    def next_sample(self) -> Rows:
        """(S,) rows of `sample`."""
        return self.sample.rows_of(self.sample.arrow("next"))

    @cached_property
    def first_sample(self) -> Rows:
        """Of each scene, rows of `sample`."""
        return self.sample.rows_of(self.scene.arrow("first_sample_token"))

    @cached_property
    def sensor_of_mounting(self) -> Rows:
        """Of each calibrated sensor, rows of `sensor`."""
        return self.calibrated_sensor.references("sensor_token", self.sensor)

    @cached_property
    def mounting_of_reading(self) -> Rows:
        """(M,) rows of `calibrated_sensor`."""
        return self.sample_data.references("calibrated_sensor_token", self.calibrated_sensor)

    def _of_sensor(self, field: str) -> NDArray[Any]:
        names = np.array(self.sensor.arrow(field).to_pylist(), object)
        return names[self.sensor_of_mounting[self.mounting_of_reading]]

    @cached_property
    def channel_of_reading(self) -> NDArray[Any]:
        """(M,) str."""
        return self._of_sensor("channel")

    @cached_property
    def is_lidar(self) -> NDArray[np.bool_]:
        """(M,) whether a reading is a sweep."""
        return self._of_sensor("modality") == "lidar"

    @cached_property
    def sample_of_reading(self) -> Rows:
        """(M,) rows of `sample`."""
        return self.sample_data.references("sample_token", self.sample)

    @cached_property
    def pose_of_reading(self) -> Rows:
        """(M,) rows of `ego_pose`; negative where it is not there."""
        return self.ego_pose.rows_of(self.sample_data.arrow("ego_pose_token"))

    @cached_property
    def readings_by_scene(self) -> Groups:
        """Rows of `sample_data` by scene, channel and time."""
        _, channel = np.unique(self.channel_of_reading.astype(str), return_inverse=True)
        return Groups(
            self.scene_of_sample[self.sample_of_reading],
            len(self.scene),
            np.lexsort((self.sample_data.times_us, channel)),
        )

    @cached_property
    def sample_of_annotation(self) -> Rows:
        """(A,) rows of `sample`."""
        return self.sample_annotation.references("sample_token", self.sample)

    @cached_property
    def instance_of_annotation(self) -> Rows:
        """(A,) rows of `instance`."""
        return self.sample_annotation.references("instance_token", self.instance)

    @cached_property
    def category_of_instance(self) -> Rows:
        """Of each instance, rows of `category`."""
        return self.instance.references("category_token", self.category)

    @cached_property
    def neighbours(self) -> tuple[Rows, Rows]:
        """(A,) rows of the annotations before and after each, `NONE` at the ends of a track."""
        table = self.sample_annotation
        return table.references("prev", table, may_lack=True), table.references("next", table, may_lack=True)

    @cached_property
    def visibility_of_annotation(self) -> Rows:
        """(A,) rows of `visibility`, `NONE` where not said."""
        if self.visibility is None:
            return np.full(len(self.sample_annotation), NONE)
        return self.sample_annotation.references("visibility_token", self.visibility, may_lack=True)

    @cached_property
    def attributes_of_annotation(self) -> pa.ListArray:
        """(A,) lists of names, without those that are not said."""
        tokens = self.sample_annotation.arrow("attribute_tokens")
        flat, owners = tokens.flatten(), pc.list_parent_indices(tokens).to_numpy()
        if self.attribute is None:
            owners, names = owners[:0], flat[:0]
        else:
            rows = self.attribute.rows_of(flat)
            self.sample_annotation.check("attribute_tokens", owners[rows == DANGLING], self.attribute)
            owners, names = owners[rows >= 0], self.attribute.arrow("name").take(pa.array(rows[rows >= 0]))
        lengths = np.bincount(owners, minlength=len(tokens))
        ends = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
        return pa.ListArray.from_arrays(ends, names)

    @cached_property
    def annotations_by_scene(self) -> Groups:
        """Rows of `sample_annotation` by scene."""
        return Groups(self.scene_of_sample[self.sample_of_annotation], len(self.scene))


class Groups:
    """Rows of a table by group, in an order within each."""

    def __init__(self, group: Rows, count: int, order: Rows | None = None) -> None:
        order = np.arange(len(group)) if order is None else order
        self._rows = order[np.argsort(group[order], kind="stable")]
        self._ends = np.searchsorted(group[self._rows], np.arange(count + 1))

    def __getitem__(self, group: int) -> Rows:
        return self._rows[self._ends[group] : self._ends[group + 1]]


def load_tables(root: Path, version: str, *, pose_stream: bool) -> Tables:
    """Read the tables of `version` under `root`.

    Raises:
        UserError: a needed table or column is not there, or a value has another type.
    """
    folder = root / version
    sensor = read_table(folder, "sensor", records.Sensor)
    calibrated_sensor = read_table(folder, "calibrated_sensor", records.CalibratedSensor)
    sample_data = _used_readings(folder, sensor, calibrated_sensor)
    return Tables(
        root=root,
        version=version,
        scene=read_table(folder, "scene", records.Scene),
        sample=read_table(folder, "sample", records.Sample),
        sensor=sensor,
        calibrated_sensor=calibrated_sensor,
        sample_data=sample_data,
        ego_pose=_poses(folder, sample_data, pose_stream),
        category=read_table(folder, "category", records.Category),
        instance=read_table(folder, "instance", records.Instance),
        sample_annotation=read_table(folder, "sample_annotation", records.SampleAnnotation),
        attribute=_optional(folder, "attribute", records.Attribute),
        visibility=_optional(folder, "visibility", records.Visibility),
    )


def _used_readings(folder: Path, sensor: Table, calibrated_sensor: Table) -> Table:
    """LiDAR sweeps and keyframes' images; what names no sensor is kept, to be complained of."""
    modality_of = dict(zip(sensor.arrow("token").to_pylist(), sensor.arrow("modality").to_pylist(), strict=True))
    mountings = (calibrated_sensor.arrow(field).to_pylist() for field in ("token", "sensor_token"))
    modality = {token: modality_of.get(sensor_token) for token, sensor_token in zip(*mountings, strict=True)}
    always, at_keyframes = ("lidar", None), (*("lidar", None), "camera")

    def used(data: records.SampleData) -> bool:
        return modality.get(data.calibrated_sensor_token) in (at_keyframes if data.is_key_frame else always)

    return read_table(folder, "sample_data", records.SampleData, used)


def _poses(folder: Path, sample_data: Table, pose_stream: bool) -> Table:
    if pose_stream:
        return read_table(folder, "ego_pose", records.StampedPose)
    named = set(sample_data.arrow("ego_pose_token").to_pylist())
    return read_table(folder, "ego_pose", records.EgoPose, lambda pose: pose.token in named)
