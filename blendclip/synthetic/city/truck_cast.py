"""The things of a truck's scene: its trailer, traffic far ahead, signs, and all that a car's scene has."""

from __future__ import annotations

import numpy as np

from blendclip.synthetic.city import street
from blendclip.synthetic.city.cast import CARS, TRUCKS, attempt, fill_stage, lane, shuffled
from blendclip.synthetic.city.motion import Motion, standing
from blendclip.synthetic.city.plan import EgoBody, Member, Stage
from blendclip.synthetic.meshes.palette import STEEL
from blendclip.synthetic.meshes.roadside import EGO_TRAILER_M

KINDS = ("arterial", "left_turn", "standing", "straight")
TRUCK_BODY = EgoBody(3.2, 2.5, 3.6)
"""The cab; what lies behind it is the trailer's room."""
TRAILER_FRONT_M = 1.7
"""Where the trailer begins, ahead of the truck's rear axle."""
POLE_M = 0.04


def fill_truck_stage(stage: Stage) -> None:
    """Place the trailer first, then what is far away or must be there, then the rest."""
    trailer = Member("ego_trailer", TRAILER_FRONT_M - EGO_TRAILER_M / 2)
    # It reaches over the truck's rear: a gap below zero lets the two overlap there.
    stage.place([trailer], stage.ego, 0.0, "moving" if stage.ego.moves else "stopped", -2.0)
    _tractor(stage)
    place_signs(stage)
    fill_stage(stage)
    _far_traffic(stage)
    place_deer(stage)


def _tractor(stage: Stage) -> None:
    """A farm tractor: on the road, or, where all are fast, at the kerb."""

    def drive() -> bool:
        direction = int(stage.rng.choice([-1, 1]))
        route = street.main_route(direction, street.LANES_Y_M[1])
        x = stage.near_ego(30)[1][0]
        return stage.place([Member("farm_tractor")], Motion(route, direction * x, 6.5), 0.0, "moving")

    def park() -> bool:
        x, side = stage.near_ego(40)[1][0], float(stage.rng.choice([-1, 1]))
        if abs(x) < street.CROSS_HALF_M + street.SIDEWALK_M + 5:
            return False
        pose = standing(x, side * (street.MAIN_HALF_M - 1.4), 0.0 if side < 0 else np.pi)
        return stage.place([Member("farm_tractor")], pose, 0.0, "parked")

    attempt(park if stage.kind == "arterial" else drive)


def _facing(side: float) -> float:
    """Return the heading of a sign that faces the traffic, which drives on the right, on one side of the main road."""
    return np.pi if side < 0 else 0.0


def place_signs(stage: Stage) -> None:
    """Signs on poles and above the lanes of the main road, and signs on feet for roadworks."""
    rng = stage.rng

    def spot(reach_m: float) -> tuple[float, float] | None:
        x, side = stage.near_ego(reach_m)[1][0], float(rng.choice([-1, 1]))
        return None if abs(x) < street.CROSS_HALF_M + street.SIDEWALK_M else (x, side)

    def on_pole() -> bool:
        found = spot(45)
        if found is None:
            return False
        x, side = found
        y, heading, bottom = side * (street.MAIN_HALF_M + 0.9), _facing(side), street.CURB_M + rng.uniform(1.9, 2.3)
        if not stage.place([Member("pole_sign")], standing(x, y, heading), bottom, "pole_mounted", 0.1):
            return False
        behind = x - 0.13 * np.cos(heading)
        stage.scenery.tube([(behind, y, 0), (behind, y, stage.things[-1].mesh_z_m)], POLE_M, STEEL, 6)
        return True

    def above() -> bool:
        found = spot(50)
        if found is None or not stage.claim(found[0], found[1] * (street.MAIN_HALF_M + 0.8), 0.4):
            return False
        x, side = found
        heading, mast_y = _facing(side), side * (street.MAIN_HALF_M + 0.8)
        sign = stage.hang("overhead_sign", standing(x, side * street.LANES_Y_M[1], heading), 5.1, "overhanging")
        behind, z = x - 0.3 * np.cos(heading), sign.mesh_z_m
        way = [(behind, mast_y, 0), (behind, mast_y, z), (behind, side * street.LANES_Y_M[0], z)]
        stage.scenery.tube(way, 0.12, STEEL, 8)
        return True

    def on_foot() -> bool:
        found = spot(30)
        if found is None:
            return False
        pose = standing(found[0], found[1] * (street.MAIN_HALF_M - rng.uniform(0.6, 1.2)), _facing(found[1]))
        return stage.place([Member("temporary_sign")], pose, 0.0, "temporary", 0.2)

    for sign, count in ((on_foot, 2), (on_pole, 6), (above, 2)):
        for _ in range(count):
            attempt(sign)


def _far_traffic(stage: Stage) -> None:
    """Vehicles on the main road that only the far-reaching LiDARs see."""
    rng = stage.rng
    for shape in (*shuffled(stage, CARS, 6), *shuffled(stage, (*TRUCKS, "rigid_bus"), 4)):

        def drive(shape: str = shape) -> bool:
            route, speed = lane(stage, shape)
            if route.segments:
                return False
            time_s, _ = stage.near_ego()
            s_then = float(rng.uniform(-150, 150))
            if not 45 < np.linalg.norm(route.pose_at(s_then)[:2] - stage.ego.pose_at(time_s)[:2]) < 145:
                return False
            return stage.place([Member(shape)], Motion(route, s_then - speed * time_s, speed), 0.0, "moving")

        attempt(drive)


def place_deer(stage: Stage) -> None:
    """A deer in front of the houses."""

    def graze() -> bool:
        x, side = stage.near_ego(30)[1][0], float(stage.rng.choice([-1, 1]))
        if abs(x) < street.CROSS_HALF_M + 2:
            return False
        pose = standing(x, side * (street.MAIN_HALF_M + stage.rng.uniform(2.0, 4.5)), stage.rng.uniform(-3, 3))
        return stage.place([Member("deer")], pose, street.CURB_M, "standing", 0.2)

    attempt(graze)
