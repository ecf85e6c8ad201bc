"""Views of a surface, by casting rays: no window, no GPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from blendclip.datasets.cad.objects import CadView
from blendclip.datasets.cad.surface import Surface
from blendclip.datasets.open3d import o3d

_FIELD_OF_VIEW = 0.55  # width over distance, at the distance at which the bounding sphere just fits
_FILL = 0.9  # share of the image that the object fills along its longer side
_EDGE = 7.0  # between pixels whose grey differs by more there is an edge
_BACKGROUND = 242.0
_ELEVATIONS_RAD = np.radians([22.0, 8.0, 38.0])  # in turn
_FIRST_AZIMUTH_RAD = np.radians(38.0)
_JITTER_RAD = np.radians(8.0)


@dataclass(frozen=True)
class _Camera:
    """A camera in box frame; center and scale of its image are those at which the object just fits."""

    position_m: NDArray[np.float64]
    """(3,)"""
    box_R_camera: NDArray[np.float64]
    """(3, 3) columns right, down, ahead."""
    center: NDArray[np.float64]
    """(2,) of the image, on the plane at depth 1."""
    half: float
    """Half the image's side, on the plane at depth 1."""


def render_views(
    surface: Surface, count: int, size_px: int, jpeg_quality: int, rng: np.random.Generator
) -> list[CadView]:
    """`count` square views of a surface in box frame, from all around, the first from ahead.

    Elevations alternate, and `rng` turns each camera a little.

    Args:
        size_px: width and height of a view. jpeg_quality: 1 to 100.
    """
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    triangles = np.arange(3 * len(surface.corners), dtype=np.uint32).reshape(-1, 3)
    vertices = surface.corners.reshape(-1, 3)
    scene.add_triangles(*map(o3d.core.Tensor.from_numpy, (vertices.astype(np.float32), triangles)))
    views = []
    for number in range(count):
        azimuth, elevation = rng.uniform(-_JITTER_RAD, _JITTER_RAD, 2)
        azimuth += _FIRST_AZIMUTH_RAD + 2 * np.pi * number / count
        elevation += _ELEVATIONS_RAD[number % len(_ELEVATIONS_RAD)]
        camera = _camera(vertices, azimuth, elevation)
        image = _render(surface, scene, camera, size_px)
        jpeg = simplejpeg.encode_jpeg(image, jpeg_quality, "RGB", "444")
        distance_m = float(np.linalg.norm(camera.position_m))
        turned = float((azimuth + np.pi) % (2 * np.pi) - np.pi)
        views.append(CadView(f"view_{number:02d}", jpeg, (size_px, size_px), turned, distance_m))
    return views


def _camera(vertices_m: NDArray[np.float64], azimuth_rad: float, elevation_rad: float) -> _Camera:
    """A camera that looks at the origin from a direction and fits the vertices (V, 3)."""
    cos, sin = np.cos(elevation_rad), np.sin(elevation_rad)
    towards = np.array([cos * np.cos(azimuth_rad), cos * np.sin(azimuth_rad), sin])
    radius_m = np.linalg.norm(vertices_m, axis=1).max()
    right = np.array([-np.sin(azimuth_rad), np.cos(azimuth_rad), 0.0])
    down = np.cross(-towards, right)
    box_R_camera = np.column_stack([right, down, -towards])
    position_m = towards * 2 * radius_m / _FIELD_OF_VIEW
    seen = (vertices_m - position_m) @ box_R_camera
    plane = seen[:, :2] / seen[:, 2:]
    low, high = plane.min(axis=0), plane.max(axis=0)
    return _Camera(position_m, box_R_camera, (low + high) / 2, float((high - low).max() / 2 / _FILL))


def _render(
    surface: Surface, scene: o3d.t.geometry.RaycastingScene, camera: _Camera, size_px: int
) -> NDArray[np.uint8]:
    """The (S, S, 3) image that a camera takes: light from the camera and from above its left, plain background.

    Pixels on an edge get the mean of four rays, all others one.
    """
    row, column = np.divmod(np.arange(size_px * size_px), size_px)
    image = _seen(surface, scene, camera, (column + 0.5) / size_px, (row + 0.5) / size_px)
    gray = (image @ np.full(3, 1 / 3, np.float32)).reshape(size_px, size_px)
    edges = np.zeros((size_px, size_px), bool)
    for axis in (0, 1):
        step = np.abs(np.diff(gray, axis=axis)) > _EDGE
        edges |= np.pad(step, [(0, axis == 0), (0, axis == 1)]) | np.pad(step, [(axis == 0, 0), (axis == 1, 0)])
    chosen = np.flatnonzero(edges)
    offsets = np.stack(np.meshgrid([0.25, 0.75], [0.25, 0.75]), -1).reshape(4, 1, 2)
    finer = (np.column_stack([column[chosen], row[chosen]]) + offsets).reshape(-1, 2) / size_px
    image[chosen] = _seen(surface, scene, camera, finer[:, 0], finer[:, 1]).reshape(4, -1, 3).mean(axis=0)
    return image.reshape(size_px, size_px, 3).round().clip(0, 255).astype(np.uint8)


def _seen(
    surface: Surface,
    scene: o3d.t.geometry.RaycastingScene,
    camera: _Camera,
    across: NDArray[np.float64],
    along: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Colours (N, 3) 0-255 at points (N,) of the image, 0-1 from its left and from its top."""
    right, down, ahead = camera.box_R_camera.T.astype(np.float32)
    x, y = (
        (camera.center[i] + (2 * at - 1) * camera.half).astype(np.float32)[:, None]
        for i, at in enumerate((across, along))
    )
    rays = np.empty((len(across), 6), np.float32)
    rays[:, :3] = camera.position_m
    rays[:, 3:] = x * right + y * down + ahead
    hits = scene.cast_rays(o3d.core.Tensor.from_numpy(rays), nthreads=1)
    met = np.flatnonzero(np.isfinite(hits["t_hit"].numpy()))
    uv = hits["primitive_uvs"].numpy()[met]
    face = hits["primitive_ids"].numpy()[met].astype(np.int64)
    rgb = surface.colors_at(face, np.column_stack([1 - uv[:, 0] - uv[:, 1], uv]))
    normal, towards = hits["primitive_normals"].numpy()[met], -rays[met, 3:]
    behind = normal[:, 0] * towards[:, 0] + normal[:, 1] * towards[:, 1] + normal[:, 2] * towards[:, 2] < 0
    normal[behind] *= -1  # of the side that is seen
    image = np.full((len(rays), 3), _BACKGROUND, np.float32)
    image[met] = rgb * _light(normal, camera)[:, None]
    return image


def _light(normal: NDArray[np.float32], camera: _Camera) -> NDArray[np.float32]:
    """How brightly the light falls on surfaces with unit normals (N, 3) in box frame."""
    right, down, ahead = camera.box_R_camera.T.astype(np.float32)
    lamp = -0.5 * right - 0.75 * down - 0.6 * ahead
    lamp /= np.linalg.norm(lamp)
    return 0.5 + 0.16 * (normal @ -ahead).clip(0) + 0.42 * (normal @ lamp).clip(0) + 0.06 * normal[:, 2]
