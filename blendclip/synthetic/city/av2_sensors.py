"""The sensors of Argoverse 2's car: two LiDARs, one above the other, and nine cameras whose lenses bend lines.

Ego frame: in the middle of the rear axle, x forward, y left, z up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from blendclip.synthetic.city.lidar import fan, measure, rolling_rays
from blendclip.synthetic.city.motion import Motion, planar_SE3
from blendclip.synthetic.city.raycasting import World
from blendclip.synthetic.city.sensors import Camera

AXLE_M = 0.33
"""Height of the ego frame above the ground."""
TURN_NS = 100_000_000
"""A LiDAR turns once in this time."""
COLUMNS = 720
BEAMS = 32
MAX_RANGE_M = 120.0


@dataclass(frozen=True)
class StackedLidar:
    """A LiDAR that turns clockwise, all beams of a column firing at once."""

    name: str
    """Name of the sensor."""
    xyz_m: tuple[float, float, float]
    """Mounting in ego frame."""
    upside_down: bool
    """Whether its own z looks down."""
    first_laser: int
    """Number of its lowest beam in a sweep."""
    begins_deg: float
    """Where it looks when its turn begins, to the left of ahead."""
    late_ns: int
    """How long after the sweep's timestamp that is."""
    low_deg: float
    """Elevation of the lowest beam."""
    high_deg: float
    """Elevation of the highest beam."""

    @property
    def ego_SE3_lidar(self) -> np.ndarray:
        """(4, 4) pose of the LiDAR in ego frame."""
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("x", 180.0 if self.upside_down else 0.0, degrees=True).as_matrix()
        pose[:3, 3] = self.xyz_m
        return pose

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (columns, beams, 3) unit rays in ego frame, and when each column fires (columns,) int64.

        Times are nanoseconds after the sweep's timestamp.
        """
        azimuth = np.deg2rad(self.begins_deg - 360 / COLUMNS * np.arange(COLUMNS))
        column_ns = self.late_ns + np.round(np.arange(COLUMNS) * TURN_NS / COLUMNS).astype(np.int64)
        return fan(azimuth, BEAMS, self.low_deg, self.high_deg), column_ns


@dataclass(frozen=True)
class StackedSweep:
    """The points of one turn of all LiDARs, by time."""

    xyz_m: np.ndarray
    """(N, 3) float16 in ego frame as it stood at the sweep's timestamp."""
    intensity: np.ndarray
    """(N,) uint8."""
    laser_number: np.ndarray
    """(N,) uint8 beam, counted through all LiDARs."""
    offset_ns: np.ndarray
    """(N,) int32 time of each point after the sweep's timestamp."""
    truth: np.ndarray
    """(N,) uint16: 0 for background, i + 1 for thing i of the plan."""


def world_SE3_axle(ego: Motion, time_s: float) -> np.ndarray:
    """Return the (4, 4) pose of the ego frame in world frame, time_s seconds after the scene's start."""
    return planar_SE3(ego.pose_at(time_s), AXLE_M)


def stacked_sweep(world: World, ego: Motion, start_ns: int, rng: np.random.Generator) -> StackedSweep:
    """Return what the LiDARs of a moving car see during the turn that starts start_ns after the scene's start."""
    axle_SE3_world = np.linalg.inv(world_SE3_axle(ego, start_ns / 1e9))
    turns = [_turn(world, lidar, ego, start_ns, rng) for lidar in LIDARS]
    world_xyz_m, intensity, laser_number, offset_ns, truth = (np.concatenate(part) for part in zip(*turns, strict=True))
    order = np.argsort(offset_ns, kind="stable")
    xyz_m = world_xyz_m @ axle_SE3_world[:3, :3].T + axle_SE3_world[:3, 3]
    return StackedSweep(
        xyz_m[order].astype(np.float16),
        intensity[order].astype(np.uint8),
        laser_number[order].astype(np.uint8),
        offset_ns[order].astype(np.int32),
        truth[order].astype(np.uint16),
    )


