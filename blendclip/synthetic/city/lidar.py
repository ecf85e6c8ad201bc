"""One LiDAR sweep: rays, range noise, lost returns."""

from __future__ import annotations

import numpy as np

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
