"""Rays against the world of one scene at one moment, by Open3D; what stands still is built only once."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import libusb_package
import numba
import numpy as np

from blendclip.datasets.city.meshes import Mesh
from blendclip.datasets.city.motion import planar_SE3
from blendclip.datasets.city.plan import ScenePlan, Thing

# Open3D links to libusb for depth cameras and does not load where the system has none.
ctypes.CDLL(libusb_package.get_library_path(), mode=ctypes.RTLD_GLOBAL)

import open3d as o3d  # noqa: E402

BACKGROUND = -1
ROAD, BLOCKS, SCENERY = 0, 1, 2


@dataclass(frozen=True)
class Hits:
    """What N rays met first, in world frame."""

    distance_m: np.ndarray
    """(N,) float32, in lengths of the ray's direction; inf where a ray met nothing."""
    thing: np.ndarray
    """(N,) int32 index into the plan's things, BACKGROUND for scenery and where nothing was met."""
    surface: np.ndarray
    """(N,) int32: ROAD, BLOCKS, or SCENERY for all else."""
    normal: np.ndarray
    """(N, 3) float32 unit normal, either way round."""
    face: np.ndarray
    """(N,) int64 index into face_colours and face_reflectivity, 0 where nothing was met."""
    face_colours: np.ndarray
    """(F, 3) uint8 of all faces of the world."""
    face_reflectivity: np.ndarray
    """(F,) float32 of all faces of the world."""


class _Group:
    """Meshes in one Open3D scene, with the colours and owners of their faces."""

    def __init__(self, meshes: list[tuple[Mesh, np.ndarray, int, int]]) -> None:
        """Build from (mesh, world_SE3_mesh, thing, surface) rows."""
        self.scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self.empty = not meshes
        for mesh, world_SE3_mesh, _, _ in meshes:
            vertices = (mesh.vertices_m @ world_SE3_mesh[:3, :3].T + world_SE3_mesh[:3, 3]).astype(np.float32)
            self.scene.add_triangles(o3d.core.Tensor(vertices), o3d.core.Tensor(mesh.triangles))
        self.first_face = np.cumsum([0] + [len(mesh.triangles) for mesh, *_ in meshes])[:-1].astype(np.int64)
        self.colours = np.concatenate([np.zeros((0, 3), np.uint8), *(mesh.colours for mesh, *_ in meshes)])
        self.reflectivity = np.concatenate([np.zeros(0, np.float32), *(mesh.reflectivity for mesh, *_ in meshes)])
        self.thing = np.array([thing for *_, thing, _ in meshes], np.int32)
        self.surface = np.array([surface for *_, surface in meshes], np.int32)


class World:
    """The meshes of a scene plan, ready to be met by rays."""

    def __init__(self, plan: ScenePlan) -> None:
        """Build what stands still; move_to adds what moves."""
        self._plan = plan
        fixed = [(mesh, np.eye(4), BACKGROUND, surface) for surface, mesh in enumerate(plan.scenery)]
        fixed += [self._placed(i, thing, 0.0) for i, thing in enumerate(plan.things) if not thing.motion.moves]
        self._fixed = _Group(fixed)
        self._moving = _Group([])

    def _placed(self, index: int, thing: Thing, time_s: float) -> tuple[Mesh, np.ndarray, int, int]:
        return thing.mesh, planar_SE3(thing.motion.pose_at(time_s), thing.mesh_z_m), index, SCENERY

    def move_to(self, time_s: float) -> None:
        """Put everything that moves where it is time_s seconds after the scene's start."""
        moving = [(i, thing) for i, thing in enumerate(self._plan.things) if thing.motion.moves]
        self._moving = _Group([self._placed(i, thing, time_s) for i, thing in moving])

    def cast(self, rays: np.ndarray) -> Hits:
        """Return what rays (N, 6) float32 of origin and direction in world frame meet first."""
        colours = np.concatenate([self._fixed.colours, self._moving.colours])
        reflectivity = np.concatenate([self._fixed.reflectivity, self._moving.reflectivity])
        hits = Hits(
            distance_m=np.full(len(rays), np.inf, np.float32),
            thing=np.full(len(rays), BACKGROUND, np.int32),
            surface=np.full(len(rays), SCENERY, np.int32),
            normal=np.zeros((len(rays), 3), np.float32),
            face=np.zeros(len(rays), np.int64),
            face_colours=colours,
            face_reflectivity=reflectivity,
        )
        for group, first in ((self._fixed, 0), (self._moving, len(self._fixed.colours))):
            if not group.empty:
                found = group.scene.cast_rays(o3d.core.Tensor(rays), nthreads=1)
                _keep_nearer(
                    *(hits.distance_m, hits.thing, hits.surface, hits.normal, hits.face),
                    *(found[name].numpy() for name in ("t_hit", "geometry_ids", "primitive_ids", "primitive_normals")),
                    *(group.thing, group.surface, group.first_face + first),
                )
        return hits

    def is_blocked(self, rays: np.ndarray) -> np.ndarray:
        """Return (N,) whether rays (N, 6) meet anything at all."""
        tensor = o3d.core.Tensor(rays)
        blocked = self._fixed.scene.test_occlusions(tensor, nthreads=1).numpy()
        if not self._moving.empty:
            blocked |= self._moving.scene.test_occlusions(tensor, nthreads=1).numpy()
        return blocked

    def pixels_alone(self, rays: np.ndarray) -> np.ndarray:
        """Return (things,) how many of the rays (N, 6) would meet each thing if it stood alone."""
        counts = np.zeros(len(self._plan.things), np.int64)
        for group in (self._fixed, self._moving):
            if group.empty:
                continue
            found = group.scene.list_intersections(o3d.core.Tensor(rays), nthreads=1)
            ray, geometry = found["ray_ids"].numpy().astype(np.int64), found["geometry_ids"].numpy().astype(np.int64)
            pairs = np.unique(ray * len(group.thing) + geometry)
            things = group.thing[pairs % len(group.thing)]
            counts += np.bincount(things[things >= 0], minlength=len(counts))
        return counts


@numba.njit(cache=True)
def _keep_nearer(
    distance_m, thing, surface, normal, face, t_hit, geometry_ids, primitive_ids, normals, things, surfaces, first_face
) -> None:
    """Write into the first five arrays (N, ...) what one group's rays met, where that is nearer than before."""
    for i in range(len(t_hit)):
        if t_hit[i] < distance_m[i]:
            geometry = geometry_ids[i]
            distance_m[i] = t_hit[i]
            thing[i] = things[geometry]
            surface[i] = surfaces[geometry]
            face[i] = first_face[geometry] + primitive_ids[i]
            for c in range(3):
                normal[i, c] = normals[i, c]
