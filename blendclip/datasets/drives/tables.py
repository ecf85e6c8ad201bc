"""Tables in nuScenes' schema to the scene index, read by a devkit.

The devkit says what it can: which scenes a split holds, which detection class a category belongs to, how
fast a box moves, and which boxes the official detection benchmark evaluates. What sets one dataset's devkit apart from
another's is said in a `Devkit`.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blendclip import geometry
from blendclip.datasets.drives.classes import Classes
from blendclip.datasets.drives.evaluated import evaluated_tokens
from blendclip.datasets.drives.points import known_points
from blendclip.datasets.drives.poses import PoseStream, index_rows, pose_of, times_of
from blendclip.datasets.drives.raw_columns import RAW_SUFFIX, told_columns
from blendclip.datasets.drives.validation import strange_time
from blendclip.errors import UserError

log = logging.getLogger(__name__)

Row = dict[str, Any]
Tables = Any  # the devkit's object: NuScenes or TruckScenes

# Scenes of mini are in train or val as well: the devkits' evaluation refuses the mixture, and so do we.
_SPLITS_OF = {
    "mini": {"mini_train", "mini_val"},
    "trainval": {"train", "val", "train_detect", "train_track"},
    "test": {"test"},
}
# As nuScenes spells the levels, and as TruckScenes' schema has them.
_VISIBILITY: dict[str | int, int] = {"v0-40": 1, "v40-60": 2, "v60-80": 3, "v80-100": 4} | {
    level: level for level in (1, 2, 3, 4)
}


@dataclass(frozen=True)
class LoadedTables:
    """A dataset, and what the user says of it."""

    tables: Tables
    classes: Classes
    lidar_columns: int | None
    """Float32 values of a point in raw sweeps; None where the files are to tell."""


@dataclass(frozen=True)
class Devkit:
    """The adapter of a dataset in nuScenes' schema, given what that dataset has of its own."""

    name: str
    """The package, for messages."""
    open: Callable[[str, str], Tables]
    """Version and root to the loaded tables."""
    official_splits: Callable[[], Mapping[str, list[str]]]
    """Scene names of each official split."""
    detection_name: Callable[[str], str | None]
    """Category to class of the detection benchmark; None where it has none."""
    loaders: ModuleType
    """The evaluation's `add_center_dist`, `filter_eval_boxes`, `EvalBoxes` and `DetectionBox`."""
    class_range_m: Mapping[str, float]
    """How far away the benchmark evaluates each class."""
    reference: str
    """The LiDAR from whose ego pose the benchmark measures distance."""
    pose_stream: bool
    """Whether ego poses come at times of their own, to be interpolated; if not, each reading has its own pose."""
    point_times: bool
    """Whether sweep files say when each point was measured."""

    def load(
        self, root: Path, version: str, lidar_columns: int | None = None, classes: Mapping[str, str] | None = None
    ) -> LoadedTables:
        """The devkit's tables of `version` under `root`, and what `TableOptions` say of them.

        Raises:
            UserError: root, version or a table is not there, the devkit cannot read them, or a class is not known.
        """
        own = Classes(classes or {}, self.detection_name, self.class_range_m)
        if not root.is_dir():
            raise UserError(f"there is no folder {root}: set `root` of the dataset to the folder that holds {version}/")
        if not (root / version).is_dir():
            found = sorted(path.parent.name for path in root.glob("*/sample_annotation.json"))
            raise UserError(
                f"{root} has no version {version!r}: set `version` to one of {found or 'the official names'}"
            )
        try:
            tables = self.open(version, str(root))
        except (AssertionError, KeyError, TypeError, OSError, ValueError) as error:
            raise UserError(
                f"{self.name} cannot load {root / version}: {type(error).__name__}: {error}; unpack the dataset again"
            ) from error
        own.check_categories([row["name"] for row in tables.category])
        return LoadedTables(tables, own, lidar_columns)

    def split_scenes(self, loaded: LoadedTables, split: str) -> list[Row]:
        """The scene records of a split that the tables hold, in the split's order.

        The split is an official one, or one of the dataset's own `splits.json` (name to list of scene names) beside the
        tables.

        Raises:
            UserError: no such split, it belongs to another version, or none of its scenes is there.
        """
        tables, official = loaded.tables, self.official_splits()
        suffix = next((suffix for suffix in _SPLITS_OF if tables.version.endswith(suffix)), None)
        if suffix and split in official and split not in _SPLITS_OF[suffix]:
            raise UserError(
                f"split {split!r} is not one of version {tables.version} in {tables.dataroot}, which would hold a "
                f"fraction of it: set `splits` to some of {sorted(_SPLITS_OF[suffix])}"
            )
        names = official[split] if split in official else _own_splits(tables).get(split)
        if not isinstance(names, list):
            raise UserError(
                f"{tables.table_root} has no split {split!r}: set `splits` to some of {sorted(official)}, or define it "
                "in splits.json beside the tables"
            )
        by_name = {scene["name"]: scene for scene in tables.scene}
        scenes = [by_name[name] for name in names if name in by_name]
        if not scenes:
            present = sorted(name for name, members in official.items() if by_name.keys() & set(members))
            raise UserError(
                f"{tables.table_root} holds no scene of split {split!r}: set `splits` to some of {present}, or define "
                "one in splits.json beside the tables"
            )
        return scenes

    def rows(self, loaded: LoadedTables, scenes: list[Row]) -> Iterator[Row]:
        """The rows of the scene index (schema `schemas.INDEX`) but for dataset and split, one per scene.

        Raises:
            UserError: a table refers to a record that is not there, or two ego poses contradict each other.
        """
        tables = loaded.tables
        readings = self._readings_by_scene(tables, scenes)
        columns = loaded.lidar_columns or told_columns(Path(tables.dataroot), _sweep_paths(readings))
        stream = PoseStream(tables.ego_pose) if self.pose_stream else None
        for scene in scenes:
            try:
                yield _SceneReader(self, loaded, columns, stream, scene, readings[scene["token"]]).row()
            except KeyError as error:
                needs = "" if stream else f" (each keyframe needs its {self.reference}, each reading its pose)"
                raise _missing(tables, f"tables of {scene['name']}", error, needs) from error

    def _readings_by_scene(self, tables: Tables, scenes: list[Row]) -> Mapping[str, list[Row]]:
        try:
            return _readings_by_scene(tables, {scene["token"] for scene in scenes})
        except KeyError as error:
            raise _missing(tables, "table sample_data", error) from error


