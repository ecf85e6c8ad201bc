"""Record one scene: drive through the plan, write the sensors' files, return the rows of its tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from nuscenes.utils.data_classes import Box
from nuscenes.utils.geometry_utils import points_in_box
from PIL import Image
from pyquaternion import Quaternion

from blendclip.datasets.city.camera import take_picture
from blendclip.datasets.city.cast import plan_scene
from blendclip.datasets.city.lidar import sweep
from blendclip.datasets.city.motion import planar_SE3
from blendclip.datasets.city.plan import ScenePlan, Thing
from blendclip.datasets.city.raycasting import World
from blendclip.datasets.city.seeds import stable_rng, stable_token
from blendclip.datasets.city.sensors import CAMERAS, KEYFRAME_US, LIDAR, SWEEP_US, ego_SE3_lidar
from blendclip.datasets.city.tables import Row, Tables, instance_rows, link

ANNOTATED_WITHIN_M = 70.0
JPEG_QUALITY = 92
FIRST_TIMESTAMP_US = 1_533_000_000_000_000


@dataclass(frozen=True)
class SceneJob:
    """What a worker needs to record one scene."""

    root: Path
    name: str
    kind: str
    order: int
    """Position among all scenes: sets the scene's date."""
    seed: int
    duration_s: float
    image_size_px: tuple[int, int]


@dataclass
class SceneRecord:
    """What a worker hands back."""

    tables: Tables
    instances: list[Row]
    """Token, category, name of every thing of the plan, annotated or not."""
    truth_files: list[str] = field(default_factory=list)


