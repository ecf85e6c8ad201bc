"""The truck: six LiDARs and four cameras, written as MAN TruckScenes. It makes the dataset citytruck.

Conventions: a sweep's timestamp is when its last column fired, and its points carry their own times, up to 70 ms
earlier; they stand in the LiDAR's frame as it was at that own time. A file names the ego pose that is nearest in time
of a stream at 100 Hz, which is at no file's own time.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from nuscenes.utils.data_classes import Box
from pypcd4 import Encoding, PointCloud
from truckscenes.utils.splits import create_splits_scenes

from blendclip.randomness import stable_rng
from blendclip.synthetic.city.cast import plan_scene
from blendclip.synthetic.city.plan import Thing
from blendclip.synthetic.city.recording import Recorder
from blendclip.synthetic.city.rig import Rig, SceneJob, SceneRecord, SharedTables
from blendclip.synthetic.city.sensors import KEYFRAME_US
from blendclip.synthetic.city.truck_cast import KINDS, TRUCK_BODY, fill_truck_stage
from blendclip.synthetic.city.truck_sensors import CAMERAS, LIDARS, TURN_US, RollingLidar, Scan, scan
from blendclip.synthetic.city.truck_tables import TABLES, motion_rows, shared_tables

POSE_STEP_US = 10_000
POSE_PHASE_US = 3_700
"""The stream of ego poses keeps its own time."""
POSE_MARGIN_US = 250_000
"""The stream begins before the first sweep's first point and ends after the last sweep."""
DESCRIPTION = (
    "weather.clear;area.city;daytime.noon;season.summer;lighting.illuminated;structure.regular;construction.roadworks"
)
"""The tags of every scene, one of each group that the devkit knows."""