def _missing(tables: Tables, where: str, error: KeyError, needs: str = "") -> UserError:
    """What to say of a record, or a column of one, that is not there."""
    return UserError(
        f"the {where} in {tables.table_root} need {error}, a record or column that is not there{needs}; unpack the "
        "dataset again"
    )


def _own_splits(tables: Tables) -> Mapping[str, list[str]]:
    path = Path(tables.table_root) / "splits.json"
    if not path.is_file():
        return {}
    try:
        splits = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}): mend it") from None
    if not isinstance(splits, dict):
        raise UserError(f"{path} is a {type(splits).__name__}: it must map names of splits to lists of scene names")
    return splits


def _readings_by_scene(tables: Tables, scene_tokens: set[str]) -> dict[str, list[Row]]:
    """All LiDAR sweeps and the keyframes' images of each scene, by channel and time."""
    readings = defaultdict(list)
    for data in tables.sample_data:
        wanted = _is_lidar(data) or (data["sensor_modality"] == "camera" and data["is_key_frame"])
        scene_token = tables.get("sample", data["sample_token"])["scene_token"] if wanted else None
        if scene_token in scene_tokens:
            readings[scene_token].append(data)
    for rows in readings.values():
        rows.sort(key=lambda data: (data["channel"], data["timestamp"]))
    return readings


def _sweep_paths(readings: Mapping[str, list[Row]]) -> list[str]:
    return [data["filename"] for rows in readings.values() for data in rows if _is_lidar(data)]


def _is_lidar(data: Row) -> bool:
    return data["sensor_modality"] == "lidar"


