"""The vehicle's sensors: names, mounting, lenses, and the rays they send."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

LIDAR = "LIDAR_TOP"
KEYFRAME_US = 500_000
SWEEP_US = 50_000
AZIMUTHS = 1090
ELEVATIONS_RAD = np.deg2rad(np.linspace(-30.67, 10.67, 32))
LIDAR_XYZ_M = (0.94, 0.0, 1.84)


@dataclass(frozen=True)
class Camera:
    """One camera of the vehicle; its frame is x right, y down, z forward."""

    channel: str
    """Name of the channel."""
    xyz_m: tuple[float, float, float]
    """Mounting in ego frame."""
    yaw_deg: float
    """Where it looks in ego frame, to the left."""
    focal_px: float
    """At 1600 pixels of image width."""
    delay_us: int
    """When it fires, relative to the LiDAR keyframe."""

    @property
    def ego_SE3_camera(self) -> np.ndarray:
        """(4, 4) pose of the camera in ego frame."""
        pose = np.eye(4)
        forward = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float)
        pose[:3, :3] = Rotation.from_euler("z", self.yaw_deg, degrees=True).as_matrix() @ forward
        pose[:3, 3] = self.xyz_m
        return pose

    def intrinsic(self, width_px: int, height_px: int) -> np.ndarray:
        """Return the (3, 3) camera matrix in pixels for an image of this size."""
        focal = self.focal_px * width_px / 1600
        return np.array([[focal, 0, width_px / 2], [0, focal, height_px * 491 / 900], [0, 0, 1]])

    def directions(self, width_px: int, height_px: int) -> np.ndarray:
        """Return (H, W, 3) float32 unit rays in camera frame through the middles of the pixels."""
        matrix = self.intrinsic(width_px, height_px)
        u, v = np.meshgrid(np.arange(width_px) + 0.5, np.arange(height_px) + 0.5)
        rays = np.stack([(u - matrix[0, 2]) / matrix[0, 0], (v - matrix[1, 2]) / matrix[1, 1], np.ones_like(u)], -1)
        return (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).astype(np.float32)


CAMERAS = (
    Camera("CAM_FRONT", (1.70, 0.02, 1.51), 0.0, 1266.0, -35_400),
    Camera("CAM_FRONT_RIGHT", (1.55, -0.49, 1.50), -56.0, 1266.0, -27_600),
    Camera("CAM_BACK_RIGHT", (1.04, -0.48, 1.56), -110.0, 1266.0, -19_800),
    Camera("CAM_BACK", (0.05, 0.0, 1.57), 180.0, 809.0, -10_300),
    Camera("CAM_BACK_LEFT", (1.05, 0.48, 1.56), 110.0, 1266.0, -2_100),
    Camera("CAM_FRONT_LEFT", (1.57, 0.50, 1.51), 56.0, 1266.0, 4_700),
)


def ego_SE3_lidar() -> np.ndarray:
    """Return the (4, 4) pose of the LiDAR in ego frame.

    LiDAR frame: x right, y forward, z up.
    """
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("z", -90, degrees=True).as_matrix()
    pose[:3, 3] = LIDAR_XYZ_M
    return pose


def lidar_directions() -> tuple[np.ndarray, np.ndarray]:
    """Return unit rays (azimuths * 32, 3) float32 in LiDAR frame, and the ring of each."""
    azimuth = np.linspace(0, -2 * np.pi, AZIMUTHS, endpoint=False)
    azimuth, elevation = np.meshgrid(azimuth, ELEVATIONS_RAD, indexing="ij")
    rays = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], -1)
    ring = np.broadcast_to(np.arange(len(ELEVATIONS_RAD)), azimuth.shape)
    return rays.reshape(-1, 3).astype(np.float32), ring.reshape(-1)


def rays_in_world(world_SE3_sensor: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return (N, 6) float32 rays in world frame from directions (..., 3) in sensor frame."""
    rays = np.empty((directions.size // 3, 6), np.float32)
    rays[:, :3] = world_SE3_sensor[:3, 3]
    np.matmul(directions.reshape(-1, 3), world_SE3_sensor[:3, :3].T.astype(np.float32), out=rays[:, 3:])
    return rays
