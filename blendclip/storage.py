"""Schemas of every table the project writes, and atomic, reproducible Parquet.

Same input gives the same bytes: no time stamps, no machine names, no paths of this run in a file. Every file carries
the metadata keys `blendclip` (code version, stage version, options, conventions) and, where it has rows to train on,
`huggingface` (features), so that `datasets.load_dataset("parquet", ...)` shows crops as images.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from blendclip import __version__
from blendclip.errors import UserError

# Raise a stage's number when what it writes changes: the workflow then runs it again.
STAGE_VERSIONS = {
    "city": 1,
    "citytruck": 1,
    "index": 2,
    "clouds": 2,
    "views": 1,
    "captions": 1,
    "triplets": 2,
    "summary": 1,
    "inspection": 1,
    "shapes": 1,
    "cad": 1,
    "embeddings": 1,
    "packed": 1,
    "class_weights": 1,
    "runs": 1,
    "benchmarks": 1,
    "evaluation": 2,
    "report": 2,
}

CONVENTIONS = {
    "points": "box frame: metres, origin at the box centre, x forward, y left, z up; not normalised",
    "rgb": "red, green, blue 0-255 of each point as a camera saw it; null where none did",
    "intensity": "as the sensor gives it (nuScenes: 0-255)",
    "time_lag_s": "seconds by which the point is older than the keyframe",
    "translation": "box centre in the dataset's global frame, metres, z up",
    "rotation_wxyz": "unit quaternion global from box",
    "size_lwh_m": "length (x), width (y), height (z), metres",
    "velocity_mps": "global frame, metres per second; null where the track does not tell",
    "distance_m": "horizontal distance of the box centre from the ego vehicle at the keyframe",
    "visibility": "nuScenes levels: 1 is 0-40 %, 2 is 40-60 %, 3 is 60-80 %, 4 is 80-100 % visible over all cameras",
    "crop_xyxy_px": "outline of the projected box, cut by the image; the crop holds the pixels it touches",
    "covered_fraction": "share of the crop behind the outlines of nearer boxes",
    "view_time_gap_us": "time of the view less time of the cloud, microseconds",
}

UNSEEN_GREY = 102
"""Red, green and blue of a point that no camera sees: 0.4 of 255, as OpenShape gives points without colour."""

_vec3 = pa.list_(pa.float64(), 3)
_velocity = pa.list_(pa.float64())  # not of fixed size: Parquet readers fail on a null one
_pose = pa.list_(pa.float64(), 12)  # rows of [R | t]

_keyframe = pa.struct([("sample_token", pa.string()), ("timestamp_us", pa.int64()), ("global_SE3_ego", _pose)])
_ego_pose = pa.struct([("timestamp_us", pa.int64()), ("global_SE3_ego", _pose)])
_sensor_reading = [
    ("channel", pa.string()),
    ("path", pa.string()),  # relative to the dataset's root
    ("timestamp_us", pa.int64()),
    ("keyframe", pa.int32()),  # the keyframe it serves, counted in the scene
]
_sweep = pa.struct(
    [
        *_sensor_reading,
        ("global_SE3_sensor", _pose),  # at timestamp_us
        ("ego_SE3_sensor", _pose),
        ("point_times", pa.bool_()),  # whether the file says when each of its points was measured
    ]
)
_image = pa.struct(
    [
        *_sensor_reading,
        ("global_SE3_camera", _pose),
        ("intrinsic", pa.list_(pa.float64(), 9)),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
    ]
)
_annotation = pa.struct(
    [
        ("token", pa.string()),
        ("keyframe", pa.int32()),
        ("timestamp_us", pa.int64()),
        ("translation", _vec3),
        ("rotation_wxyz", pa.list_(pa.float64(), 4)),
        ("size_lwh_m", _vec3),
        ("velocity_mps", _velocity),
        ("visibility", pa.int8()),
        ("num_lidar_pts", pa.int32()),
        ("attributes", pa.list_(pa.string())),
        ("evaluated", pa.bool_()),
    ]
)
_track = pa.struct(
    [
        ("instance_token", pa.string()),
        ("category", pa.string()),
        ("class_name", pa.string()),
        ("annotations", pa.list_(_annotation)),
    ]
)

INDEX = pa.schema(
    [
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("scene", pa.string()),
        ("scene_token", pa.string()),
        ("keyframes", pa.list_(_keyframe)),
        ("ego_poses", pa.list_(_ego_pose)),  # by time; empty where no sweep has point times
        ("sweeps", pa.list_(_sweep)),
        ("images", pa.list_(_image)),
        ("tracks", pa.list_(_track)),
    ]
)

_who = [
    ("dataset", pa.string()),
    ("split", pa.string()),
    ("scene", pa.string()),
    ("sample_token", pa.string()),
    ("instance_token", pa.string()),
    ("annotation_token", pa.string()),
    ("timestamp_us", pa.int64()),
    ("category", pa.string()),
    ("class_name", pa.string()),
]
# Inner values are declared never null, which halves the time to read them back.
_floats = pa.list_(pa.field("element", pa.float32(), nullable=False))
_cloud = [
    ("points", pa.list_(pa.field("element", pa.list_(_floats.value_field, 3), nullable=False))),
    ("intensity", _floats),
    ("time_lag_s", _floats),
    ("rgb", pa.list_(pa.list_(pa.uint8()))),  # null where colours are off; a point that no camera sees is null
    ("num_points", pa.int32()),
]
_box = [
    ("num_lidar_pts", pa.int32()),
    ("translation", _vec3),
    ("rotation_wxyz", pa.list_(pa.float64(), 4)),
    ("size_lwh_m", _vec3),
    ("velocity_mps", _velocity),
    ("distance_m", pa.float32()),
    ("visibility", pa.int8()),
    ("evaluated", pa.bool_()),
]
_crop = [
    ("channel", pa.string()),
    ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ("crop_xyxy_px", pa.list_(pa.float32(), 4)),
    ("covered_fraction", pa.float32()),
]
_caption = [("caption", pa.string()), ("caption_model", pa.string()), ("caption_prompt_sha", pa.string())]

CLOUDS = pa.schema([*_who, *_cloud, ("num_sweeps", pa.int16()), *_box])
VIEWS = pa.schema(
    [
        ("view_id", pa.string()),
        *_who,
        *_crop,
        ("attributes", pa.list_(pa.string())),
        ("size_lwh_m", _vec3),
        ("camera_distance_m", pa.float32()),
        ("camera_azimuth_rad", pa.float32()),  # where the camera stands, seen from the box: 0 ahead, pi/2 on its left
    ]
)
CAPTIONS = pa.schema(
    [("view_id", pa.string()), *_caption, ("caption_tokens", pa.int32())]  # tokens are null where none are counted
)
TRIPLETS = pa.schema(
    [("triplet_id", pa.string()), *_who, *_cloud, *_box, *_crop, ("view_time_gap_us", pa.int64()), *_caption]
)
EMBEDDINGS = pa.schema(
    [
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("triplet_id", pa.string()),
        ("view_id", pa.string()),  # null where it is not of one view
        ("kind", pa.string()),  # image | text
        ("source", pa.string()),  # what it is of: view, thumbnail, caption ...
        ("text", pa.string()),  # null for images
        ("embedding", pa.list_(pa.field("element", pa.float16(), nullable=False))),  # as the model gives it
    ]
)
_xyz_lists = next(kind for name, kind in _cloud if name == "points")
_colour = pa.list_(pa.field("element", pa.uint8(), nullable=False), 3)
PACKED_CLOUDS = pa.schema(
    [
        ("triplet_id", pa.string()),
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("scene", pa.string()),
        ("instance_token", pa.string()),
        ("category", pa.string()),
        ("class_name", pa.string()),
        ("caption", pa.string()),
        ("num_points", pa.int32()),
        ("distance_m", pa.float32()),
        ("visibility", pa.int8()),
        ("evaluated", pa.bool_()),
        ("points", _xyz_lists),
        ("rgb", pa.list_(pa.field("element", _colour, nullable=False))),  # grey where no camera sees a point
        ("intensity", _floats),
        ("time_lag_s", _floats),
    ]
)
BENCHMARKS = pa.schema(
    [
        ("cloud_id", pa.string()),  # annotation, triplet, or what the source calls it
        ("instance_token", pa.string()),  # clouds of one object share it
        ("scene", pa.string()),
        ("class_name", pa.string()),
        ("label", pa.int32()),  # place of the class among those of the benchmark
        ("points", _xyz_lists),
        ("rgb", pa.list_(pa.field("element", _colour, nullable=False))),  # null where the source has none
        ("num_points", pa.int32()),
        ("timestamp_us", pa.int64()),
        ("distance_m", pa.float32()),
        ("visibility", pa.int8()),
    ]
)
PREDICTIONS = pa.schema(
    [
        *(field for field in BENCHMARKS if field.name not in ("points", "rgb", "timestamp_us")),
        ("rank", pa.int32()),  # wrong classes that score at least as high as the right one: 0 is right
        ("top5", pa.list_(pa.int32())),  # places of the classes that score highest, best first
        ("top5_scores", _floats),  # their cosines
        ("embedding", pa.list_(pa.field("element", pa.float16(), nullable=False))),  # of unit length
    ]
)
REJECTS = pa.schema(
    [
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("scene", pa.string()),
        ("annotation_token", pa.string()),  # null where a whole file is broken
        ("category", pa.string()),
        ("stage", pa.string()),
        ("kind", pa.string()),  # filtered | fault
        ("rule", pa.string()),  # short and countable
        ("reason", pa.string()),  # the sentence
        ("path", pa.string()),  # the broken file
    ]
)


def packed_features(width: int) -> pa.Schema:
    """The schema of packed features of `width` numbers: unit vectors, those of an instance in one row of its part."""
    feature = pa.list_(pa.field("element", pa.float16(), nullable=False), width)
    features = pa.list_(pa.field("element", feature, nullable=False))
    return pa.schema(
        [
            ("triplet_id", pa.string()),
            ("held_by", pa.int32()),  # row that holds the features of the triplet's instance: its first in the part
            ("own_image", pa.int32()),  # place of the triplet's own view among the images that are held
            ("own_text", pa.int32()),
            ("num_images", pa.int32()),  # how many there are of the instance
            ("num_texts", pa.int32()),
            ("images", features),  # the first repeated after the last; empty where another row holds them
            ("texts", features),
        ]
    )


_COORDINATES = "points.list.element.list.element"
_JPEG = "image.bytes"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it at the end, removed on failure.

    The name is always the same, so that a run after a killed one writes over what that left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def metadata(stage: str, options: dict[str, Any]) -> dict[str, str]:
    """The value of the file metadata key `blendclip`: what made the file, and how to read it."""
    made_by = {"version": __version__, "stage": stage, "stage_version": STAGE_VERSIONS[stage], "options": options}
    return {"blendclip": json.dumps(made_by | {"conventions": CONVENTIONS}, sort_keys=True)}


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema, about: dict[str, str]) -> Iterator[Callable[[pa.Table], None]]:
    """What writes a table as a row group of one file, which appears when all went well. `about` is of `metadata`."""
    if "image" in schema.names:
        about = about | {"huggingface": json.dumps({"info": {"features": hf_features(schema)}}, sort_keys=True)}
    schema = schema.with_metadata(about)
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, **_writer_options(schema)) as writer:
        yield lambda table: writer.write_table(table.cast(schema), row_group_size=max(table.num_rows, 1))


def write_parquet(path: Path, schema: pa.Schema, batches: Iterable[pa.Table], about: dict[str, str]) -> int:
    """Write each table as row groups of one file, atomically, and return the number of rows.

    A file without rows is a valid file with the same schema. `about` comes from `metadata`.
    """
    rows = 0
    with parquet_writer(path, schema, about) as write:
        for batch in batches:
            write(batch)
            rows += batch.num_rows
    return rows


@contextmanager
def arrow_writer(path: Path, schema: pa.Schema, about: dict[str, str]) -> Iterator[Callable[[pa.Table], None]]:
    """What writes a table as a record batch of one uncompressed Arrow file, which appears when all went well.

    Such a file can be memory-mapped. `about` is of `metadata`.
    """
    schema = schema.with_metadata(about)
    with replacing(path) as temporary, pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        yield lambda table: writer.write_table(table.cast(schema).combine_chunks())


def table_of(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """A table with `schema` from a list of rows; a missing column is an error, not a column of nulls."""
    return pa.table({name: pa.array([row[name] for row in rows], schema.field(name).type) for name in schema.names})


def ragged(
    values_ND: NDArray, lengths: NDArray[np.integer], kind: pa.ListType, mask: pa.BooleanArray | None = None
) -> pa.ListArray:
    """Runs of rows as an array of `kind`, list of lists of fixed size; null where `mask` is true."""
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    rows = pa.FixedSizeListArray.from_arrays(pa.array(values_ND.ravel()), type=kind.value_type)
    return pa.ListArray.from_arrays(pa.array(ends), rows, type=kind, mask=mask)


def existing(path: Path) -> Path:
    """`path`, which an earlier stage must have written.

    Raises:
        UserError: it is not there.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: run the stage that writes it first")
    return path