class _SceneReader:
    """Reads one scene."""

    def __init__(
        self,
        devkit: Devkit,
        loaded: LoadedTables,
        columns: int,
        stream: PoseStream | None,
        scene: Row,
        readings: list[Row],
    ) -> None:
        self.devkit, self.tables, self.classes, self.columns = devkit, loaded.tables, loaded.classes, columns
        self.scene, self.readings, tables = scene, readings, loaded.tables
        self.samples = self._samples()
        self.keyframe_of = {sample["token"]: number for number, sample in enumerate(self.samples)}
        if not self.samples:
            raise UserError(f"scene {scene['name']} has no sample: take it out of {tables.table_root}/scene.json")
        first, last = self.samples[0], self.samples[-1]
        if strange := strange_time(first["timestamp"]):
            raise UserError(
                f"scene {scene['name']} in {tables.table_root}: the timestamp of sample {first['token']} is {strange}, "
                "must be microseconds since 1970"
            )
        self.stream = stream and stream.between(first["timestamp"], last["timestamp"], scene["name"])

    def row(self) -> Row:
        """The scene's row of the index, but for the names of dataset and split."""
        sensors = [self.tables.get("calibrated_sensor", data["calibrated_sensor_token"]) for data in self.readings]
        ego_SE3_sensor = np.array([pose_of(sensor) for sensor in sensors]).reshape(-1, 3, 4)
        global_SE3_sensor = geometry.compose(self._global_SE3_ego(), ego_SE3_sensor).reshape(-1, 12)
        rows = zip(self.readings, sensors, global_SE3_sensor, ego_SE3_sensor.reshape(-1, 12), strict=True)
        sweeps, images = [], []
        for data, sensor, pose, mounting in rows:
            if _is_lidar(data):
                sweeps.append(self._sweep(data, pose, mounting))
            else:
                images.append(self._image(data, sensor, pose))
        return {
            "scene": self.scene["name"],
            "scene_token": self.scene["token"],
            "keyframes": self._keyframes(),
            "ego_poses": index_rows(self.stream) if self.stream else [],
            "sweeps": sweeps,
            "images": images,
            "tracks": self._tracks(),
        }

    def _samples(self) -> list[Row]:
        samples, token = [], self.scene["first_sample_token"]
        while token:
            samples.append(self.tables.get("sample", token))
            token = samples[-1]["next"]
        return samples

    def _own_pose(self, data: Row) -> NDArray[np.float64]:
        return pose_of(self.tables.get("ego_pose", data["ego_pose_token"]))

    def _global_SE3_ego(self) -> NDArray[np.float64]:
        """Ego poses (M, 3, 4) at the readings' times."""
        if self.stream:
            return self.stream.at(times_of(self.readings))
        return np.array([self._own_pose(data) for data in self.readings]).reshape(-1, 3, 4)

    def _evaluable(self, sample: Row) -> bool:
        """Whether the official evaluation could measure the distance of the sample's boxes."""
        return self.devkit.reference in sample["data"]

    def _keyframes(self) -> list[Row]:
        return [
            {
                "sample_token": sample["token"],
                "timestamp_us": sample["timestamp"],
                "global_SE3_ego": self._keyframe_pose(sample).ravel(),
            }
            for sample in self.samples
        ]

    def _keyframe_pose(self, sample: Row) -> NDArray[np.float64]:
        """The ego pose from which the official evaluation measures distance, or at the sample's time if it has none."""
        if self.stream and not self._evaluable(sample):
            return self.stream.at(times_of([sample]))[0]
        return self._own_pose(self.tables.get("sample_data", sample["data"][self.devkit.reference]))

    def _reading(self, data: Row) -> Row:
        return {
            "channel": data["channel"],
            "path": data["filename"],
            "timestamp_us": data["timestamp"],
            "keyframe": self.keyframe_of[data["sample_token"]],
        }

    def _sweep(self, data: Row, global_SE3_sensor: NDArray, ego_SE3_sensor: NDArray) -> Row:
        return self._reading(data) | {
            "global_SE3_sensor": global_SE3_sensor,
            "ego_SE3_sensor": ego_SE3_sensor,
            "point_times": self.devkit.point_times,
            "point_columns": self.columns if data["filename"].endswith(RAW_SUFFIX) else None,
        }

    def _image(self, data: Row, sensor: Row, global_SE3_camera: NDArray) -> Row:
        return self._reading(data) | {
            "global_SE3_camera": global_SE3_camera,
            "intrinsic": np.asarray(sensor["camera_intrinsic"], np.float64).ravel(),
            "width_px": data["width"],
            "height_px": data["height"],
        }

    def _tracks(self) -> list[Row]:
        evaluated = self._evaluated_tokens()
        tracks: dict[str, Row] = {}
        for sample in self.samples:
            for token in sample["anns"]:
                annotation = self.tables.get("sample_annotation", token)
                track = tracks.setdefault(
                    annotation["instance_token"],
                    {
                        "instance_token": annotation["instance_token"],
                        "category": annotation["category_name"],
                        "class_name": self.classes(annotation["category_name"]),
                        "annotations": [],
                    },
                )
                track["annotations"].append(self._annotation(annotation, sample, token in evaluated))
        return list(tracks.values())

    def _evaluated_tokens(self) -> set[str]:
        evaluable = [sample for sample in self.samples if self._evaluable(sample)]
        if len(evaluable) < len(self.samples):
            left_out = len(self.samples) - len(evaluable)
            log.warning(
                "%s: %d of %d keyframes have no %s, from which the official evaluation measures distance: their boxes "
                "count as not evaluated",
                *(self.scene["name"], left_out, len(self.samples), self.devkit.reference),
            )
        devkit = self.devkit
        return evaluated_tokens(self.tables, evaluable, devkit.loaders, self.classes, devkit.class_range_m)

    def _annotation(self, annotation: Row, sample: Row, evaluated: bool) -> Row:
        width, length, height = annotation["size"]
        velocity = self._velocity(annotation)
        return {
            "token": annotation["token"],
            "keyframe": self.keyframe_of[sample["token"]],
            "timestamp_us": sample["timestamp"],
            "translation": annotation["translation"],
            "rotation_wxyz": annotation["rotation"],
            "size_lwh_m": [length, width, height],
            "velocity_mps": velocity if np.isfinite(velocity).all() else None,
            "visibility": self._visibility(annotation),
            "num_lidar_pts": known_points(annotation, "num_lidar_pts"),
            "attributes": [self.tables.get("attribute", token)["name"] for token in annotation["attribute_tokens"]],
            "evaluated": evaluated,
        }

    def _visibility(self, annotation: Row) -> int | None:
        token = annotation["visibility_token"]
        level = self.tables.get("visibility", token)["level"] if token else None
        if level is None:
            return None
        if level not in _VISIBILITY:
            raise UserError(
                f"visibility.json in {self.tables.table_root} has the level {level!r}: name it as one of "
                f"{', '.join(map(str, _VISIBILITY))}"
            )
        return _VISIBILITY[level]

    def _velocity(self, annotation: Row) -> NDArray[np.float64]:
        # Two annotations of one track at one time give 0/0, that is NaN: no velocity.
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.tables.box_velocity(annotation["token"])
