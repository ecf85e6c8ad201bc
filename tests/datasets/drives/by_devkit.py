"""The scene index made through the devkits: loaded, joined and evaluated by them, record by record."""

from __future__ import annotations

import numpy as np
import nuscenes.eval.common.loaders
import nuscenes.eval.detection.data_classes
import nuscenes.eval.detection.utils
import truckscenes.eval.common.loaders
import truckscenes.eval.detection.data_classes
import truckscenes.eval.detection.utils
from nuscenes.nuscenes import NuScenes
from truckscenes import TruckScenes

from blendclip import geometry
from blendclip.geometry import EgoPoses

LEVELS = {"v0-40": 1, "v40-60": 2, "v60-80": 3, "v80-100": 4} | {level: level for level in (1, 2, 3, 4)}
KITS = {
    "nuscenes": (NuScenes, nuscenes, "detection_cvpr_2019", "LIDAR_TOP"),
    "truckscenes": (TruckScenes, truckscenes, "detection_cvpr_2024", "LIDAR_LEFT"),
}


class ByDevkit:
    """The rows of the index of a split, but for dataset and split."""

    def __init__(self, format, root, version):
        opened, kit, config, self.reference = KITS[format]
        self.tables = opened(version=version, dataroot=str(root), verbose=False)
        self.loaders, self.detection = kit.eval.common.loaders, kit.eval.detection
        self.class_range_m = self.loaders_config(kit, config)
        self.stream = self._stream() if format == "truckscenes" else None
        self.readings = self._readings()

    @staticmethod
    def loaders_config(kit, config):
        from importlib import import_module

        return import_module(f"{kit.__name__}.eval.common.config").config_factory(config).class_range

    def rows(self, split):
        """One after the other, in the split's order."""
        names = self.loaders.create_splits_scenes()[split]
        by_name = {scene["name"]: scene for scene in self.tables.scene}
        kept = self._evaluated(split)
        return (self._row(by_name[name], kept) for name in names if name in by_name)

    def _stream(self):
        rows = sorted(self.tables.ego_pose, key=lambda row: row["timestamp"])
        times_us = np.array([row["timestamp"] for row in rows], np.int64)
        return times_us, np.array([_pose(row) for row in rows])

    def _readings(self):
        found = {}
        for data in self.tables.sample_data:
            lidar = data["sensor_modality"] == "lidar"
            if lidar or (data["sensor_modality"] == "camera" and data["is_key_frame"]):
                scene = self.tables.get("sample", data["sample_token"])["scene_token"]
                found.setdefault(scene, []).append(data)
        return {
            scene: sorted(rows, key=lambda row: (row["channel"], row["timestamp"])) for scene, rows in found.items()
        }

    def _evaluated(self, split):
        """Sample, place and class of the boxes that the official evaluation keeps."""
        boxes = self.loaders.load_gt(self.tables, split, self.detection.data_classes.DetectionBox, verbose=False)
        self.loaders.add_center_dist(self.tables, boxes)
        kept = self.loaders.filter_eval_boxes(self.tables, boxes, self.class_range_m)
        return {(box.sample_token, *box.translation, box.detection_name) for box in kept.all}

    def _row(self, scene, kept):
        samples, token = [], scene["first_sample_token"]
        while token:
            samples.append(self.tables.get("sample", token))
            token = samples[-1]["next"]
        number = {sample["token"]: index for index, sample in enumerate(samples)}
        ego = self._scene_stream(samples)
        readings = [(data, self._reading(data, number, ego)) for data in self.readings[scene["token"]]]
        return {
            "scene": scene["name"],
            "scene_token": scene["token"],
            "keyframes": [self._keyframe(sample) for sample in samples],
            "ego_poses": [
                {"timestamp_us": time_us, "global_SE3_ego": pose.ravel().tolist()}
                for time_us, pose in (zip(ego.timestamp_us.tolist(), ego.global_SE3_ego, strict=True) if ego else ())
            ],
            "sweeps": [row for data, row in readings if data["sensor_modality"] == "lidar"],
            "images": [row for data, row in readings if data["sensor_modality"] == "camera"],
            "tracks": self._tracks(samples, number, kept),
        }

    def _scene_stream(self, samples):
        if self.stream is None:
            return None
        times_us, poses = self.stream
        near = (times_us >= samples[0]["timestamp"] - 2_000_000) & (times_us <= samples[-1]["timestamp"] + 2_000_000)
        return EgoPoses(times_us[near], poses[near])

    def _keyframe(self, sample):
        data = self.tables.get("sample_data", sample["data"][self.reference])
        pose = _pose(self.tables.get("ego_pose", data["ego_pose_token"]))
        times = {"sample_token": sample["token"], "timestamp_us": sample["timestamp"]}
        return times | {"global_SE3_ego": pose.ravel().tolist()}

    def _reading(self, data, number, ego):
        sensor = self.tables.get("calibrated_sensor", data["calibrated_sensor_token"])
        if ego:
            global_SE3_ego = ego.at(np.array([data["timestamp"]]))[0]
        else:
            global_SE3_ego = _pose(self.tables.get("ego_pose", data["ego_pose_token"]))
        pose = geometry.compose(global_SE3_ego, _pose(sensor)).ravel().tolist()
        row = {
            "channel": data["channel"],
            "path": data["filename"],
            "timestamp_us": data["timestamp"],
            "keyframe": number[data["sample_token"]],
        }
        if data["sensor_modality"] == "lidar":
            mounting = {"ego_SE3_sensor": _pose(sensor).ravel().tolist(), "point_times": bool(ego)}
            mounting["point_columns"] = 5 if data["filename"].endswith(".bin") else None
            return row | {"global_SE3_sensor": pose, "motion_compensated": None} | mounting
        intrinsic = np.array(sensor["camera_intrinsic"]).ravel().tolist()
        size = {"width_px": data["width"], "height_px": data["height"]}
        return row | {"global_SE3_camera": pose, "intrinsic": intrinsic, "distortion": None} | size

    def _tracks(self, samples, number, kept):
        tracks = {}
        for annotation in (self.tables.get("sample_annotation", token) for s in samples for token in s["anns"]):
            category = annotation["category_name"]
            class_name = self.detection.utils.category_to_detection_name(category)
            track = tracks.setdefault(
                annotation["instance_token"],
                {
                    "instance_token": annotation["instance_token"],
                    "category": category,
                    "class_name": class_name,
                    "annotations": [],
                },
            )
            track["annotations"].append(self._annotation(annotation, number, class_name, kept))
        return list(tracks.values())

    def _annotation(self, annotation, number, class_name, kept):
        width, length, height = annotation["size"]
        velocity = self.tables.box_velocity(annotation["token"])
        seen = annotation["visibility_token"]
        return {
            "token": annotation["token"],
            "keyframe": number[annotation["sample_token"]],
            "timestamp_us": self.tables.get("sample", annotation["sample_token"])["timestamp"],
            "translation": [float(value) for value in annotation["translation"]],
            "rotation_wxyz": [float(value) for value in annotation["rotation"]],
            "size_lwh_m": [float(length), float(width), float(height)],
            "velocity_mps": velocity.tolist() if np.isfinite(velocity).all() else None,
            "visibility": LEVELS[self.tables.get("visibility", seen)["level"]] if seen else None,
            "num_lidar_pts": annotation["num_lidar_pts"],
            "attributes": [self.tables.get("attribute", token)["name"] for token in annotation["attribute_tokens"]],
            "evaluated": (annotation["sample_token"], *annotation["translation"], class_name) in kept,
        }


def _pose(record):
    return geometry.pose(record["rotation"], record["translation"])
