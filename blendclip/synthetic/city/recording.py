"""What recording a scene has in common whatever the vehicle: images, annotations, tokens, and the links of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nuscenes.utils.data_classes import Box
from PIL import Image
from pyquaternion import Quaternion

from blendclip.randomness import stable_rng, stable_token
from blendclip.synthetic.city.camera import render_image
from blendclip.synthetic.city.motion import planar_SE3
from blendclip.synthetic.city.plan import ScenePlan
from blendclip.synthetic.city.raycasting import World
from blendclip.synthetic.city.rig import SceneJob, SceneRecord
from blendclip.synthetic.city.sensors import KEYFRAME_US, Camera
from blendclip.synthetic.city.tables import Row, Tables, instance_rows, link

JPEG_QUALITY = 92
FIRST_TIMESTAMP_US = 1_533_000_000_000_000


@dataclass(frozen=True)
class Setting:
    """Where and when a scene is recorded, and its sun."""

    offset_us: int
    """When it begins, after the dataset's first timestamp."""
    global_SE3_world: np.ndarray
    """(4, 4)"""
    sun: np.ndarray
    """(3,) unit vector to the sun in world frame."""
    sunlight: float
    """0..1"""


def draw_setting(key: str, order: int, origin_m: tuple[float, float] = (0.0, 0.0)) -> Setting:
    """Draw the setting of a scene, whose position among all scenes is `order`, near an origin in the global frame."""
    rng = stable_rng(key, "place")
    offset_us = order * 600_000_000 + int(rng.integers(0, 1_000_000))
    pose = np.array([rng.uniform(300, 1500), rng.uniform(300, 1500), rng.uniform(-3.1, 3.1)]) + [*origin_m, 0]
    azimuth, height = rng.uniform(-np.pi, np.pi), np.deg2rad(rng.uniform(38, 62))
    sun = np.array([np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height)])
    return Setting(offset_us, planar_SE3(pose), sun, float(rng.uniform(0.65, 1.0)))


