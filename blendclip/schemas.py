"""Every table that the project writes: columns, conventions, Hugging Face features, and versions of the stages."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

# Raise a stage's number when what it writes changes: the workflow then runs it again.
STAGE_VERSIONS = {
    "city": 1,
    "citytruck": 1,
    "cityav2": 1,
    "index": 4,
    "clouds": 2,
    "views": 1,
    "captions": 1,
    "triplets": 2,
    "summary": 2,
    "inspection": 1,
    "shapes": 1,
    "cad": 1,
    "embeddings": 1,
    "packed": 2,
    "class_weights": 1,
    "runs": 1,
    "benchmarks": 2,
    "evaluation": 4,
    "report": 3,
    "naming": 1,
    "models": 1,
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
        ("point_columns", pa.int8()),  # float32 values of a point in a raw .bin file; null where the file says it
        (
            "motion_compensated",
            pa.bool_(),
        ),  # whether points are in the sensor's frame at timestamp_us; null: they are not
    ]
)
_image = pa.struct(
    [
        *_sensor_reading,
        ("global_SE3_camera", _pose),
        ("intrinsic", pa.list_(pa.float64(), 9)),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("distortion", pa.list_(pa.float64())),  # k1, k2, p1, p2, k3 of the lens; null where the image has none
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
        ("label", pa.int32()),  # index of the class among those of the benchmark
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
        ("top5", pa.list_(pa.int32())),  # indices of the classes that score highest, best first
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
            ("own_image", pa.int32()),  # index of the triplet's own view among the images that are held
            ("own_text", pa.int32()),
            ("num_images", pa.int32()),  # how many there are of the instance
            ("num_texts", pa.int32()),
            ("images", features),  # the first repeated after the last; empty where another row holds them
            ("texts", features),
        ]
    )


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
