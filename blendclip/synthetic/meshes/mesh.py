"""The mesh of one thing, and a builder that assembles it from simple coloured parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Mesh:
    """Triangles in box frame: metres, x forward, y left, z up, origin at the centre of the tight bounding box."""

    vertices_m: np.ndarray
    """(V, 3) float32."""
    triangles: np.ndarray
    """(F, 3) uint32 indices into the vertices."""
    colors: np.ndarray
    """(F, 3) uint8 RGB of each face."""
    reflectivity: np.ndarray
    """(F,) float32 in 0..1: how much of a LiDAR pulse the face sends back."""

    @cached_property
    def size_lwh_m(self) -> np.ndarray:
        """(3,) extent of the tight bounding box along x, y, z."""
        return np.ptp(self.vertices_m, axis=0)


class MeshBuilder:
    """Collects parts in a working frame (x forward, y left, z up, ground usually at z = 0)."""

    def __init__(self) -> None:
        """Start with no part."""
        self._vertices: list[np.ndarray] = []
        self._triangles: list[np.ndarray] = []
        self._colors: list[np.ndarray] = []
        self._reflectivity: list[np.ndarray] = []
        self._count = 0

    def add(self, vertices_m: ArrayLike, triangles: ArrayLike, color: Color, reflectivity: float | None) -> None:
        """Add (V, 3) vertices and (F, 3) triangles of one colour; by default bright paint reflects more."""
        if reflectivity is None:
            reflectivity = 0.05 + 0.75 * float(np.mean(color)) / 255
        self._vertices.append(np.asarray(vertices_m, float).reshape(-1, 3))
        self._triangles.append(np.asarray(triangles, np.int64).reshape(-1, 3) + self._count)
        faces = len(self._triangles[-1])
        self._colors.append(np.tile(np.asarray(color, np.uint8), (faces, 1)))
        self._reflectivity.append(np.full(faces, reflectivity, np.float32))
        self._count += len(self._vertices[-1])

    def attach(self, mesh: Mesh, offset_m: ArrayLike, yaw_rad: float = 0.0) -> None:
        """Add a finished mesh, turned about z, its box centre moved to offset_m (3,)."""
        cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
        turned = mesh.vertices_m @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) + np.asarray(offset_m, float)
        self._vertices.append(turned)
        self._triangles.append(mesh.triangles.astype(np.int64) + self._count)
        self._colors.append(mesh.colors)
        self._reflectivity.append(mesh.reflectivity)
        self._count += len(turned)

    def rings(self, rings_m: ArrayLike, color: Color, reflectivity: float | None = None, caps: bool = True) -> None:
        """Skin (S, K, 3) rings of K points each, in order, closing both ends with fans."""
        rings_m = np.asarray(rings_m, float)
        stations, sides = rings_m.shape[:2]
        lower = np.arange(stations * sides).reshape(stations, sides)
        a, b = lower[:-1], np.roll(lower, -1, axis=1)[:-1]
        c, d = lower[1:], np.roll(lower, -1, axis=1)[1:]
        faces = [np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)]
        if caps:
            fan = np.arange(1, sides - 1)
            faces.append(np.stack([np.zeros_like(fan), fan + 1, fan], -1))
            faces.append(np.stack([np.zeros_like(fan), fan, fan + 1], -1) + (stations - 1) * sides)
        self.add(rings_m, np.concatenate(faces), color, reflectivity)

    def box(self, center_m: ArrayLike, size_m: ArrayLike, color: Color, reflectivity: float | None = None) -> None:
        """Add an axis-aligned box."""
        half = np.asarray(size_m, float) / 2
        ring = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half[:2]
        rings = [np.column_stack([ring, np.full(4, z)]) for z in (-half[2], half[2])]
        self.rings(np.array(rings) + np.asarray(center_m, float), color, reflectivity)

    def loft(self, stations: Sequence[Sequence[float]], color: Color, reflectivity: float | None = None) -> None:
        """Skin a hull along x from rows (x, half_width, z_bottom, z_top, chamfer of the upper edges), metres."""
        rings = []
        for x, half, low, high, chamfer in stations:
            belt = max(high - chamfer, low)
            yz = [
                (-half, low),
                (half, low),
                (half, belt),
                (half - chamfer, high),
                (chamfer - half, high),
                (-half, belt),
            ]
            rings.append([(x, y, z) for y, z in yz])
        self.rings(np.array(rings), color, reflectivity)

    def prism(self, profile_xz: ArrayLike, y_low: float, y_high: float, color: Color, flip: bool = False) -> None:
        """Extrude a convex outline (K, 2) in x and z along y; flipped, one in y and z along x."""
        profile = np.asarray(profile_xz, float)
        rings = np.array(
            [np.column_stack([profile[:, 0], np.full(len(profile), y), profile[:, 1]]) for y in (y_low, y_high)]
        )
        self.rings(rings[..., [1, 0, 2]] if flip else rings, color)

    def tube(
        self,
        points_m: ArrayLike,
        radii_m: ArrayLike,
        color: Color,
        sides: int = 8,
        reflectivity: float | None = None,
    ) -> None:
        """Sweep a circle along (N, 3) points with one radius, or one per point."""
        points = np.asarray(points_m, float)
        radii = np.broadcast_to(np.asarray(radii_m, float), len(points))
        tangents = np.gradient(points, axis=0)
        rings = []
        for point, radius, tangent in zip(points, radii, tangents, strict=True):
            tangent = tangent / np.linalg.norm(tangent)
            helper = np.array([0.0, 1.0, 0.0]) if abs(tangent[1]) < 0.8 else np.array([1.0, 0.0, 0.0])
            u = np.cross(tangent, helper)
            u /= np.linalg.norm(u)
            angle = 2 * np.pi * np.arange(sides) / sides
            rings.append(point + radius * (np.outer(np.cos(angle), u) + np.outer(np.sin(angle), np.cross(tangent, u))))
        self.rings(np.array(rings), color, reflectivity)

    def lathe(self, profile: Sequence[Sequence[float]], center_m: ArrayLike, color: Color, sides: int = 12) -> None:
        """Stack ellipses upwards: rows (z, radius_x, radius_y[, shift_x]), metres, about center_m (3,)."""
        angle = 2 * np.pi * np.arange(sides) / sides
        rings = []
        for z, radius_x, radius_y, *shift in profile:
            x = radius_x * np.cos(angle) + (shift[0] if shift else 0.0)
            rings.append(np.column_stack([x, radius_y * np.sin(angle), np.full(sides, z)]))
        self.rings(np.array(rings) + np.asarray(center_m, float), color)

    def ellipsoid(self, center_m: ArrayLike, radii_m: ArrayLike, color: Color, sides: int = 10) -> None:
        """Add a ball or an ellipsoid with semi-axes along x, y, z."""
        rx, ry, rz = np.broadcast_to(np.asarray(radii_m, float), 3)
        polar = np.linspace(-np.pi / 2 * 0.96, np.pi / 2 * 0.96, max(sides // 2, 4) + 1)
        self.lathe([(rz * np.sin(p), rx * np.cos(p), ry * np.cos(p)) for p in polar], center_m, color, sides)

    def wheel(self, center_m: Sequence[float], radius_m: float, width_m: float, hub: Color = (170, 172, 176)) -> None:
        """Add a tyre whose axle lies along y, with a hub on both faces."""
        x, y, z = center_m
        half = width_m / 2
        self.tube([(x, y - half, z), (x, y + half, z)], radius_m, (24, 24, 26), 16, 0.06)
        self.tube([(x, y - half - 0.01, z), (x, y + half + 0.01, z)], radius_m * 0.6, hub, 10, 0.5)

    def pane(
        self,
        quad_m: ArrayLike,
        u: tuple[float, float],
        v: tuple[float, float],
        color: Color,
        reflectivity: float | None = None,
    ) -> None:
        """Lay a thin pane on part of a quad with the corners a, b, c, d (4, 3).

        Args: u range of it from a to b, and v from a to d, both in 0..1.
        """
        a, b, c, d = np.asarray(quad_m, float)
        normal = np.cross(b - a, d - a)
        lift = 0.012 * normal / np.linalg.norm(normal)
        corners = []
        for s, r in ((u[0], v[0]), (u[1], v[0]), (u[1], v[1]), (u[0], v[1])):
            corners.append((1 - r) * ((1 - s) * a + s * b) + r * ((1 - s) * d + s * c) + lift)
        self.add(np.array(corners), np.array([[0, 1, 2], [0, 2, 3]]), color, reflectivity)

    def build(self) -> Mesh:
        """Return the mesh, moved so that its bounding box is centred at the origin."""
        vertices = np.concatenate(self._vertices)
        return self._mesh(vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2)

    def build_in_place(self) -> Mesh:
        """Return the parts as they stand, in the builder's working frame: for scenery, which has no box."""
        return self._mesh(np.concatenate(self._vertices))

    def _mesh(self, vertices: np.ndarray) -> Mesh:
        """Return the collected faces over these vertices (V, 3)."""
        return Mesh(
            vertices.astype(np.float32),
            np.concatenate(self._triangles).astype(np.uint32),
            np.concatenate(self._colors),
            np.concatenate(self._reflectivity),
        )
