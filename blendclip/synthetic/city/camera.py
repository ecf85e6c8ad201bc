"""One camera image: rays, shadows, colours, and how much of each thing it shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from blendclip.synthetic.city.raycasting import World
from blendclip.synthetic.city.sensors import Camera, rays_in_world
from blendclip.synthetic.city.shading import rays_to_sun, shade, soften_edges

COUNT_STEP_PX = 6
"""Pixels are counted for visibility on every sixth row and column."""


@dataclass(frozen=True)
class CameraImage:
    """An image and, for each thing of the plan, its pixel counts on the coarse grid."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB."""
    visible: np.ndarray
    """(things,) pixels that show the thing."""
    alone: np.ndarray
    """(things,) pixels that would show it if nothing hid it."""


@lru_cache(maxsize=16)
def _directions(camera: Camera, width_px: int, height_px: int) -> np.ndarray:
    return camera.directions(width_px, height_px)


def render_image(
    world: World, camera: Camera, world_SE3_ego: np.ndarray, size_px: tuple[int, int], sun: np.ndarray, sunlight: float
) -> CameraImage:
    """Return what the camera sees of the world as it stands.

    Args: world_SE3_ego (4, 4); size_px (width, height); sun (3,) unit vector to the sun in world frame; sunlight 0..1.
    """
    width, height = size_px
    rays = rays_in_world(world_SE3_ego @ camera.ego_SE3_camera, _directions(camera, width, height))
    hits = world.cast(rays)
    to_sun, index = rays_to_sun(rays, hits.distance_m, hits.normal, sun)
    lit = np.zeros(len(rays), bool)
    lit[index] = ~world.is_blocked(to_sun)
    pixels = shade(rays, hits.distance_m, hits.surface, hits.normal, hits.face, hits.face_colors, lit, sun, sunlight)
    coarse = (slice(COUNT_STEP_PX // 2, None, COUNT_STEP_PX),) * 2
    seen = hits.thing.reshape(height, width)[coarse]
    alone = world.pixels_alone(np.ascontiguousarray(rays.reshape(height, width, 6)[coarse].reshape(-1, 6)))
    visible = np.bincount(seen[seen >= 0], minlength=len(alone))
    return CameraImage(soften_edges(pixels.reshape(height, width, 3)), visible, alone)