def _turn(
    world: World, lidar: StackedLidar, ego: Motion, start_ns: int, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Return points (N, 3) in world frame, intensity, beams, nanoseconds after start_ns, and truth of one LiDAR."""
    rays, column_ns = lidar.columns()
    column_s = (start_ns + column_ns) / 1e9
    ground_SE3_lidar = np.eye(4)
    ground_SE3_lidar[:3, 3] = np.add(lidar.xyz_m, (0, 0, AXLE_M))
    cast = rolling_rays(rays, ego, column_s, ground_SE3_lidar)
    hits = world.cast_rolling(cast, np.repeat(column_s, BEAMS))
    kept, measured_m, intensity = measure(hits, cast[:, 3:], rng, MAX_RANGE_M)
    world_xyz_m = cast[kept, :3] + cast[kept, 3:] * measured_m[kept, None]
    laser_number = np.tile(lidar.first_laser + np.arange(BEAMS), COLUMNS)
    return world_xyz_m, intensity[kept], laser_number[kept], np.repeat(column_ns, BEAMS)[kept], hits.thing[kept] + 1


@dataclass(frozen=True)
class LensCamera(Camera):
    """A camera whose images are bent by its lens: r becomes r (1 + k1 r² + k2 r⁴ + k3 r⁶), r in focal lengths."""

    k: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """k1, k2, k3."""
    center: tuple[float, float] = (0.5, 0.5)
    """Where the lens looks straight ahead, in widths and heights of the image."""
    portrait: bool = False
    """Whether it is mounted on its side: width and height of its images change places."""
    gray: bool = False
    """Whether its images have no colour."""

    def intrinsic(self, width_px: int, height_px: int) -> np.ndarray:
        """Return the (3, 3) camera matrix in pixels for an image of this size."""
        focal = self.focal_px * width_px / 1600
        return np.array([[focal, 0, self.center[0] * width_px], [0, focal, self.center[1] * height_px], [0, 0, 1]])

    def directions(self, width_px: int, height_px: int) -> np.ndarray:
        """Return (H, W, 3) float32 unit rays in camera frame that the lens bends to the middles of the pixels."""
        matrix = self.intrinsic(width_px, height_px)
        u, v = np.meshgrid(np.arange(width_px) + 0.5, np.arange(height_px) + 0.5)
        x, y = (u - matrix[0, 2]) / matrix[0, 0], (v - matrix[1, 2]) / matrix[1, 1]
        bent = np.hypot(x, y)
        scale = np.divide(self._straight(bent), bent, out=np.ones_like(bent), where=bent > 0)
        rays = np.stack([x * scale, y * scale, np.ones_like(x)], -1)
        return (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).astype(np.float32)

    def _straight(self, bent: np.ndarray) -> np.ndarray:
        """Return the radii that the lens bends to these, both in focal lengths, by Newton's method."""
        k1, k2, k3 = self.k
        radius = bent.copy()
        for _ in range(STEPS):
            square = radius**2
            excess = radius * (1 + square * (k1 + square * (k2 + square * k3))) - bent
            radius -= excess / (1 + square * (3 * k1 + square * (5 * k2 + square * 7 * k3)))
        return radius


STEPS = 12
"""Of Newton's method; radii up to 1 settle to the last bit in seven."""

LIDARS = (
    StackedLidar("up_lidar", (1.35, 0.0, 1.64), False, 0, 180.0, 0, -25.0, 15.0),
    StackedLidar("down_lidar", (1.35, 0.0, 1.53), True, BEAMS, 0.0, 3_300_217, -15.0, 25.0),
)

_LEFT, _CENTER, _RIGHT = (-0.282, -0.031, 0.099), (-0.241, -0.212, 0.326), (-0.276, -0.054, 0.119)
CAMERAS = (
    LensCamera("ring_front_center", (1.64, 0.0, 1.40), 0.0, 1833.0, 0, _CENTER, (0.502, 0.495), portrait=True),
    LensCamera("ring_front_left", (1.55, 0.20, 1.39), 45.0, 1318.0, 37_500, _LEFT, (0.504, 0.496)),
    LensCamera("ring_front_right", (1.55, -0.20, 1.40), -45.0, 1317.0, 12_500, _RIGHT, (0.502, 0.494)),
    LensCamera("ring_rear_left", (1.09, 0.13, 1.42), 153.0, 1316.0, 7_500, _LEFT, (0.502, 0.494)),
    LensCamera("ring_rear_right", (1.10, -0.13, 1.42), -153.0, 1320.0, 42_500, _RIGHT, (0.501, 0.497)),
    LensCamera("ring_side_left", (1.31, 0.28, 1.41), 99.0, 1319.0, 22_500, _LEFT, (0.502, 0.494)),
    LensCamera("ring_side_right", (1.31, -0.28, 1.40), -99.0, 1318.0, 27_500, _RIGHT, (0.502, 0.493)),
    LensCamera("stereo_front_left", (1.63, 0.25, 1.19), 0.0, 1320.0, 0, _LEFT, (0.500, 0.493), gray=True),
    LensCamera("stereo_front_right", (1.63, -0.25, 1.19), 0.0, 1321.0, 0, _RIGHT, (0.500, 0.495), gray=True),
)
"""Each fires when a LiDAR looks its way; the front ones when a sweep begins, as the lower LiDAR looks ahead then."""
