"""nuScenes (and anything in its format) to the scene index, read by nuscenes-devkit.

The devkit answers what it can answer: which scenes a split holds, which detection class a category belongs to, how
fast a box moves, and which boxes the official detection benchmark evaluates.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.common.loaders import add_center_dist, filter_eval_boxes
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.splits import create_splits_scenes, get_scenes_of_split
from tqdm import tqdm

from blendclip import geometry
from blendclip.errors import UserError

log = logging.getLogger(__name__)

Row = dict[str, Any]

# Scenes of mini are in train or val as well: the devkit's evaluation refuses the mixture, and so do we.
_SPLITS_OF = {
    "mini": {"mini_train", "mini_val"},
    "trainval": {"train", "val", "train_detect", "train_track"},
    "test": {"test"},
}
_VISIBILITY = {"v0-40": 1, "v40-60": 2, "v60-80": 3, "v80-100": 4}
_REFERENCE = "LIDAR_TOP"  # the channel that the official evaluation measures distance from


def load(root: Path, version: str) -> NuScenes:
    """The devkit's tables of `version` under `root`.

    Raises:
        UserError: root, version or a table is not there, or the devkit cannot read them.
    """
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: set `root` of the dataset to the folder that holds {version}/")
    if not (root / version).is_dir():
        found = sorted(path.parent.name for path in root.glob("*/sample_annotation.json"))
        raise UserError(f"{root} has no version {version!r}: set `version` to one of {found or 'the official names'}")
    try:
        return NuScenes(version, str(root), verbose=False)
    except (AssertionError, KeyError, TypeError, OSError, ValueError) as error:
        raise UserError(
            f"nuscenes-devkit cannot load {root / version}: {type(error).__name__}: {error}; unpack the dataset again"
        ) from error


def split_scenes(tables: NuScenes, split: str) -> list[Row]:
    """The scene records of a split that the tables hold, in the split's order.

    The split is an official one, or one of the dataset's own `splits.json`, as the devkit understands it.

    Raises:
        UserError: no such split, it belongs to another version, or none of its scenes is there.
    """
    official = create_splits_scenes()
    suffix = next((suffix for suffix in _SPLITS_OF if tables.version.endswith(suffix)), None)
    if suffix and split in official and split not in _SPLITS_OF[suffix]:
        raise UserError(
            f"split {split!r} is not one of version {tables.version} in {tables.dataroot}, which would hold a fraction "
            f"of it: set `splits` to some of {sorted(_SPLITS_OF[suffix])}"
        )
    try:
        names = get_scenes_of_split(split, tables)
    except (AssertionError, ValueError, OSError) as error:
        raise UserError(
            f"{tables.table_root} has no split {split!r}: set `splits` to some of {sorted(official)}, or define it in "
            f"splits.json beside the tables ({error})"
        ) from error
    by_name = {scene["name"]: scene for scene in tables.scene}
    scenes = [by_name[name] for name in names if name in by_name]
    if not scenes:
        present = sorted(name for name, members in official.items() if by_name.keys() & set(members))
        raise UserError(
            f"{tables.table_root} holds no scene of split {split!r}: set `splits` to some of {present}, or define one "
            "in splits.json beside the tables"
        )
    return scenes


def index_rows(tables: NuScenes, scenes: list[Row], dataset: str, split: str) -> Iterator[Row]:
    """The rows of the scene index (schema `storage.INDEX`), one per scene.

    Raises:
        UserError: a table refers to a record that is not there.
    """
    readings = _readings_by_scene(tables, {scene["token"] for scene in scenes})
    for scene in tqdm(scenes, desc=f"index {dataset}/{split}", unit="scene"):
        try:
            yield {"dataset": dataset, "split": split} | _scene_row(tables, scene, readings[scene["token"]])
        except KeyError as error:
            raise UserError(
                f"the tables of {scene['name']} in {tables.table_root} refer to {error}, which is not there (each "
                f"keyframe needs its {_REFERENCE}, each reading its pose and calibration); unpack the dataset again"
            ) from error


def _scene_row(tables: NuScenes, scene: Row, readings: list[Row]) -> Row:
    samples = _samples(tables, scene)
    keyframe_of = {sample["token"]: number for number, sample in enumerate(samples)}
    return {
        "scene": scene["name"],
        "scene_token": scene["token"],
        "keyframes": [_keyframe(tables, sample) for sample in samples],
        "ego_poses": [],
        "sweeps": [_sweep(tables, data, keyframe_of) for data in readings if _is_lidar(data)],
        "images": [_image(tables, data, keyframe_of) for data in readings if not _is_lidar(data)],
        "tracks": _tracks(tables, samples, keyframe_of),
    }


def _is_lidar(data: Row) -> bool:
    return data["sensor_modality"] == "lidar"


def _readings_by_scene(tables: NuScenes, scene_tokens: set[str]) -> dict[str, list[Row]]:
    """All LiDAR sweeps and the keyframes' images of each scene, by channel and time."""
    readings = defaultdict(list)
    for data in tables.sample_data:
        wanted = data["sensor_modality"] == "lidar" or (data["sensor_modality"] == "camera" and data["is_key_frame"])
        scene_token = tables.get("sample", data["sample_token"])["scene_token"] if wanted else None
        if scene_token in scene_tokens:
            readings[scene_token].append(data)
    for rows in readings.values():
        rows.sort(key=lambda data: (data["channel"], data["timestamp"]))
    return readings


