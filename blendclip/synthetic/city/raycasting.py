"""Rays against the world of one scene at one time, by Open3D; what stands still is built only once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np

from blendclip.datasets.open3d import o3d
from blendclip.synthetic.city.motion import planar_SE3
from blendclip.synthetic.city.plan import ScenePlan, Thing
from blendclip.synthetic.meshes.catalog import Mesh

BACKGROUND = -1
ROAD, BLOCKS, SCENERY = 0, 1, 2


@dataclass(frozen=True)
class RayHits:
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
    """(N,) int64 index into face_colors and face_reflectivity, 0 where nothing was met."""
    face_colors: np.ndarray
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
            self.scene.add_triangles(o3d.core.Tensor.from_numpy(vertices), o3d.core.Tensor.from_numpy(mesh.triangles))
        self.first_face = np.cumsum([0] + [len(mesh.triangles) for mesh, *_ in meshes])[:-1].astype(np.int64)
        self.colors = np.concatenate([np.zeros((0, 3), np.uint8), *(mesh.colors for mesh, *_ in meshes)])
        self.reflectivity = np.concatenate([np.zeros(0, np.float32), *(mesh.reflectivity for mesh, *_ in meshes)])
        self.thing = np.array([thing for *_, thing, _ in meshes], np.int32)
        self.surface = np.array([surface for *_, surface in meshes], np.int32)


class _TimedRays:
    """Rays that are cast each at its own time."""

    def __init__(self, rays: np.ndarray, time_s: np.ndarray) -> None:
        """Take rays (N, 6) float64 in world frame and their times (N,)."""
        self.exact, self.time_s = rays, time_s
        self.narrow = rays.astype(np.float32)
        self.span_s = np.linspace(time_s.min(), time_s.max(), 3)


class _Mover:
    """A thing that moves, its mesh standing still in its own frame."""

    def __init__(self, index: int, thing: Thing) -> None:
        """Build thing `index` of the plan."""
        self.thing = thing
        self.group = _Group([(thing.mesh, np.eye(4), index, SCENERY)])
        self.reach_m = float(np.linalg.norm(thing.mesh.vertices_m, axis=1).max()) + 0.05

    def meet(self, hits: RayHits, first_face: int, rays: _TimedRays) -> None:
        """Write into hits where rays meet the thing first."""
        near = self._within_reach(rays)
        if not len(near):
            return
        pose = self.thing.motion.pose_at(rays.time_s[near])
        cos, sin = np.cos(pose[:, 2]), np.sin(pose[:, 2])
        local = np.empty((len(near), 6), np.float32)
        for at, shift in ((0, pose[:, :2]), (3, 0.0)):
            x, y = (rays.exact[near, at : at + 2] - shift).T
            local[:, at], local[:, at + 1] = cos * x + sin * y, cos * y - sin * x
        local[:, 2], local[:, 5] = rays.exact[near, 2] - self.thing.mesh_z_m, rays.exact[near, 5]
        found = _no_hits(len(near), [self.group], hits.distance_m[near])
        _meet(found, self.group, first_face, local)
        nearer = found.thing != BACKGROUND
        index, nx, ny = near[nearer], found.normal[nearer, 0], found.normal[nearer, 1]
        cos, sin = cos[nearer], sin[nearer]
        hits.normal[index] = np.stack([cos * nx - sin * ny, sin * nx + cos * ny, found.normal[nearer, 2]], -1)
        for name in ("distance_m", "thing", "surface", "face"):
            getattr(hits, name)[index] = getattr(found, name)[nearer]

    def _within_reach(self, rays: _TimedRays) -> np.ndarray:
        """Return the indices of the rays that come near where the thing is while they are cast."""
        path = self.thing.motion.pose_at(rays.span_s)[:, :2]
        reach = self.reach_m + float(np.linalg.norm(path - path[1], axis=1).max())
        x, y = path[1]
        return _passing(rays.narrow, x, y, self.thing.mesh_z_m, reach)


def _no_hits(count: int, groups: list[_Group], farthest_m: np.ndarray | None = None) -> RayHits:
    """Return the hits of `count` rays before any is cast; nothing beyond farthest_m (N,) will count."""
    return RayHits(
        distance_m=np.full(count, np.inf, np.float32) if farthest_m is None else farthest_m.copy(),
        thing=np.full(count, BACKGROUND, np.int32),
        surface=np.full(count, SCENERY, np.int32),
        normal=np.zeros((count, 3), np.float32),
        face=np.zeros(count, np.int64),
        face_colors=np.concatenate([group.colors for group in groups]),
        face_reflectivity=np.concatenate([group.reflectivity for group in groups]),
    )


def _meet(hits: RayHits, group: _Group, first_face: int, rays: np.ndarray) -> None:
    """Write into hits what rays (N, 6) float32 meet of a group first, where that is nearer than before."""
    found = group.scene.cast_rays(o3d.core.Tensor.from_numpy(rays), nthreads=1)
    _keep_nearer(
        hits.distance_m,
        hits.thing,
        hits.surface,
        hits.normal,
        hits.face,
        found["t_hit"].numpy(),
        found["geometry_ids"].numpy(),
        found["primitive_ids"].numpy(),
        found["primitive_normals"].numpy(),
        group.thing,
        group.surface,
        group.first_face + first_face,
    )


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

    def cast(self, rays: np.ndarray) -> RayHits:
        """Return what rays (N, 6) float32 of origin and direction in world frame meet first."""
        hits = _no_hits(len(rays), [self._fixed, self._moving])
        for group, first in ((self._fixed, 0), (self._moving, len(self._fixed.colors))):
            if not group.empty:
                _meet(hits, group, first, rays)
        return hits

    def cast_rolling(self, rays: np.ndarray, time_s: np.ndarray) -> RayHits:
        """Return what rays (N, 6) float64 in world frame meet first, each at its own time (N,), whatever move_to set.

        A thing that moves is met in its own frame, where it stands still: exact for any motion.
        """
        movers = self._movers
        hits = _no_hits(len(rays), [self._fixed, *(mover.group for mover in movers)])
        first, timed = len(self._fixed.colors), _TimedRays(rays, time_s)
        _meet(hits, self._fixed, 0, timed.narrow)
        for mover in movers:
            mover.meet(hits, first, timed)
            first += len(mover.group.colors)
        return hits

    @cached_property
    def _movers(self) -> list[_Mover]:
        return [_Mover(i, thing) for i, thing in enumerate(self._plan.things) if thing.motion.moves]

    def is_blocked(self, rays: np.ndarray) -> np.ndarray:
        """Return (N,) whether rays (N, 6) meet anything at all."""
        tensor = o3d.core.Tensor.from_numpy(rays)
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
            found = group.scene.list_intersections(o3d.core.Tensor.from_numpy(rays), nthreads=1)
            ray, geometry = found["ray_ids"].numpy().astype(np.int64), found["geometry_ids"].numpy().astype(np.int64)
            pairs = np.unique(ray * len(group.thing) + geometry)
            things = group.thing[pairs % len(group.thing)]
            counts += np.bincount(things[things >= 0], minlength=len(counts))
        return counts


@numba.njit(cache=True)
def _passing(rays: np.ndarray, x: float, y: float, z: float, reach: float) -> np.ndarray:
    """Return the indices (M,) int64, rising, of rays that come within reach of a point.

    Args: rays (N, 6) float32, origin and unit direction in world frame; x, y, z of the point in world frame and reach
    in metres.
    """
    found, count = np.empty(len(rays), np.int64), 0
    for i in range(len(rays)):
        dx, dy, dz = x - rays[i, 0], y - rays[i, 1], z - rays[i, 2]
        along = dx * rays[i, 3] + dy * rays[i, 4] + dz * rays[i, 5]
        if along > -reach and dx * dx + dy * dy + dz * dz - along * along < reach * reach:
            found[count] = i
            count += 1
    return found[:count]


@numba.njit(cache=True)
def _keep_nearer(
    distance_m: np.ndarray,
    thing: np.ndarray,
    surface: np.ndarray,
    normal: np.ndarray,
    face: np.ndarray,
    t_hit: np.ndarray,
    geometry_ids: np.ndarray,
    primitive_ids: np.ndarray,
    normals: np.ndarray,
    things: np.ndarray,
    surfaces: np.ndarray,
    first_face: np.ndarray,
) -> None:
    """Write into the first five arrays what N rays met in one group, where that is nearer than before.

    Args: distance_m (N,) float32, thing and surface (N,) int32, normal (N, 3) float32, face (N,) int64 as in `RayHits`;
    t_hit (N,) float32, geometry_ids and primitive_ids (N,) uint32, normals (N, 3) float32 as Open3D gives them:
    geometry_ids index the group's G meshes, primitive_ids the faces of a mesh; things, surfaces and first_face (G,) of
    the group's meshes, first_face an index into the faces of the whole world.
    """
    for i in range(len(t_hit)):
        if t_hit[i] < distance_m[i]:
            geometry = geometry_ids[i]
            distance_m[i] = t_hit[i]
            thing[i] = things[geometry]
            surface[i] = surfaces[geometry]
            face[i] = first_face[geometry] + primitive_ids[i]
            for c in range(3):
                normal[i, c] = normals[i, c]
