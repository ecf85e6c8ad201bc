"""The plan of one scene: its things and how they move, a pure function of the seed and the scene's name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blendclip.randomness import stable_rng
from blendclip.synthetic.city import street
from blendclip.synthetic.city.motion import Motion, Route, standing
from blendclip.synthetic.meshes.catalog import SHAPE_CATEGORY, SHAPES, Mesh, MeshBuilder

KINDS = ("straight", "left_turn", "standing", "straight", "right_turn", "cruising")


@dataclass(frozen=True)
class EgoBody:
    """The room that the ego vehicle needs; its frame sits on the rear axle, on the ground."""

    length_m: float
    """Along x."""
    width_m: float
    """Along y."""
    ahead_m: float
    """How far ahead of the rear axle its middle is."""


CAR_BODY = EgoBody(4.6, 1.9, 1.4)


@dataclass(frozen=True)
class Thing:
    """One annotated object of a scene."""

    name: str
    """Unique in the dataset; seeds all that is random about the thing."""
    shape: str
    """Key of `SHAPES`."""
    category: str
    """As the dataset spells it."""
    attribute: str | None
    """As the dataset spells it; None where it has none."""
    mesh: Mesh
    """In box frame."""
    motion: Motion
    """Where it is at any time."""
    ground_z_m: float
    """Height in world frame on which it stands."""
    margin_m: tuple[float, float, float]
    """How much wider than the mesh the annotated box is, per side: along x, along y, at the top."""
    lift_m: float
    """How far above the ground the box begins, so that it holds no ground points."""

    @property
    def size_lwh_m(self) -> np.ndarray:
        """(3,) size of the annotated box."""
        margin_x, margin_y, margin_top = self.margin_m
        return self.mesh.size_lwh_m.astype(float) + (2 * margin_x, 2 * margin_y, margin_top - self.lift_m)

    @property
    def mesh_z_m(self) -> float:
        """Height of the mesh's centre in world frame."""
        return self.ground_z_m + float(self.mesh.size_lwh_m[2]) / 2

    @property
    def box_z_m(self) -> float:
        """Height of the annotated box's centre in world frame."""
        return self.ground_z_m + self.lift_m + float(self.size_lwh_m[2]) / 2


@dataclass(frozen=True)
class Member:
    """One thing of a group that moves together, and where it is relative to the group's motion."""

    shape: str
    """Key of `SHAPES`."""
    ahead_m: float = 0.0
    """Along the group's route."""
    left_m: float = 0.0
    """To the left of the group's route."""
    turned_rad: float = 0.0
    """Heading relative to the group's route."""


@dataclass(frozen=True)
class ScenePlan:
    """All that happens in one scene, in world frame, times in seconds after its first keyframe."""

    name: str
    """Name of the scene."""
    kind: str
    """Kind of drive, one of the rig's."""
    duration_s: float
    """From the first keyframe to the last."""
    ego: Motion
    """Of the rear axle of the ego vehicle."""
    things: tuple[Thing, ...]
    """All that is annotated where it is seen."""
    scenery: tuple[Mesh, Mesh, Mesh]
    """Carriageway, raised blocks, and everything else that is not annotated."""