def _samples(tables: NuScenes, scene: Row) -> list[Row]:
    samples, token = [], scene["first_sample_token"]
    while token:
        samples.append(tables.get("sample", token))
        token = samples[-1]["next"]
    return samples


def _keyframe(tables: NuScenes, sample: Row) -> Row:
    # The detection evaluation measures distance from the ego pose of the LiDAR's keyframe.
    data = tables.get("sample_data", sample["data"][_REFERENCE])
    return {
        "sample_token": sample["token"],
        "timestamp_us": sample["timestamp"],
        "global_SE3_ego": _pose(tables.get("ego_pose", data["ego_pose_token"])).ravel(),
    }


def _pose(record: Row) -> np.ndarray:
    """The pose of an ego_pose or calibrated_sensor record; NaN where its quaternion is not one."""
    if abs(np.linalg.norm(record["rotation"]) - 1) > geometry.UNIT_TOLERANCE:
        log.warning("record %s has the quaternion %s, which is not a unit one", record["token"], record["rotation"])
        return np.full((3, 4), np.nan)
    return geometry.pose(record["rotation"], record["translation"])


def _reading(data: Row, keyframe_of: dict[str, int]) -> Row:
    return {
        "channel": data["channel"],
        "path": data["filename"],
        "timestamp_us": data["timestamp"],
        "keyframe": keyframe_of[data["sample_token"]],
    }


def _global_SE3_sensor(tables: NuScenes, data: Row) -> np.ndarray:
    global_SE3_ego = _pose(tables.get("ego_pose", data["ego_pose_token"]))
    ego_SE3_sensor = _pose(tables.get("calibrated_sensor", data["calibrated_sensor_token"]))
    return geometry.compose(global_SE3_ego, ego_SE3_sensor).ravel()


def _sweep(tables: NuScenes, data: Row, keyframe_of: dict[str, int]) -> Row:
    return _reading(data, keyframe_of) | {
        "global_SE3_sensor": _global_SE3_sensor(tables, data),
        "ego_SE3_sensor": _pose(tables.get("calibrated_sensor", data["calibrated_sensor_token"])).ravel(),
        "point_times": False,
    }


def _image(tables: NuScenes, data: Row, keyframe_of: dict[str, int]) -> Row:
    calibration = tables.get("calibrated_sensor", data["calibrated_sensor_token"])
    return _reading(data, keyframe_of) | {
        "global_SE3_camera": _global_SE3_sensor(tables, data),
        "intrinsic": np.asarray(calibration["camera_intrinsic"], np.float64).ravel(),
        "width_px": data["width"],
        "height_px": data["height"],
    }


