"""A textured triangle surface, and points on it."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from blendclip.datasets.cad import rules
from blendclip.datasets.cad.mesh_files import whole_mesh
from blendclip.datasets.cad.objects import BrokenObjectError, parsing, said
from blendclip.datasets.cad.textures import check_gltf_images, check_image
from blendclip.plain_files import NotPlainError, check_plain

PLAIN_RGB = (180, 180, 180)
"""The colour of what has none."""
_NAMING_IMAGES = (".obj", ".ply")  # whose other files are images, but for an OBJ's library of materials
_WITH_IMAGES = (".glb", ".gltf")
_OF_NUMBERS = (".ply", ".stl")  # whose rows hold nothing else


@dataclass(frozen=True)
class _CornerColors:
    """A run of F faces coloured at their corners, or as a whole."""

    faces: slice
    """Which faces of the surface these are."""
    corner_rgb: NDArray[np.float64]
    """(F, 3, 3) red, green, blue 0-255 of the three corners, or (F, 1, 3) of the whole face."""

    def colors_at(self, face: NDArray[np.integer], weights: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Colours (N, 3) 0-255 on faces (N,) of the run, at points of corner weights (N, 3)."""
        if self.corner_rgb.shape[1] == 1:
            return self.corner_rgb[face, 0].round().astype(np.uint8)
        return np.einsum("nk,nkc->nc", weights, self.corner_rgb[face]).round().clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Texture:
    """A run of F faces coloured by an image."""

    faces: slice
    """Which faces of the surface these are."""
    corner_uv: NDArray[np.float64]
    """(F, 3, 2) coordinates in the image of the three corners, 0-1, v upwards."""
    image: NDArray[np.uint8]
    """(H, W, 3)"""
    factor: NDArray[np.float64]
    """(3,) linear factor on the image's light."""

    def colors_at(self, face: NDArray[np.integer], weights: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Colours (N, 3) 0-255 on faces (N,) of the run, at points of corner weights (N, 3)."""
        height, width, _ = self.image.shape
        uv = np.einsum("nk,nkc->nc", weights, self.corner_uv[face])
        column = np.floor(uv[:, 0] * width).astype(np.int64) % width  # textures repeat beyond their edges
        row = np.floor((1 - uv[:, 1]) * height).astype(np.int64) % height
        texels = self.image[row, column]
        if (self.factor == 1).all():
            return texels
        return _srgb(_linear(texels / 255.0) * self.factor).round().astype(np.uint8)


_Paint = _CornerColors | _Texture


@dataclass(frozen=True)
class Surface:
    """Triangles in one frame, with what colours them."""

    corners: NDArray[np.float64]
    """(F, 3, 3) the corners of each triangle."""
    paints: tuple[_Paint, ...]
    """Of all faces, in the order of their runs."""

    def moved(self, rotation: NDArray[np.float64], scale: float) -> Surface:
        """The surface turned by `rotation` (3, 3) and scaled, its bounding box then centred at the origin."""
        corners = self.corners @ rotation.T * scale
        low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
        return Surface(corners - (low + high) / 2, self.paints)

    def sample(
        self, count: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
        """`count` points, uniform over the area: coordinates (N, 3), colours (N, 3) 0-255, and their faces (N,)."""
        edges = self.corners[:, 1:] - self.corners[:, :1]
        area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
        face = np.searchsorted(np.cumsum(area), rng.random(count) * area.sum(), side="right").clip(max=len(area) - 1)
        uv = rng.random((count, 2))
        uv = np.where(uv.sum(axis=1, keepdims=True) > 1, 1 - uv, uv)
        weights = np.column_stack([1 - uv.sum(axis=1), uv])
        points = np.einsum("nk,nkc->nc", weights, self.corners[face])
        return points.astype(np.float32), self.colors_at(face, weights), face

    def colors_at(self, face: NDArray[np.integer], weights: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Colours (N, 3) 0-255 on faces (N,), at points of corner weights (N, 3)."""
        if len(self.paints) == 1:
            return self.paints[0].colors_at(face, weights)
        rgb = np.empty((len(face), 3), np.uint8)
        for paint in self.paints:
            chosen = np.flatnonzero((face >= paint.faces.start) & (face < paint.faces.stop))
            if len(chosen):
                rgb[chosen] = paint.colors_at(face[chosen] - paint.faces.start, weights[chosen])
        return rgb


class _Resolver(trimesh.resolvers.FilePathResolver):
    """Finds the files that a mesh names, and remembers what is wrong with them: trimesh would go on in white."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._suffix = path.suffix.lower()
        self._has_library = self._suffix == ".obj"
        self.fault: BrokenObjectError | None = None
        """Of the first file that is missing or broken."""

    def absolute(self, name: str) -> Path:
        """The path of a file, which `get` opens where it exists."""
        path: Path = super().absolute(name)
        if path.exists():
            check_plain(path)
        return path

    def get(self, name: str) -> bytes:
        is_library, self._has_library = self._has_library, False
        try:
            data: bytes = super().get(name)
            if not is_library and self._suffix in _NAMING_IMAGES:
                check_image(data, name)
        except BrokenObjectError as fault:
            self.fault = self.fault or fault
            raise
        except (OSError, ValueError) as error:
            if not is_library:  # without its materials a mesh is plain, as without any
                self.fault = self.fault or _lacking(name, error)
            raise
        return data


def _lacking(name: str, error: Exception) -> BrokenObjectError:
    """The fault of a mesh that names a file which cannot be read."""
    if isinstance(error, NotPlainError):
        return BrokenObjectError(rules.BROKEN_TEXTURE, rules.BROKEN_TEXTURE.reason(file=name, **said(error)))
    return BrokenObjectError(rules.MISSING_TEXTURE, rules.MISSING_TEXTURE.reason(file=name))


def read_surface(path: Path) -> Surface:
    """The surface in a GLB, GLTF, OBJ, OFF, PLY or STL file, all parts of its scene in place.

    Raises:
        BrokenObjectError: the file is missing or broken, or holds no surface.
    """
    if not path.is_file():
        raise BrokenObjectError(rules.MISSING_MESH, rules.MISSING_MESH.reason())
    with parsing(rules.UNREADABLE_MESH, rules.MESH_UNREADABLE):
        scene = _scene(path)
    with parsing(rules.UNREADABLE_MESH, rules.MESH_INCONSISTENT):
        parts = [part for name in scene.graph.nodes_geometry if (part := _part(scene, name)) is not None]
    if not parts:
        raise BrokenObjectError(rules.EMPTY_MESH, rules.EMPTY_MESH.reason())
    return _checked(_joined(parts))


def _scene(path: Path) -> trimesh.Scene:
    """What trimesh reads of a file that is whole, as are those that it names."""
    suffix, resolver = path.suffix.lower(), _Resolver(path)
    content = whole_mesh(path.read_bytes(), suffix)
    with warnings.catch_warnings():
        if suffix in _OF_NUMBERS:  # so numpy says that it leaves out the rest of a row, from what is no number on
            warnings.filterwarnings("error", "string or file could not be read", DeprecationWarning)
        scene = trimesh.load_scene(io.BytesIO(content), suffix[1:], process=False, resolver=resolver)
    if resolver.fault:
        raise resolver.fault
    if suffix in _WITH_IMAGES:
        check_gltf_images(content, resolver.get)
    return scene


def _part(scene: trimesh.Scene, node: str) -> tuple[NDArray[np.float64], _Paint] | None:
    """Corners (F, 3, 3) in the scene's frame and paint of a node; None where it has no face."""
    scene_from_part, name = scene.graph[node]
    mesh = scene.geometry[name]
    if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
        return None
    if mesh.faces.min() < 0:
        raise IndexError(f"a face names vertex {mesh.faces.min()}")
    vertices = mesh.vertices @ scene_from_part[:3, :3].T + scene_from_part[:3, 3]
    return vertices[mesh.faces], _paint_of(mesh)


def _paint_of(mesh: trimesh.Trimesh) -> _Paint:
    faces, visual = slice(0, len(mesh.faces)), mesh.visual
    if not isinstance(visual, trimesh.visual.TextureVisuals):
        if visual is None or visual.kind is None:
            return _CornerColors(faces, np.tile(PLAIN_RGB, (len(mesh.faces), 1, 1)).astype(float))
        if visual.kind == "vertex":
            return _CornerColors(faces, visual.vertex_colors[mesh.faces][..., :3].astype(float))
        return _CornerColors(faces, visual.face_colors[:, None, :3].astype(float))
    image, factor = _texture_of(visual.material)
    if image is not None and visual.uv is not None:
        return _Texture(faces, np.asarray(visual.uv)[mesh.faces], np.asarray(image.convert("RGB")), factor)
    corners = visual.vertex_attributes.get("color")
    if corners is None:
        return _CornerColors(faces, np.tile(_srgb(factor), (len(mesh.faces), 1, 1)))
    return _CornerColors(faces, _srgb(factor * _unit(np.asarray(corners)[:, :3])[mesh.faces]))


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
    return 255.0 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _joined(parts: list[tuple[NDArray[np.float64], _Paint]]) -> Surface:
    starts = np.cumsum([0, *(len(corners) for corners, _ in parts)]).tolist()
    paints = (
        replace(paint, faces=slice(start, stop))
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