class Recorder:
    """Writes files and collects table rows of one scene."""

    def __init__(self, job: SceneJob, plan: ScenePlan) -> None:
        """Draw the scene's place, date and sun."""
        self.job, self.plan, self.world = job, plan, World(plan)
        self.key = f"{job.seed}/{job.name}"
        rng = stable_rng(self.key, "place")
        self.start_us = FIRST_TIMESTAMP_US + job.order * 600_000_000 + int(rng.integers(0, 1_000_000))
        self.global_SE3_world = planar_SE3(
            np.array([rng.uniform(300, 1500), rng.uniform(300, 1500), rng.uniform(-3.1, 3.1)])
        )
        azimuth, height = rng.uniform(-np.pi, np.pi), np.deg2rad(rng.uniform(38, 62))
        self.sun = np.array([np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height)])
        self.sunlight = float(rng.uniform(0.65, 1.0))
        self.log = f"city-{job.name}"
        self.keyframes = round(job.duration_s * 1e6) // KEYFRAME_US + 1
        self.tables: Tables = {name: [] for name in ("ego_pose", "calibrated_sensor", "sample", "sample_annotation")}
        self.record = SceneRecord(self.tables, [])
        self.data: dict[str, list[Row]] = {channel: [] for channel in (LIDAR, *(c.channel for c in CAMERAS))}

    def token(self, *names: object) -> str:
        """Return a token that belongs to this scene."""
        return stable_token(self.key, *names)

    def global_pose(self, pose: np.ndarray, z_m: float) -> tuple[list[float], list[float]]:
        """Return translation and wxyz rotation in global frame of a pose (3,) in world frame."""
        global_SE3_thing = self.global_SE3_world @ planar_SE3(pose, z_m)
        yaw = np.arctan2(global_SE3_thing[1, 0], global_SE3_thing[0, 0])
        return global_SE3_thing[:3, 3].tolist(), [float(np.cos(yaw / 2)), 0.0, 0.0, float(np.sin(yaw / 2))]

    def add_data(
        self, channel: str, offset_us: int, keyframe: int, is_keyframe: bool, suffix: str, size: tuple
    ) -> Path:
        """Add the sample_data and ego_pose rows of one file and return where it belongs."""
        timestamp = self.start_us + offset_us
        name = f"{self.log}__{channel}__{timestamp}"
        filename = f"{'samples' if is_keyframe else 'sweeps'}/{channel}/{name}{suffix}"
        token = self.token(channel, offset_us)
        translation, rotation = self.global_pose(self.plan.ego.pose_at(offset_us / 1e6), 0.0)
        self.tables["ego_pose"].append(
            {"token": token, "timestamp": timestamp, "rotation": rotation, "translation": translation}
        )
        self.data[channel].append(
            {
                "token": token,
                "sample_token": self.token("sample", keyframe),
                "ego_pose_token": token,
                "calibrated_sensor_token": self.token("calibrated", channel),
                "timestamp": timestamp,
                "fileformat": "pcd" if channel == LIDAR else "jpg",
                "is_key_frame": is_keyframe,
                "height": size[1],
                "width": size[0],
                "filename": filename,
            }
        )
        path = self.job.root / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def record_sweep(self, offset_us: int) -> np.ndarray:
        """Write the sweep and its truth at this time; return its points (N, 3) in LiDAR frame."""
        keyframe, is_keyframe = -(-offset_us // KEYFRAME_US), offset_us % KEYFRAME_US == 0
        self.world.move_to(offset_us / 1e6)
        world_SE3_lidar = planar_SE3(self.plan.ego.pose_at(offset_us / 1e6)) @ ego_SE3_lidar()
        points, truth = sweep(self.world, world_SE3_lidar, stable_rng(self.key, LIDAR, offset_us))
        path = self.add_data(LIDAR, offset_us, keyframe, is_keyframe, ".pcd.bin", (0, 0))
        points.tofile(path)
        truth_path = self.job.root / "truth" / f"{path.name.removesuffix('.pcd.bin')}.npy"
        truth_path.parent.mkdir(parents=True, exist_ok=True)
        np.save(truth_path, truth)
        self.record.truth_files.append(truth_path.name)
        return points[:, :3]

    def record_images(self, keyframe: int) -> np.ndarray:
        """Write the six images of a keyframe; return each thing's visible share of its pixels (things,), 0 if none."""
        visible = np.zeros(len(self.plan.things))
        alone = np.zeros(len(self.plan.things))
        for camera in CAMERAS:
            offset_us = keyframe * KEYFRAME_US + camera.delay_us
            self.world.move_to(offset_us / 1e6)
            world_SE3_ego = planar_SE3(self.plan.ego.pose_at(offset_us / 1e6))
            picture = take_picture(self.world, camera, world_SE3_ego, self.job.image_size_px, self.sun, self.sunlight)
            path = self.add_data(camera.channel, offset_us, keyframe, True, ".jpg", self.job.image_size_px)
            Image.fromarray(picture.image).save(path, quality=JPEG_QUALITY)
            visible += picture.visible
            alone += picture.alone
        return visible / np.maximum(alone, 1)

    def annotate(self, keyframe: int, points: np.ndarray, visible_share: np.ndarray) -> None:
        """Add a row for every thing near enough that has a LiDAR point (N, 3; LiDAR frame) in its box."""
        time_s = keyframe * KEYFRAME_US / 1e6
        ego_translation, ego_rotation = self.global_pose(self.plan.ego.pose_at(time_s), 0.0)
        mounting = self.tables["calibrated_sensor"][0]
        for i, thing in enumerate(self.plan.things):
            translation, rotation = self.global_pose(thing.motion.pose_at(time_s), thing.box_z_m)
            if np.hypot(translation[0] - ego_translation[0], translation[1] - ego_translation[1]) > ANNOTATED_WITHIN_M:
                continue
            length, width, height = (float(v) for v in thing.size_lwh_m)
            box = Box(translation, [width, length, height], Quaternion(rotation))
            for origin, turn in ((ego_translation, ego_rotation), (mounting["translation"], mounting["rotation"])):
                box.translate(-np.array(origin))
                box.rotate(Quaternion(turn).inverse)
            count = int(points_in_box(box, points.T).sum())
            if count:
                level = 1 + int(np.searchsorted([0.4, 0.6, 0.8], visible_share[i], side="right"))
                self.tables["sample_annotation"].append(
                    {
                        "token": self.token("annotation", keyframe, i),
                        "sample_token": self.token("sample", keyframe),
                        "instance_token": self.token("instance", i),
                        "visibility_token": str(level),
                        "attribute_tokens": [stable_token("attribute", thing.attribute)] if thing.attribute else [],
                        "translation": translation,
                        "size": [width, length, height],
                        "rotation": rotation,
                        "num_lidar_pts": count,
                        "num_radar_pts": 0,
                    }
                )

    def add_calibration(self) -> None:
        """Add the mounting of each sensor, the LiDAR first."""
        width, height = self.job.image_size_px
        mounts = [(LIDAR, ego_SE3_lidar(), [])]
        mounts += [(c.channel, c.ego_SE3_camera, c.intrinsic(width, height).tolist()) for c in CAMERAS]
        for channel, ego_SE3_sensor, intrinsic in mounts:
            self.tables["calibrated_sensor"].append(
                {
                    "token": self.token("calibrated", channel),
                    "sensor_token": stable_token("sensor", channel),
                    "translation": ego_SE3_sensor[:3, 3].tolist(),
                    "rotation": Quaternion(matrix=ego_SE3_sensor[:3, :3]).normalised.elements.tolist(),
                    "camera_intrinsic": intrinsic,
                }
            )

    def finish(self) -> SceneRecord:
        """Link all rows and return them."""
        scene, log, samples = self.token("scene"), self.token("log"), self.tables["sample"]
        for keyframe in range(self.keyframes):
            timestamp = self.start_us + keyframe * KEYFRAME_US
            samples.append({"token": self.token("sample", keyframe), "timestamp": timestamp, "scene_token": scene})
        link(samples)
        self.tables["sample_data"] = [row for rows in self.data.values() for row in link(rows)]
        self.record.instances = [self._instance(i, thing) for i, thing in enumerate(self.plan.things)]
        category_of = {str(row["token"]): str(row["category"]) for row in self.record.instances}
        self.tables["instance"] = instance_rows(self.tables["sample_annotation"], category_of)
        self.tables["log"] = [
            {"token": log, "logfile": self.log, "vehicle": "city", "date_captured": "2018-07-31", "location": "city"}
        ]
        self.tables["scene"] = [
            {
                "token": scene,
                "log_token": log,
                "nbr_samples": self.keyframes,
                "first_sample_token": samples[0]["token"],
                "last_sample_token": samples[-1]["token"],
                "name": self.job.name,
                "description": f"generated street, ego vehicle: {self.job.kind.replace('_', ' ')}",
            }
        ]
        return self.record

    def _instance(self, index: int, thing: Thing) -> Row:
        token = self.token("instance", index)
        return {"token": token, "category": thing.category, "shape": thing.shape, "scene": self.job.name}


def record_scene(job: SceneJob) -> SceneRecord:
    """Plan and record one scene below job.root and return its rows."""
    recorder = Recorder(job, plan_scene(job.name, job.kind, job.duration_s, job.seed))
    recorder.add_calibration()
    for offset_us in range(0, (recorder.keyframes - 1) * KEYFRAME_US + 1, SWEEP_US):
        points = recorder.record_sweep(offset_us)
        if offset_us % KEYFRAME_US == 0:
            keyframe = offset_us // KEYFRAME_US
            recorder.annotate(keyframe, points, recorder.record_images(keyframe))
    return recorder.finish()
