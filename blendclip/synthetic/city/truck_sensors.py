"""The truck's sensors: six LiDARs that turn ten times a second, each in its own phase, and four cameras.

Ego frame: on the ground under the rear axle, x forward, y left, z up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from blendclip.synthetic.city.lidar import fan, measure, rolling_rays
from blendclip.synthetic.city.motion import Motion
from blendclip.synthetic.city.raycasting import World
from blendclip.synthetic.city.sensors import Camera

TURN_US = 100_000
"""A LiDAR turns once in this time."""
MAX_RANGE_M = 200.0


@dataclass(frozen=True)
class RollingLidar:
    """A LiDAR that sends its rays column by column, clockwise, through the part of its turn that looks outwards."""

    channel: str
    """Name of the channel."""
    xyz_m: tuple[float, float, float]
    """Mounting in ego frame."""
    yaw_deg: float
    """Where the middle of the scan looks in ego frame, to the left."""
    down_deg: float
    """How far the sensor leans towards that side."""
    phase_us: int
    """When its keyframe scan ends, relative to the sample."""
    sector_deg: float
    """Part of the turn that is scanned."""
    step_deg: float
    """Between columns."""
    rows: int
    """Rays in a column."""
    low_deg: float
    """Elevation of the lowest ray."""
    high_deg: float
    """Elevation of the highest ray."""

    @property
    def ego_SE3_lidar(self) -> np.ndarray:
        """(4, 4) pose of the LiDAR in ego frame.

        LiDAR frame: x to the middle of the scan, y left, z up.
        """
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("ZY", [self.yaw_deg, self.down_deg], degrees=True).as_matrix()
        pose[:3, 3] = self.xyz_m
        return pose

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (columns, rows, 3) unit rays in LiDAR frame, and when each column fires (columns,) int64.

        Times are microseconds relative to the last column, which ends the scan: the last is 0, the others negative.
        """
        count = round(self.sector_deg / self.step_deg)
        azimuth = np.deg2rad(self.sector_deg / 2 - self.step_deg * np.arange(count))
        rays = fan(azimuth, self.rows, self.low_deg, self.high_deg)
        return rays, np.round((np.arange(count) - (count - 1)) * TURN_US * self.step_deg / 360).astype(np.int64)


@dataclass(frozen=True)
class Scan:
    """The points of one sweep."""

    xyz_m: np.ndarray
    """(N, 3) float32 in LiDAR frame as it stood at each point's own time."""
    intensity: np.ndarray
    """(N,) float32, 0..255."""
    offset_us: np.ndarray
    """(N,) int64 time of each point, microseconds after the scene's start."""
    truth: np.ndarray
    """(N,) uint16: 0 for background, i + 1 for thing i of the plan."""
    world_xyz_m: np.ndarray
    """(N, 3) float64, the same points in world frame."""


def scan(world: World, lidar: RollingLidar, ego: Motion, end_us: int, rng: np.random.Generator) -> Scan:
    """Return what the LiDAR of a moving truck sees during the turn that ends end_us after the scene's start."""
    rays, column_us = lidar.columns()
    offset_us = np.repeat(end_us + column_us, lidar.rows)
    cast = rolling_rays(rays, ego, (end_us + column_us) / 1e6, lidar.ego_SE3_lidar)
    hits = world.cast_rolling(cast, offset_us / 1e6)
    kept, measured_m, intensity = measure(hits, cast[:, 3:], rng, MAX_RANGE_M)
    measured_m = measured_m[kept, None]
    return Scan(
        (rays.reshape(-1, 3)[kept] * measured_m).astype(np.float32),
        intensity[kept].astype(np.float32),
        offset_us[kept],
        (hits.thing[kept] + 1).astype(np.uint16),
        cast[kept, :3] + cast[kept, 3:] * measured_m,
    )


LIDARS = (
    RollingLidar("LIDAR_LEFT", (4.7, 1.45, 2.3), 60.0, 0.0, 0, 250.0, 0.5, 24, -28.0, 12.0),
    RollingLidar("LIDAR_RIGHT", (4.7, -1.45, 2.3), -60.0, 0.0, 13_000, 250.0, 0.5, 24, -28.0, 12.0),
    RollingLidar("LIDAR_TOP_FRONT", (4.9, 0.0, 3.8), 0.0, 8.0, -21_000, 150.0, 0.4, 30, -25.0, 14.0),
    RollingLidar("LIDAR_TOP_LEFT", (4.2, 1.15, 3.85), 90.0, 22.0, 34_000, 150.0, 0.5, 20, -30.0, 24.0),
    RollingLidar("LIDAR_TOP_RIGHT", (4.2, -1.15, 3.85), -90.0, 22.0, -8_000, 150.0, 0.5, 20, -30.0, 24.0),
    RollingLidar("LIDAR_REAR", (-0.95, 0.0, 0.75), 180.0, 0.0, 25_000, 160.0, 0.5, 16, -20.0, 5.0),
)

CAMERAS = (
    Camera("CAMERA_LEFT_FRONT", (4.8, 1.2, 2.7), 22.0, 1060.0, -17_300),
    Camera("CAMERA_RIGHT_FRONT", (4.8, -1.2, 2.7), -22.0, 1060.0, -9_100),
    Camera("CAMERA_LEFT_BACK", (4.5, 1.5, 2.5), 152.0, 1060.0, 6_400),
    Camera("CAMERA_RIGHT_BACK", (4.5, -1.5, 2.5), -152.0, 1060.0, 15_700),
)
