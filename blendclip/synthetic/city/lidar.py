"""One LiDAR sweep: rays, range noise, lost returns."""

from __future__ import annotations

import numpy as np

from blendclip.synthetic.city.motion import Motion
from blendclip.synthetic.city.raycasting import RayHits, World
from blendclip.synthetic.city.sensors import lidar_directions, rays_in_world

MAX_RANGE_M = 80.0
RANGE_NOISE_M = 0.02


def sweep(world: World, world_SE3_lidar: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return points (N, 5) float32 and truth (N,) uint16 of the world as it stands.

    Args: world_SE3_lidar (4, 4).

    Points are x, y, z in LiDAR frame in metres, intensity 0..255 and ring; truth is 0 for background and
    i + 1 for thing i of the plan.
    """
    directions, ring = lidar_directions()
    rays = rays_in_world(world_SE3_lidar, directions)
    hits = world.cast(rays)
    kept, measured_m, intensity = measure(hits, rays[:, 3:], rng, MAX_RANGE_M)
    points = np.empty((len(rays), 5), np.float32)
    points[:, :3] = directions * measured_m[:, None]
    points[:, 3] = intensity
    points[:, 4] = ring
    return points[kept], (hits.thing[kept] + 1).astype(np.uint16)


def fan(azimuth_rad: np.ndarray, rows: int, low_deg: float, high_deg: float) -> np.ndarray:
    """Return unit rays (columns, rows, 3) in a LiDAR's frame, x ahead and z up, a column for each azimuth (columns,).

    Rows are densest at the horizon, where things are far away and small.
    """
    share = np.linspace(-1, 1, rows)
    elevation = np.deg2rad(np.where(share < 0, -low_deg, high_deg) * np.sign(share) * abs(share) ** 1.5)
    azimuth, elevation = np.meshgrid(azimuth_rad, elevation, indexing="ij")
    flat = np.cos(elevation)
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], -1)


def rolling_rays(rays: np.ndarray, ego: Motion, column_s: np.ndarray, ego_SE3_lidar: np.ndarray) -> np.ndarray:
    """Return rays (columns * rows, 6) float64 in world frame that a moving vehicle sends column by column.

    Args: rays (columns, rows, 3) in LiDAR frame; column_s (columns,) when each column fires, seconds after the scene's
    start; ego_SE3_lidar (4, 4).
    """
    columns, rows, _ = rays.shape
    pose = ego.pose_at(column_s)
    world_R_ego = np.zeros((columns, 3, 3))
    cos, sin = np.cos(pose[:, 2]), np.sin(pose[:, 2])
    world_R_ego[:, 0, 0], world_R_ego[:, 0, 1] = cos, -sin
    world_R_ego[:, 1, 0], world_R_ego[:, 1, 1] = sin, cos
    world_R_ego[:, 2, 2] = 1
    origin = world_R_ego @ ego_SE3_lidar[:3, 3]
    origin[:, :2] += pose[:, :2]
    cast = np.empty((columns * rows, 6))
    cast[:, :3] = np.repeat(origin, rows, axis=0)
    cast[:, 3:] = np.einsum("cij,crj->cri", world_R_ego @ ego_SE3_lidar[:3, :3], rays).reshape(-1, 3)
    return cast


def measure(
    hits: RayHits, directions: np.ndarray, rng: np.random.Generator, max_range_m: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which rays come back (N,), their noisy range (N,) in metres and intensity (N,) 0..255.

    Args: directions (N, 3) unit rays in world frame.
    """
    noise = rng.normal(0.0, RANGE_NOISE_M, len(directions))
    lottery, speckle = rng.random(len(directions)), rng.normal(1.0, 0.08, len(directions))
    with np.errstate(invalid="ignore"):
        cosine = np.abs(np.einsum("ij,ij->i", hits.normal, directions))
        # Dark, far and grazing surfaces send back little; the faintest returns are lost.
        strength = hits.face_reflectivity[hits.face] * (0.35 + 0.65 * cosine)
        kept = hits.distance_m < max_range_m * np.clip(0.45 + 1.2 * strength, 0, 1)
        kept &= lottery > 0.02 + 0.10 * (hits.distance_m / max_range_m) ** 2
    measured_m = np.where(kept, hits.distance_m, 0) + noise
    return kept, measured_m, np.round(np.clip(255 * strength * speckle, 0, 255))