def _tracks(tables: NuScenes, samples: list[Row], keyframe_of: dict[str, int]) -> list[Row]:
    evaluated = _evaluated_tokens(tables, samples)
    tracks: dict[str, Row] = {}
    for sample in samples:
        for token in sample["anns"]:
            annotation = tables.get("sample_annotation", token)
            track = tracks.setdefault(
                annotation["instance_token"],
                {
                    "instance_token": annotation["instance_token"],
                    "category": annotation["category_name"],
                    "class_name": category_to_detection_name(annotation["category_name"]),
                    "annotations": [],
                },
            )
            track["annotations"].append(_annotation(tables, annotation, sample, keyframe_of, token in evaluated))
    return list(tracks.values())


def _annotation(tables: NuScenes, annotation: Row, sample: Row, keyframe_of: dict[str, int], evaluated: bool) -> Row:
    width, length, height = annotation["size"]
    velocity = _velocity(tables, annotation)
    return {
        "token": annotation["token"],
        "keyframe": keyframe_of[sample["token"]],
        "timestamp_us": sample["timestamp"],
        "translation": annotation["translation"],
        "rotation_wxyz": annotation["rotation"],
        "size_lwh_m": [length, width, height],
        "velocity_mps": velocity if np.isfinite(velocity).all() else None,
        "visibility": _visibility(tables, annotation),
        "num_lidar_pts": annotation["num_lidar_pts"],
        "attributes": [tables.get("attribute", token)["name"] for token in annotation["attribute_tokens"]],
        "evaluated": evaluated,
    }


def _visibility(tables: NuScenes, annotation: Row) -> int | None:
    token = annotation["visibility_token"]
    return _VISIBILITY[tables.get("visibility", token)["level"]] if token else None


def _velocity(tables: NuScenes, annotation: Row) -> np.ndarray:
    # Two annotations of one track at one time give 0/0, that is NaN: no velocity.
    with np.errstate(invalid="ignore", divide="ignore"):
        return tables.box_velocity(annotation["token"])


def _evaluated_tokens(tables: NuScenes, samples: list[Row]) -> set[str]:
    """Tokens of the annotations that the official detection evaluation (`detection_cvpr_2019`) keeps."""
    sound = _SoundBoxes(tables)
    boxes, token_of = EvalBoxes(), {}
    for sample in samples:
        names = {token: category_to_detection_name(sound.category(token)) for token in sound.annotations(sample)}
        sample_boxes = {token: _detection_box(tables, token, name) for token, name in names.items() if name}
        boxes.add_boxes(sample["token"], list(sample_boxes.values()))
        token_of |= {id(box): token for token, box in sample_boxes.items()}
    if not token_of:
        return set()  # at no box at all the devkit stops
    add_center_dist(tables, boxes)
    kept = filter_eval_boxes(sound, boxes, config_factory("detection_cvpr_2019").class_range)
    return {token_of[id(box)] for box in kept.all}


class _SoundBoxes:
    """The tables without the boxes at which the devkit's assertions on NaN would stop, bicycle racks among them."""

    def __init__(self, tables: NuScenes) -> None:
        self._tables = tables

    def category(self, token: str) -> str:
        """The category of an annotation."""
        return self._tables.get("sample_annotation", token)["category_name"]

    def annotations(self, sample: Row) -> list[str]:
        """Tokens of the sample's boxes whose numbers are finite."""
        rows = (self._tables.get("sample_annotation", token) for token in sample["anns"])
        return [
            row["token"] for row in rows if np.isfinite([*row["translation"], *row["size"], *row["rotation"]]).all()
        ]

    def get(self, table: str, token: str) -> Row:
        """As the devkit's `get`."""
        row = self._tables.get(table, token)
        return row | {"anns": self.annotations(row)} if table == "sample" else row


def _detection_box(tables: NuScenes, token: str, name: str) -> DetectionBox:
    """The devkit's ground-truth box of an annotation."""
    annotation = tables.get("sample_annotation", token)
    return DetectionBox(
        sample_token=annotation["sample_token"],
        translation=annotation["translation"],
        size=annotation["size"],
        rotation=annotation["rotation"],
        num_pts=annotation["num_lidar_pts"] + annotation["num_radar_pts"],
        detection_name=name,
    )
