"""The tables of the MAN TruckScenes schema that belong to no scene, and the ego motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from blendclip.synthetic.city.motion import Motion
from blendclip.synthetic.city.tables import Row, Tables, attribute_rows, category_row, sensor_rows
from blendclip.synthetic.city.truck_sensors import CAMERAS, LIDARS
from blendclip.synthetic.meshes.catalog import TRUCK_CATEGORY_SHAPES

TABLES = (
    *("attribute", "calibrated_sensor", "category", "ego_motion_cabin", "ego_motion_chassis", "ego_pose", "instance"),
    *("sample", "sample_annotation", "sample_data", "scene", "sensor", "visibility", "weather_annotation"),
)
ATTRIBUTES = (
    *("vehicle.moving", "vehicle.parked", "vehicle.stopped", "cycle.with_rider", "cycle.without_rider"),
    *("pedestrian.moving", "pedestrian.sitting_lying_down", "pedestrian.standing"),
    *("traffic_sign.pole_mounted", "traffic_sign.overhanging", "traffic_sign.temporary"),
)
VISIBILITY = ("0-40", "40-60", "60-80", "80-100")
STEP_S = 1e-3


def shared_tables(root: Path, tables: Tables) -> Tables:
    """Return the tables that belong to no scene."""
    categories = enumerate(sorted(TRUCK_CATEGORY_SHAPES.items()))
    return {
        "attribute": attribute_rows(ATTRIBUTES),
        "category": [category_row(name, shapes) | {"index": index} for index, (name, shapes) in categories],
        "sensor": sensor_rows([lidar.channel for lidar in LIDARS], [camera.channel for camera in CAMERAS]),
        "visibility": [
            {"token": str(level), "level": level, "description": f"{share} % of the object is visible in the images"}
            for level, share in enumerate(VISIBILITY, 1)
        ],
    }


def motion_rows(tokens: list[str], timestamp_us: np.ndarray, time_s: np.ndarray, ego: Motion, yaw0: float) -> list[Row]:
    """Return rows of ego motion (chassis or cabin, which is rigid here) in ego frame.

    Args: timestamp_us (N,) of the rows, time_s (N,) seconds after the scene's start; yaw0 of the world in global frame.
    """
    before, now, after = (ego.pose_at(time_s + shift) for shift in (-STEP_S, 0.0, STEP_S))
    yaw = now[:, 2]
    velocity = (after - before) / (2 * STEP_S)
    acceleration = (after - 2 * now + before) / STEP_S**2
    cos, sin = np.cos(yaw), np.sin(yaw)
    forward, left = np.stack([cos, sin], -1), np.stack([-sin, cos], -1)
    columns = {
        "vx": np.einsum("ij,ij->i", velocity[:, :2], forward),
        "vy": np.einsum("ij,ij->i", velocity[:, :2], left),
        "ax": np.einsum("ij,ij->i", acceleration[:, :2], forward),
        "ay": np.einsum("ij,ij->i", acceleration[:, :2], left),
        "yaw": (yaw + yaw0 + np.pi) % (2 * np.pi) - np.pi,
        "yaw_rate": velocity[:, 2],
    }
    zeros = dict.fromkeys(("vz", "az", "pitch", "roll", "pitch_rate", "roll_rate"), 0.0)
    return [
        {"token": token, "timestamp": int(stamp), **zeros, **{name: float(v[i]) for name, v in columns.items()}}
        for i, (token, stamp) in enumerate(zip(tokens, timestamp_us, strict=True))
    ]
