"""A textured triangle surface, and points on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from blendclip.datasets.cad import rules
from blendclip.datasets.cad.objects import BrokenObjectError

PLAIN_RGB = (180, 180, 180)
"""The colour of what has none."""


@dataclass(frozen=True)
class _Paint:
    """How a run of faces is coloured: by a texture, or by the colours of their corners."""

    faces: slice
    corner_rgb: NDArray[np.float64] | None
    """(F, 3, 3) red, green, blue 0-255 of the three corners, or (F, 1, 3) of the whole face."""
    corner_uv: NDArray[np.float64] | None = None
    """(F, 3, 2) places in the texture, v upwards."""
    texture: NDArray[np.uint8] | None = None
    """(H, W, 3)"""
    factor: NDArray[np.float64] = field(default_factory=lambda: np.ones(3))
    """(3,) linear factor on the texture's light."""


@dataclass(frozen=True)
class Surface:
    """Triangles in one frame, with what colours them."""

    corners: NDArray[np.float64]
    """(F, 3, 3) the corners of each triangle."""
    paints: tuple[_Paint, ...]

    def moved(self, rotation: NDArray[np.float64], scale: float) -> Surface:
        """The surface turned by `rotation` (3, 3) and scaled, its bounding box then centred at the origin."""
        corners = self.corners @ rotation.T * scale
        low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
        return Surface(corners - (low + high) / 2, self.paints)

    def sample(
        self, count: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
        """`count` points, uniform over the area: places (N, 3), colours (N, 3), and their faces (N,)."""
        edges = self.corners[:, 1:] - self.corners[:, :1]
        area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
        face = np.searchsorted(np.cumsum(area), rng.random(count) * area.sum(), side="right").clip(max=len(area) - 1)
        uv = rng.random((count, 2))
        uv = np.where(uv.sum(axis=1, keepdims=True) > 1, 1 - uv, uv)
        weights = np.column_stack([1 - uv.sum(axis=1), uv])
        points = np.einsum("nk,nkc->nc", weights, self.corners[face])
        return points.astype(np.float32), self.colours_at(face, weights), face

    def colours_at(self, face: NDArray[np.integer], weights: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Colours (N, 3) of places on faces (N,), given by their weights on the three corners (N, 3)."""
        if len(self.paints) == 1:
            return _colours(self.paints[0], face, weights)
        rgb = np.empty((len(face), 3), np.uint8)
        for paint in self.paints:
            chosen = np.flatnonzero((face >= paint.faces.start) & (face < paint.faces.stop))
            if len(chosen):
                rgb[chosen] = _colours(paint, face[chosen] - paint.faces.start, weights[chosen])
        return rgb


class _Resolver(trimesh.resolvers.FilePathResolver):
    """Finds the files that a mesh names, and remembers what it did not find: trimesh would go on in white."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.missing: list[str] = []

    def get(self, name: str) -> bytes:
        try:
            return super().get(name)
        except (OSError, ValueError):
            if not name.lower().endswith(".mtl"):  # without its materials a mesh is plain, as without any
                self.missing.append(name)
            raise


def read_surface(path: Path) -> Surface:
    """The surface in a GLB, GLTF, OBJ, OFF, PLY or STL file, all parts of its scene in place.

    Raises:
        BrokenObjectError: the file is missing or broken, or holds no surface.
    """
    if not path.is_file():
        raise BrokenObjectError(rules.MISSING_MESH, rules.MISSING_MESH.reason())
    resolver = _Resolver(str(path))
    try:
        scene = trimesh.load_scene(path, process=False, resolver=resolver)
    except Exception as error:  # its readers raise whatever they stumble over
        reason = rules.MESH_UNREADABLE.format(kind=type(error).__name__, error=error)
        raise BrokenObjectError(rules.UNREADABLE_MESH, reason) from None
    if resolver.missing:
        raise BrokenObjectError(rules.MISSING_TEXTURE, rules.MISSING_TEXTURE.reason(file=resolver.missing[0]))
    try:
        parts = [part for name in scene.graph.nodes_geometry if (part := _part(scene, name)) is not None]
    except (IndexError, ValueError, OSError) as error:
        raise BrokenObjectError(rules.UNREADABLE_MESH, rules.MESH_INCONSISTENT.format(error=error)) from None
    if not parts:
        raise BrokenObjectError(rules.EMPTY_MESH, rules.EMPTY_MESH.reason())
    return _checked(_joined(parts))


def _part(scene: trimesh.Scene, node: str) -> tuple[NDArray[np.float64], _Paint] | None:
    """Corners (F, 3, 3) in the scene's frame and paint of a node; None where it has no face."""
    scene_from_part, name = scene.graph[node]
    mesh = scene.geometry[name]
    if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
        return None
    vertices = mesh.vertices @ scene_from_part[:3, :3].T + scene_from_part[:3, 3]
    return vertices[mesh.faces], _paint_of(mesh)


def _paint_of(mesh: trimesh.Trimesh) -> _Paint:
    faces, visual = slice(0, len(mesh.faces)), mesh.visual
    if not isinstance(visual, trimesh.visual.TextureVisuals):
        if visual.kind == "vertex":
            return _Paint(faces, visual.vertex_colors[mesh.faces][..., :3].astype(float))
        rgb = visual.face_colors[:, :3] if visual.kind == "face" else np.tile(PLAIN_RGB, (len(mesh.faces), 1))
        return _Paint(faces, rgb[:, None].astype(float))
    image, factor = _texture_of(visual.material)
    if image is not None and visual.uv is not None:
        texture = np.asarray(image.convert("RGB"))
        return _Paint(faces, None, np.asarray(visual.uv)[mesh.faces], texture, factor)
    corners = visual.vertex_attributes.get("color")
    if corners is None:
        return _Paint(faces, np.tile(_srgb(factor), (len(mesh.faces), 1, 1)))
    return _Paint(faces, _srgb(factor * _unit(np.asarray(corners)[:, :3])[mesh.faces]))


def _texture_of(material: Any) -> tuple[Any, NDArray[np.float64]]:
    """A material's image, or None, and the linear factor (3,) on its colours."""
    if isinstance(material, trimesh.visual.material.MultiMaterial):
        material = material.materials[0]
    if isinstance(material, trimesh.visual.material.PBRMaterial):
        factor = material.baseColorFactor
        return material.baseColorTexture, np.ones(3) if factor is None else _unit(np.asarray(factor)[:3])
    image = getattr(material, "image", None)
    if image is not None or getattr(material, "diffuse", None) is None:
        return image, np.ones(3)
    return None, _linear(_unit(np.asarray(material.diffuse)[:3]))  # OBJ files mean what is seen


def _unit(values: NDArray) -> NDArray[np.float64]:
    return values / 255.0 if values.dtype == np.uint8 else values.astype(float)


def _linear(srgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light 0-1 of sRGB values 0-1."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _srgb(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB values 0-255 of light 0-1."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _colours(paint: _Paint, face: NDArray[np.integer], weights: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colours (N, 3) at places on the faces (N,) of one paint."""
    if paint.texture is None and paint.corner_rgb.shape[1] == 1:
        return paint.corner_rgb[face, 0].round().astype(np.uint8)
    if paint.texture is None:
        return np.einsum("nk,nkc->nc", weights, paint.corner_rgb[face]).round().clip(0, 255).astype(np.uint8)
    height, width, _ = paint.texture.shape
    uv = np.einsum("nk,nkc->nc", weights, paint.corner_uv[face])
    column = np.floor(uv[:, 0] * width).astype(np.int64) % width  # textures repeat beyond their edges
    row = np.floor((1 - uv[:, 1]) * height).astype(np.int64) % height
    texels = paint.texture[row, column]
    if (paint.factor == 1).all():
        return texels
    return _srgb(_linear(texels / 255.0) * paint.factor).round().astype(np.uint8)


def _joined(parts: list[tuple[NDArray[np.float64], _Paint]]) -> Surface:
    starts = np.cumsum([0, *(len(corners) for corners, _ in parts)]).tolist()
    paints = (
        _Paint(slice(start, stop), paint.corner_rgb, paint.corner_uv, paint.texture, paint.factor)
        for (_, paint), start, stop in zip(parts, starts[:-1], starts[1:], strict=True)
    )
    return Surface(np.concatenate([corners for corners, _ in parts]), tuple(paints))


def _checked(surface: Surface) -> Surface:
    if not np.isfinite(surface.corners).all():
        raise BrokenObjectError(rules.NOT_FINITE, rules.VERTICES_NOT_FINITE)
    edges = surface.corners[:, 1:] - surface.corners[:, :1]
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1).sum()
    if not area > 1e-12 * np.ptp(surface.corners, axis=(0, 1)).max() ** 2:
        raise BrokenObjectError(rules.ZERO_AREA, rules.ZERO_AREA.reason())
    return surface
