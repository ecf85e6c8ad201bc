"""What a record of each table in nuScenes' schema holds, as far as the scene index needs it.

A field without a default must be there; one that is None was not said. Each type carries the Arrow type of its column.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args, get_type_hints

import msgspec
import pyarrow as pa

_DOUBLE, _TEXT = pa.float64(), pa.large_string()

Text = Annotated[str, _TEXT]
MaybeText = Annotated[str | None, _TEXT]
Time = Annotated[float, _DOUBLE]  # microseconds; some write them as floats, which are exact up to the year 2255
Flag = Annotated[bool, pa.bool_()]
Count = Annotated[float | None, _DOUBLE]
Pixels = Annotated[Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)] | None, pa.int64()]
_Number = float | None
Vector = Annotated[tuple[_Number, _Number, _Number] | None, pa.list_(_DOUBLE, 3)]
Quaternion = Annotated[tuple[_Number, _Number, _Number, _Number] | None, pa.list_(_DOUBLE, 4)]


class Record(msgspec.Struct, gc=False):
    """A record of a table; fields that a table has and this has not are passed over."""

    token: Text


class Scene(Record):
    """A stretch of a recording."""

    name: Text
    first_sample_token: Text
    log_token: MaybeText = None


class Sample(Record):
    """A keyframe."""

    timestamp: Time
    scene_token: Text
    next: MaybeText
    is_valid: Flag = True


class Sensor(Record):
    """A sensor by its name."""

    channel: Text
    modality: Text


class CalibratedSensor(Record):
    """Where a sensor is mounted, and what a camera's lens does."""

    sensor_token: Text
    translation: Vector
    rotation: Quaternion
    camera_intrinsic: Annotated[list[list[_Number] | None] | None, pa.list_(pa.list_(_DOUBLE))] = None
    camera_distortion: Annotated[list[_Number] | None, pa.list_(_DOUBLE)] = None


class SampleData(Record):
    """A file of a sensor."""

    sample_token: Text
    ego_pose_token: Text
    calibrated_sensor_token: Text
    filename: Text
    timestamp: Time
    is_key_frame: Flag
    width: Pixels = None
    height: Pixels = None
    is_valid: Flag = True


class EgoPose(Record):
    """Where the vehicle was."""

    translation: Vector
    rotation: Quaternion


class StampedPose(EgoPose):
    """Where the vehicle was at a time of its own."""

    timestamp: Time


class Category(Record):
    """A name that annotators gave."""

    name: Text


class Instance(Record):
    """A thing, over the scene."""

    category_token: Text


class SampleAnnotation(Record):
    """A box."""

    sample_token: Text
    instance_token: Text
    translation: Vector
    size: Vector
    rotation: Quaternion
    prev: MaybeText = None
    next: MaybeText = None
    visibility_token: MaybeText = None
    attribute_tokens: Annotated[list[str | None] | None, pa.list_(_TEXT)] = None
    num_lidar_pts: Count = None
    num_radar_pts: Count = None
    is_valid: Flag = True


class Attribute(Record):
    """What a thing does."""

    name: Text


class Visibility(Record):
    """How much of a thing the cameras see."""

    level: Annotated[str | int, _TEXT]

    def __post_init__(self) -> None:
        """TruckScenes numbers the levels, nuScenes names them."""
        self.level = str(self.level)


def columns_of(record: type[Record]) -> pa.Schema:
    """The columns of a table of these records."""
    hints: dict[str, Any] = get_type_hints(record, include_extras=True)
    return pa.schema([(name, get_args(hints[name])[1]) for name in record.__struct_fields__])