def open_parquet(path: Path) -> pq.ParquetFile:
    """The Parquet file `path`, which an earlier stage must have written.

    Raises:
        UserError: it is not there or is not Parquet.
    """
    try:
        return pq.ParquetFile(existing(path))
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is not a readable Parquet file ({error}): delete it and run its stage again") from None


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """The table in `path`, or some of its columns.

    Raises:
        UserError: the file is not there or is not Parquet.
    """
    return open_parquet(path).read(columns=columns)


def options_of(path: Path) -> dict[str, Any]:
    """The options that a file was made with, from its metadata.

    Raises:
        UserError: the file is not there or is not Parquet.
    """
    return json.loads(open_parquet(path).schema_arrow.metadata[b"blendclip"])["options"]


def hf_features(schema: pa.Schema) -> dict[str, Any]:
    """The Hugging Face `datasets` features of a schema, as the library stores them in Parquet metadata."""
    return {field.name: {"_type": "Image"} if field.name == "image" else _hf_feature(field.type) for field in schema}


def _hf_feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_fixed_size_list(kind):
        return {"_type": "Sequence", "feature": _hf_feature(kind.value_type), "length": kind.list_size}
    if pa.types.is_list(kind):
        return {"_type": "Sequence", "feature": _hf_feature(kind.value_type)}
    names = {pa.float32(): "float32", pa.float64(): "float64"}
    return {"_type": "Value", "dtype": names.get(kind, str(kind))}


def _writer_options(schema: pa.Schema) -> dict[str, Any]:
    """Coordinates are split into byte streams before zstd, JPEGs stored as they are, the rest dictionary-encoded."""
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    return {
        "compression": {leaf: "none" if leaf == _JPEG else "zstd" for leaf in leaves},
        "use_dictionary": [leaf for leaf in leaves if leaf not in (_JPEG, _COORDINATES)],
        "column_encoding": {leaf: "BYTE_STREAM_SPLIT" for leaf in leaves if leaf == _COORDINATES} or None,
        "write_page_checksum": True,
    }


def _leaves(path: str, kind: pa.DataType) -> Iterator[str]:
    """The Parquet column paths under a column of type `kind`."""
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{path}.{field.name}", field.type)
    elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    else:
        yield path
