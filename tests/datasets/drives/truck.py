"""A tiny dataset in TruckScenes' format whose numbers can be worked out by hand.

A truck drives along the global x axis at 10 m/s, 1000 m from the origin at its scene's start, and its nose turns left
by 10 degrees a second. Ego poses come every 20 ms, 7 ms off the sensors. Two LiDARs and a camera ride on it; a car
ahead of it drives as fast, a pedestrian stands.
"""

from __future__ import annotations

import json

import numpy as np
import pypcd4
from pypcd4 import Encoding
from pyquaternion import Quaternion

START_US = 1_700_000_000_000_000
SPEED_MPS, TURN_DEGPS = 10.0, 10.0
KEYFRAMES, KEYFRAME_US, SWEEP_US, POSE_US, POSE_OFF_US = 3, 500_000, 100_000, 20_000, 7_000
SCENES = {  # names of the devkit's mini_train and mini_val
    "scene-3f542f89ec5241b6a4e30ca743adcf34-29": START_US,
    "scene-13f4b71b1bd04a9e88747ad8f58a3f67-4": START_US + 60_000_000,
}
LIDARS = {"LIDAR_LEFT": [5.0, 1.0, 2.0], "LIDAR_REAR": [-3.0, 0.0, 2.0]}
CAMERA = "CAMERA_LEFT_FRONT"
BOXES = {  # category: metres ahead of the truck's start, speed, size (width, length, height), LiDAR points
    "vehicle.car": (40.0, SPEED_MPS, [2.0, 4.5, 1.5], 12),
    "human.pedestrian.adult": (78.0, 0.0, [0.6, 0.6, 1.8], 5),  # beyond 75 m at the first keyframe only
    "movable_object.debris": (20.0, 0.0, [0.5, 0.5, 0.5], 3),
    "vehicle.truck": (60.0, 0.0, [2.5, 8.0, 3.0], 0),
}


def wxyz(degrees):
    return Quaternion(axis=[0, 0, 1], degrees=degrees).elements.tolist()


def x_m(seconds):
    """Where the truck is, `seconds` after its scene's start."""
    return 1000.0 + SPEED_MPS * seconds