class Stage:
    """Places things one after another where nothing else is or will be."""

    def __init__(self, name: str, kind: str, ego: Motion, duration_s: float, body: EgoBody = CAR_BODY) -> None:
        """Start with the ego vehicle alone."""
        self.name, self.kind, self.ego, self.duration_s = name, kind, ego, duration_s
        self.rng = stable_rng(name, "stage")
        self.things: list[Thing] = []
        self._meshes: dict[str, Mesh] = {}
        self._times_s = np.arange(-0.6, duration_s + 0.65, 0.1)
        self._centers = np.zeros((len(self._times_s), 0, 2))
        self._radii = np.zeros(0)
        self.scenery = MeshBuilder()
        """Collects what stands there and is not annotated, in world frame."""
        self._occupy(*self._discs(ego, body.length_m, body.width_m, body.ahead_m))

    def _discs(self, motion: Motion, length: float, width: float, ahead: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Cover a moving rectangle by discs: centres (T, K, 2) in world frame, radii (K,)."""
        long, short = max(length, width), min(length, width)
        count = max(int(np.ceil(1.3 * long / short)), 1)
        along = ((np.arange(count) + 0.5) / count - 0.5) * long
        pose = motion.pose_at(self._times_s)
        yaw = pose[:, 2] + (0.0 if length >= width else np.pi / 2)
        heading = np.stack([np.cos(yaw), np.sin(yaw)], -1)
        centers = pose[:, None, :2] + (along[:, None] + ahead) * heading[:, None]
        return centers, np.full(count, np.hypot(long / count, short) / 2)

    def _occupy(self, centers: np.ndarray, radii: np.ndarray) -> None:
        self._centers = np.concatenate([self._centers, centers], axis=1)
        self._radii = np.concatenate([self._radii, radii])

    def _free(self, centers: np.ndarray, radii: np.ndarray, gap_m: float) -> bool:
        least = (radii[:, None] + self._radii + gap_m) ** 2
        for times in (slice(None, None, 12), slice(None)):  # most conflicts show at a glance
            offset = centers[times, :, None] - self._centers[times, None]
            if (np.einsum("tkmd,tkmd->tkm", offset, offset) <= least).any():
                return False
        return True

    def _mesh(self, name: str, shape: str) -> Mesh:
        if name not in self._meshes:
            self._meshes[name] = SHAPES[shape](stable_rng(name))
        return self._meshes[name]

    def is_free(self, x_m: float, y_m: float, radius_m: float) -> bool:
        """Return whether nothing comes within radius_m of a point in world frame during the scene."""
        centers = np.broadcast_to(np.array([x_m, y_m]), (len(self._times_s), 1, 2))
        return self._free(centers, np.array([radius_m]), 0.1)

    def claim(self, x_m: float, y_m: float, radius_m: float) -> bool:
        """Keep a place in world frame for scenery, if it is free; return whether it was."""
        free = self.is_free(x_m, y_m, radius_m)
        if free:
            self._occupy(np.broadcast_to(np.array([x_m, y_m]), (len(self._times_s), 1, 2)), np.array([radius_m]))
        return free

    def near_ego(self, reach_m: float = 40.0) -> tuple[float, np.ndarray]:
        """Return a random time and a point (2,) near where the ego vehicle is then, more often ahead of it."""
        time_s = float(self.rng.uniform(0, self.duration_s))
        x, y, yaw = self.ego.pose_at(time_s)
        ahead, left = self.rng.uniform(-0.55, 1.0) * reach_m, self.rng.uniform(-0.5, 0.5) * reach_m
        heading = np.array([np.cos(yaw), np.sin(yaw)])
        return time_s, np.array([x, y]) + ahead * heading + left * np.array([-heading[1], heading[0]])

    def place(self, members: list[Member], motion: Motion, ground_z_m: float, state: str, gap_m: float = 0.35) -> bool:
        """Place a group if all of it is free of all else for the whole scene; return whether it was."""
        candidates = [self._thing(i, member, motion, ground_z_m, state) for i, member in enumerate(members)]
        discs = [self._discs(thing.motion, *(float(v) for v in thing.size_lwh_m[:2])) for thing in candidates]
        if not all(self._free(*disc, gap_m) for disc in discs):
            return False
        for disc in discs:
            self._occupy(*disc)
        self.things.extend(candidates)
        return True

    def hang(self, shape: str, motion: Motion, bottom_z_m: float, state: str) -> Thing:
        """Place a thing above the traffic, where nothing can be in its way."""
        self.things.append(self._thing(0, Member(shape), motion, bottom_z_m, state))
        return self.things[-1]

    def _thing(self, order: int, member: Member, motion: Motion, ground_z_m: float, state: str) -> Thing:
        """Return what the member of a group would be if it were placed next but `order`."""
        name = f"{self.name}/{len(self.things) + order}/{member.shape}"
        moved = replace(
            motion,
            s0_m=motion.s0_m + member.ahead_m,
            left_m=motion.left_m + member.left_m,
            turned_rad=motion.turned_rad + member.turned_rad,
        )
        rng = stable_rng(name, "box")
        mesh = self._mesh(name, member.shape)
        margin_x, margin_y, margin_top = rng.uniform(0.04, 0.06, 3).tolist()
        category = SHAPE_CATEGORY[member.shape]
        attribute = attribute_of(category, member.shape, state)
        lift = float(rng.uniform(0.008, 0.015))
        margin_m = (margin_x, margin_y, margin_top)
        return Thing(name, member.shape, category, attribute, mesh, moved, ground_z_m, margin_m, lift)


def attribute_of(category: str, shape: str, state: str) -> str | None:
    """Return the attribute for a thing in a state: moving, stopped, parked or standing; for signs, how they hang."""
    if shape == "wheelchair":
        return "pedestrian.sitting_lying_down"
    if shape == "kick_scooter":
        return "cycle.with_rider"
    if category.startswith("human.") and shape != "stroller":
        return "pedestrian.moving" if state == "moving" else "pedestrian.standing"
    if category in ("vehicle.bicycle", "vehicle.motorcycle"):
        return "cycle.with_rider" if shape.startswith("ridden") else "cycle.without_rider"
    if category.startswith("vehicle."):
        return f"vehicle.{'parked' if state == 'standing' else state}"
    if category == "static_object.traffic_sign":
        return f"traffic_sign.{state}"
    return None


def ego_motion(name: str, kind: str) -> Motion:
    """Return how the ego vehicle (its rear axle) drives in a scene of this kind."""
    rng = stable_rng(name, "ego")
    sway = {"sway_m": 0.5, "sway_phase_rad": float(rng.uniform(0, 6))}
    if kind == "standing":
        return standing(-17.0, -street.LANES_Y_M[0], 0.0)
    if kind == "left_turn":
        return Motion(street.turning_route(1, 1), float(rng.uniform(-4, 0)), float(rng.uniform(*street.LEFT_SPEED_MPS)))
    if kind == "right_turn":
        return Motion(
            street.turning_route(1, -1), float(rng.uniform(-3, 0)), float(rng.uniform(*street.RIGHT_SPEED_MPS))
        )
    lane = float(rng.choice(street.LANES_Y_M))
    if kind == "arterial":
        return Motion(Route((0.0, -lane, 0.0)), float(rng.uniform(-62, -50)), float(rng.uniform(15.2, 16.5)), **sway)
    speed = rng.uniform(10.0, 11.5) if kind == "cruising" else rng.uniform(5.5, 8.5)
    return Motion(Route((0.0, -lane, 0.0)), float(rng.uniform(-50, -32)), float(speed), **sway)