class Recorder(ABC):
    """Writes files and collects table rows of one scene."""

    cameras: tuple[Camera, ...]
    """Of the vehicle."""
    lidar_channels: tuple[str, ...]
    """Of the vehicle."""
    lidar_format: str
    """`fileformat` of the sweeps."""
    annotated_within_m: float
    """How far from the ego vehicle things are annotated."""
    origin_m: tuple[float, float] = (0.0, 0.0)
    """Where the city lies in the global frame."""

    def __init__(self, job: SceneJob, plan: ScenePlan) -> None:
        """Draw the scene's setting."""
        self.job, self.plan, self.world = job, plan, World(plan)
        self.key = f"{job.seed}/{job.name}"
        self.setting = draw_setting(self.key, job.order, self.origin_m)
        self.start_us = FIRST_TIMESTAMP_US + self.setting.offset_us
        self.keyframes = round(job.duration_s * 1e6) // KEYFRAME_US + 1
        self.tables: Tables = {name: [] for name in ("ego_pose", "calibrated_sensor", "sample", "sample_annotation")}
        self.record = SceneRecord(self.tables, [])
        channels = (*self.lidar_channels, *(camera.channel for camera in self.cameras))
        self.data: dict[str, list[Row]] = {channel: [] for channel in channels}

    @abstractmethod
    def pose_token(self, channel: str, offset_us: int) -> str:
        """Return the token of the ego pose that a file of this channel and time names."""

    @abstractmethod
    def file_name(self, channel: str, timestamp_us: int) -> str:
        """Return the name, without suffix, of a file."""

    def token(self, *names: object) -> str:
        """Return a token that belongs to this scene."""
        return stable_token(self.key, *names)

    def global_pose(self, pose: np.ndarray, z_m: float) -> tuple[list[float], list[float]]:
        """Return translation and wxyz rotation in global frame of a pose (3,) in world frame."""
        global_SE3_thing = self.setting.global_SE3_world @ planar_SE3(pose, z_m)
        yaw = np.arctan2(global_SE3_thing[1, 0], global_SE3_thing[0, 0])
        return global_SE3_thing[:3, 3].tolist(), [float(np.cos(yaw / 2)), 0.0, 0.0, float(np.sin(yaw / 2))]

    def ego_pose_row(self, token: str, offset_us: int) -> Row:
        """Return the row of the true ego pose offset_us after the scene's start."""
        translation, rotation = self.global_pose(self.plan.ego.pose_at(offset_us / 1e6), 0.0)
        timestamp = self.start_us + offset_us
        return {"token": token, "timestamp": timestamp, "rotation": rotation, "translation": translation}

    def add_data(
        self, channel: str, offset_us: int, keyframe: int, is_keyframe: bool, suffix: str, size: tuple
    ) -> Path:
        """Add the sample_data row of one file and return where it belongs."""
        timestamp = self.start_us + offset_us
        name = self.file_name(channel, timestamp)
        filename = f"{'samples' if is_keyframe else 'sweeps'}/{channel}/{name}{suffix}"
        self.data[channel].append(
            {
                "token": self.token(channel, offset_us),
                "sample_token": self.token("sample", keyframe),
                "ego_pose_token": self.pose_token(channel, offset_us),
                "calibrated_sensor_token": self.token("calibrated", channel),
                "timestamp": timestamp,
                "fileformat": self.lidar_format if channel in self.lidar_channels else "jpg",
                "is_key_frame": is_keyframe,
                "height": size[1],
                "width": size[0],
                "filename": filename,
            }
        )
        path = self.job.root / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_truth(self, sweep: Path, suffix: str, truth: np.ndarray) -> None:
        """Write which thing each point (N,) uint16 of a sweep lies on."""
        path = self.job.root / "truth" / f"{sweep.name.removesuffix(suffix)}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, truth)
        self.record.truth_files.append(path.name)

    def record_images(self, keyframe: int) -> np.ndarray:
        """Write the images of a keyframe; return each thing's visible share of its pixels (things,), 0 if none."""
        visible = np.zeros(len(self.plan.things))
        alone = np.zeros(len(self.plan.things))
        for camera in self.cameras:
            offset_us = keyframe * KEYFRAME_US + camera.delay_us
            self.world.move_to(offset_us / 1e6)
            world_SE3_ego = planar_SE3(self.plan.ego.pose_at(offset_us / 1e6))
            size_px, light = self.job.image_size_px, (self.setting.sun, self.setting.sunlight)
            seen = render_image(self.world, camera, world_SE3_ego, size_px, *light)
            path = self.add_data(camera.channel, offset_us, keyframe, True, ".jpg", self.job.image_size_px)
            Image.fromarray(seen.image).save(path, quality=JPEG_QUALITY)
            visible += seen.visible
            alone += seen.alone
        return visible / np.maximum(alone, 1)

    def annotate(self, keyframe: int, count: Callable[[int, Box], int], visible_share: np.ndarray) -> None:
        """Add a row for every thing near enough that has a LiDAR point in its box.

        Args: count returns the points in the box, in global frame, of a thing; visible_share (things,).
        """
        time_s = keyframe * KEYFRAME_US / 1e6
        ego_translation, _ = self.global_pose(self.plan.ego.pose_at(time_s), 0.0)
        for i, thing in enumerate(self.plan.things):
            translation, rotation = self.global_pose(thing.motion.pose_at(time_s), thing.box_z_m)
            offset = (translation[0] - ego_translation[0], translation[1] - ego_translation[1])
            if np.hypot(*offset) > self.annotated_within_m:
                continue
            length, width, height = (float(v) for v in thing.size_lwh_m)
            points = count(i, Box(translation, [width, length, height], Quaternion(rotation)))
            if points:
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
                        "num_lidar_pts": points,
                        "num_radar_pts": 0,
                    }
                )

    def add_calibration(self, ego_SE3_lidars: dict[str, np.ndarray]) -> None:
        """Add the mounting of each sensor, the LiDARs first, of which ego_SE3_lidars holds the poses (4, 4)."""
        width, height = self.job.image_size_px
        mounts: list[tuple[str, np.ndarray, list]] = [(channel, pose, []) for channel, pose in ego_SE3_lidars.items()]
        mounts += [(c.channel, c.ego_SE3_camera, c.intrinsic(width, height).tolist()) for c in self.cameras]
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

    def finish(self, description: str, log_token: str) -> SceneRecord:
        """Link all rows and return them."""
        scene, samples = self.token("scene"), self.tables["sample"]
        for keyframe in range(self.keyframes):
            timestamp = self.start_us + keyframe * KEYFRAME_US
            samples.append({"token": self.token("sample", keyframe), "timestamp": timestamp, "scene_token": scene})
        link(samples)
        self.tables["sample_data"] = [row for rows in self.data.values() for row in link(rows)]
        self.record.instances = [
            {"token": self.token("instance", i), "category": t.category, "shape": t.shape, "scene": self.job.name}
            for i, t in enumerate(self.plan.things)
        ]
        category_of = {str(row["token"]): str(row["category"]) for row in self.record.instances}
        self.tables["instance"] = instance_rows(self.tables["sample_annotation"], category_of)
        self.tables["scene"] = [
            {
                "token": scene,
                "log_token": log_token,
                "nbr_samples": self.keyframes,
                "first_sample_token": samples[0]["token"],
                "last_sample_token": samples[-1]["token"],
                "name": self.job.name,
                "description": description,
            }
        ]
        return self.record