class Truck:
    """The tables, to be damaged and written."""

    def __init__(self, root, version="v1.2-mini"):
        self.root, self.version = root, version
        names = "attribute calibrated_sensor category ego_motion_cabin ego_motion_chassis ego_pose instance sample"
        self.tables = {name: [] for name in f"{names} sample_annotation sample_data scene sensor visibility".split()}
        self.tables["weather_annotation"] = []
        self._sensors()
        levels = ["v0-40", "v40-60", "v60-80", "v80-100"]
        self.add("visibility", *({"token": str(number + 1), "level": level} for number, level in enumerate(levels)))
        self.add("attribute", {"token": "moving", "name": "vehicle.moving"})
        self.add("category", *({"token": name, "name": name} for name in BOXES))
        for name, start_us in SCENES.items():
            self._scene(name, start_us)

    def add(self, table, *rows):
        self.tables[table].extend(rows)

    def rows(self, table, **values):
        """The rows that have these values."""
        return [row for row in self.tables[table] if all(row[name] == value for name, value in values.items())]

    def _sensors(self):
        intrinsic = [[1000.0, 0, 960], [0, 1000, 540], [0, 0, 1]]
        for channel, place_m in (LIDARS | {CAMERA: [5.5, 0.5, 2.0]}).items():
            camera = channel == CAMERA
            self.add("sensor", {"token": channel, "channel": channel, "modality": "camera" if camera else "lidar"})
            mounting = {"translation": place_m, "rotation": wxyz(90), "camera_intrinsic": intrinsic if camera else []}
            self.add("calibrated_sensor", {"token": channel, "sensor_token": channel} | mounting)

    def _scene(self, name, start_us):
        ends = {"first_sample_token": f"{name}/0", "last_sample_token": f"{name}/{KEYFRAMES - 1}"}
        self.add("scene", {"token": name, "name": name, "description": "", "log_token": "", "nbr_samples": 3} | ends)
        for offset_us in range(POSE_OFF_US - 600_000, 1_700_000, POSE_US):
            self.add("ego_pose", self.pose(start_us, offset_us))
        for number in range(KEYFRAMES):
            links = {"prev": f"{name}/{number - 1}" if number else ""}
            links["next"] = f"{name}/{number + 1}" if number + 1 < KEYFRAMES else ""
            time_us = start_us + number * KEYFRAME_US
            self.add("sample", {"token": f"{name}/{number}", "timestamp": time_us, "scene_token": name} | links)
            self.reading(name, CAMERA, number, time_us + 30_000, True)
            for channel in LIDARS:
                for step in range(5):
                    sweep_us = time_us - step * SWEEP_US
                    self.reading(name, channel, number, sweep_us, step == 0)
        for category in BOXES:
            self._track(name, category)

    def pose(self, start_us, offset_us):
        time_us, seconds = start_us + offset_us, offset_us * 1e-6
        place = {"translation": [x_m(seconds), 0.0, 0.0], "rotation": wxyz(TURN_DEGPS * seconds)}
        return {"token": f"pose/{time_us}", "timestamp": time_us} | place

    def reading(self, scene, channel, keyframe, time_us, is_key_frame):
        kind, ending = ("samples" if is_key_frame else "sweeps"), "jpg" if channel == CAMERA else "pcd"
        poses = [row for row in self.tables["ego_pose"] if row["timestamp"] <= time_us]
        row = {
            "token": f"{scene}/{channel}/{time_us}",
            "sample_token": f"{scene}/{keyframe}",
            "ego_pose_token": poses[-1]["token"],  # near, as the devkit's users take it
            "calibrated_sensor_token": channel,
            "filename": f"{kind}/{channel}/{time_us}.{ending}",
            "fileformat": ending,
            "width": 1920,
            "height": 1080,
            "timestamp": time_us,
            "is_key_frame": is_key_frame,
        }
        self.add("sample_data", row | {"prev": "", "next": ""})

    def _track(self, scene, category):
        ahead_m, speed_mps, size, points = BOXES[category]
        token = f"{scene}/{category}"
        self.add("instance", {"token": token, "category_token": category, "nbr_annotations": KEYFRAMES})
        for number in range(KEYFRAMES):
            box = {"size": size, "rotation": wxyz(0), "visibility_token": "4" if number else ""}
            box["translation"] = [x_m(0) + ahead_m + speed_mps * number * 0.5, 3.0, size[2] / 2]
            links = {"prev": f"{token}/{number - 1}" if number else ""}
            links["next"] = f"{token}/{number + 1}" if number + 1 < KEYFRAMES else ""
            who = {"token": f"{token}/{number}", "sample_token": f"{scene}/{number}", "instance_token": token}
            known = {"num_lidar_pts": points, "num_radar_pts": 0}
            known["attribute_tokens"] = ["moving"] if category == "vehicle.car" else []
            self.add("sample_annotation", who | box | known | links)

    def write(self):
        """Write tables and sweeps, all points of which are of the sweep's time."""
        folder = self.root / self.version
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in self.tables.items():
            if name != "weather_annotation" or not self.version.startswith("v1.0"):
                (folder / f"{name}.json").write_text(json.dumps(rows))
        for row in self.rows("sample_data", fileformat="pcd"):
            path = self.root / row["filename"]
            path.parent.mkdir(parents=True, exist_ok=True)
            write_pcd(path, points_on_car(row), np.full(100, row["timestamp"]))
        return self.root


def points_on_car(data, count=100):
    """Points of a sweep along the car's left side, in the sensor's frame as it stands at the sweep's time."""
    scene, channel, time_us = data["token"].rsplit("/", 2)
    seconds = (int(time_us) - SCENES[scene]) * 1e-6
    ahead_m, speed_mps, _, _ = BOXES["vehicle.car"]
    along_m = np.linspace(-2, 2, count)
    xyz_global = np.stack([x_m(0) + ahead_m + speed_mps * seconds + along_m, np.full(count, 3.9), np.full(count, 0.7)])
    ego = Quaternion(axis=[0, 0, 1], degrees=TURN_DEGPS * seconds)
    xyz_ego = ego.inverse.rotation_matrix @ (xyz_global - np.array([[x_m(seconds)], [0], [0]]))
    sensor = Quaternion(wxyz(90)).inverse.rotation_matrix @ (xyz_ego - np.array(LIDARS[channel])[:, None])
    return sensor.T


def write_pcd(path, xyz, timestamp_us, time_type=np.uint64):
    """A PCD in TruckScenes' layout."""
    columns = [*np.asarray(xyz, np.float32).T, np.full(len(xyz), 9, np.float32), np.asarray(timestamp_us, time_type)]
    names, types = ("x", "y", "z", "intensity", "timestamp"), (np.float32,) * 4 + (time_type,)
    pypcd4.PointCloud.from_points(columns, names, types).save(path, encoding=Encoding.BINARY_COMPRESSED)