class TruckRecorder(Recorder):
    """Records a scene as MAN TruckScenes."""

    cameras = CAMERAS
    lidar_channels = tuple(lidar.channel for lidar in LIDARS)
    lidar_format = "pcd"
    annotated_within_m = 150.0
    origin_m = (692_000.0, 5_336_000.0)  # as in UTM zone 32: global coordinates are in the millions

    def file_name(self, channel: str, timestamp_us: int) -> str:
        """Return the name, without suffix, of a file."""
        return f"{channel}_{timestamp_us}"

    def pose_token(self, channel: str, offset_us: int) -> str:
        """Return the token of the pose of the stream that is nearest in time."""
        return self.token("ego_pose", round((offset_us - POSE_PHASE_US) / POSE_STEP_US))

    def add_ego_stream(self) -> None:
        """Add the stream of ego poses and of ego motion."""
        last_us = (self.keyframes - 1) * KEYFRAME_US + POSE_MARGIN_US
        steps = np.arange(-POSE_MARGIN_US // POSE_STEP_US, last_us // POSE_STEP_US + 1)
        offsets = steps * POSE_STEP_US + POSE_PHASE_US
        for step, offset_us in zip(steps.tolist(), offsets.tolist(), strict=True):
            self.tables["ego_pose"].append(self.ego_pose_row(self.token("ego_pose", step), offset_us))
        world_yaw = float(np.arctan2(self.setting.global_SE3_world[1, 0], self.setting.global_SE3_world[0, 0]))
        for table in ("ego_motion_chassis", "ego_motion_cabin"):
            tokens = [self.token(table, step) for step in steps.tolist()]
            moved = motion_rows(tokens, self.start_us + offsets, offsets / 1e6, self.plan.ego, world_yaw)
            self.tables[table] = moved

    def record_sweep(self, lidar: RollingLidar, number: int) -> Scan:
        """Write a LiDAR's sweep, counted from its first, and its truth; return it."""
        per_keyframe = KEYFRAME_US // TURN_US
        end_us = number * TURN_US + lidar.phase_us
        seen = scan(self.world, lidar, self.plan.ego, end_us, stable_rng(self.key, lidar.channel, end_us))
        keyframe, is_keyframe = -(-number // per_keyframe), number % per_keyframe == 0
        path = self.add_data(lidar.channel, end_us, keyframe, is_keyframe, ".pcd", (0, 0))
        write_pcd(path, seen, self.start_us)
        self.write_truth(path, ".pcd", seen.truth)
        return seen

    def annotate_scans(self, keyframe: int, scans: list[Scan], visible_share: np.ndarray) -> None:
        """Annotate a keyframe with these scans; visible_share (things,) of each thing's pixels.

        Each point counts where the thing was at the point's own time.
        """
        world_xyz_m = np.concatenate([seen.world_xyz_m for seen in scans])
        time_s = np.concatenate([seen.offset_us for seen in scans]) / 1e6
        span_s = np.linspace(time_s.min(), time_s.max(), 3)

        def count(index: int, _: Box) -> int:
            return points_on(self.plan.things[index], world_xyz_m, time_s, span_s)

        self.annotate(keyframe, count, visible_share)

    def add_weather(self) -> str:
        """Add the weather of the scene, which is fine; return its token."""
        rng, token = stable_rng(self.key, "weather"), self.token("weather")
        row = {"token": token, "precipitation": 0.0, "temperature": float(rng.uniform(285, 300))}
        wind = {"wind_speed": float(rng.uniform(0.5, 5)), "wind_direction": float(rng.uniform(0, 360))}
        self.tables["weather_annotation"] = [row | wind]
        return token


def write_pcd(path: Path, seen: Scan, start_us: int) -> None:
    """Write a scan of the scene that starts at start_us as compressed PCD with x, y, z, intensity, timestamp."""
    stamps = (start_us + seen.offset_us).astype(np.uint64)
    names = ("x", "y", "z", "intensity", "timestamp")
    columns = [*(np.ascontiguousarray(seen.xyz_m[:, axis]) for axis in range(3)), seen.intensity, stamps]
    PointCloud.from_points(columns, names, (*(np.float32,) * 4, np.uint64)).save(path, Encoding.BINARY_COMPRESSED)


def points_on(thing: Thing, world_xyz_m: np.ndarray, time_s: np.ndarray, span_s: np.ndarray) -> int:
    """Return how many points lie in the thing's box, each at its own time.

    Args: world_xyz_m (N, 3) points in world frame; time_s (N,) their times after the scene's start; span_s (3,) the
    first, middle and last of these.
    """
    path = thing.motion.pose_at(span_s)[:, :2]
    half = thing.size_lwh_m / 2
    reach = np.linalg.norm(half) + np.linalg.norm(path - path[1], axis=1).max()
    near = np.flatnonzero((abs(world_xyz_m[:, :2] - path[1]) < reach).all(axis=1))
    pose, points = thing.motion.pose_at(time_s[near]), world_xyz_m[near]
    x, y = (points[:, :2] - pose[:, :2]).T
    cos, sin = np.cos(pose[:, 2]), np.sin(pose[:, 2])
    local = np.stack([cos * x + sin * y, cos * y - sin * x, points[:, 2] - thing.box_z_m], -1)
    return int((abs(local) <= half).all(axis=1).sum())


def record_scene(job: SceneJob) -> SceneRecord:
    """Plan and record one scene below job.root and return its rows."""
    plan = plan_scene(job.name, job.kind, job.duration_s, job.seed, TRUCK_BODY, fill_truck_stage)
    recorder = TruckRecorder(job, plan)
    recorder.add_calibration({lidar.channel: lidar.ego_SE3_lidar for lidar in LIDARS})
    recorder.add_ego_stream()
    at_keyframe: dict[int, list[Scan]] = defaultdict(list)
    per_keyframe = KEYFRAME_US // TURN_US
    for number in range((recorder.keyframes - 1) * per_keyframe + 1):
        for lidar in LIDARS:
            seen = recorder.record_sweep(lidar, number)
            if number % per_keyframe == 0:
                at_keyframe[number // per_keyframe].append(seen)
    for keyframe, scans in at_keyframe.items():
        recorder.annotate_scans(keyframe, scans, recorder.record_images(keyframe))
    weather = recorder.add_weather()
    record = recorder.finish(DESCRIPTION, "")
    record.tables["scene"][0]["weather_annotation_token"] = weather
    return record


TRUCK = Rig(
    dataset="citytruck",
    official_scenes=create_splits_scenes,
    scenes={"mini_train": 4, "mini_val": 2},
    kinds=KINDS,
    duration_s=2.5,
    image_size_px=(960, 600),
    record_scene=record_scene,
    tables=SharedTables("v1.2-mini", TABLES, shared_tables),
)
