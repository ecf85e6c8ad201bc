"""The things of a scene: the recipe that fills a stage, zone by zone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from blendclip.randomness import stable_rng
from blendclip.synthetic.city import street
from blendclip.synthetic.city.motion import Motion, Route, standing
from blendclip.synthetic.city.plan import CAR_BODY, EgoBody, Member, ScenePlan, Stage, ego_motion
from blendclip.synthetic.meshes.catalog import SHAPES

CARS = ("sedan", "hatchback", "suv", "minivan", "van", "taxi", "convertible", "pickup")
TRUCKS = ("box_truck", "flatbed_truck", "tanker_truck", "dump_truck")
MACHINES = ("excavator", "wheel_loader", "road_roller", "forklift")
BARRIERS = ("jersey_barrier", "striped_barrier", "fence_barrier")
DEBRIS = ("debris_branch", "debris_bags", "debris_tyre")
CARTS = ("shopping_cart", "wheelbarrow", "rubbish_bin")
TRIES = 120


def fill_stage(stage: Stage) -> None:
    """Place everything: what must be there first, then traffic, then people."""
    _construction_site(stage)
    _sidewalk_things(stage)
    _parked(stage)
    _traffic(stage)
    _queues(stage)
    _people(stage)


def attempt(make: Callable[[], bool], tries: int = TRIES) -> bool:
    """Call make until it succeeds or the tries are used up."""
    return any(make() for _ in range(tries))


def shuffled(stage: Stage, shapes: Sequence[str], count: int) -> list[str]:
    """Return count shapes that cover the choice evenly, in random order."""
    order = [str(shape) for _ in range(count // len(shapes) + 1) for shape in stage.rng.permutation(shapes)]
    return order[:count]


def _construction_site(stage: Stage) -> None:
    """A coned-off stretch at the kerb with machines, barriers, workers, debris."""
    rng = stage.rng

    def site() -> bool:
        _, point = stage.near_ego(28)
        side = float(rng.choice([-1, 1]))
        x, heading = point[0], 0.0 if side < 0 else np.pi
        fits = all(stage.is_free(x + shift, side * 5.2, 0.7) for shift in (-6, -3, 0, 3, 6))
        if not fits or abs(x) < street.CROSS_HALF_M + street.SIDEWALK_M + 10:
            return False
        machine = str(rng.choice(MACHINES))
        if not stage.place([Member(machine)], standing(x, side * 8.1, heading), 0.0, "stopped"):
            return False
        _fence_in(stage, x, side)
        return True

    attempt(site, 400)


def _fence_in(stage: Stage, x: float, side: float) -> None:
    """Put barriers, cones, workers and debris about a machine at x on one side of the main road."""
    rng = stage.rng
    ahead = 1.0 if side < 0 else -1.0
    for k, shape in enumerate(shuffled(stage, BARRIERS, 6)):
        along = x - ahead * 6.5 + ahead * 2.6 * k
        stage.place(
            [Member(shape)], standing(along, side * 5.2, np.pi / 2 + rng.uniform(-0.08, 0.08)), 0.0, "standing", 0.1
        )
    for k, shape in enumerate(shuffled(stage, ("traffic_cone", "traffic_cone", "delineator"), 6)):
        along, y = x - ahead * (9.0 + 1.7 * k), side * (5.6 + 0.6 * k)
        stage.place([Member(shape)], standing(along, y, rng.uniform(0, 6)), 0.0, "standing", 0.1)
    second = str(rng.choice(MACHINES))
    stage.place([Member(second)], standing(x + ahead * 9.5, side * 8.0, rng.choice([0.0, np.pi])), 0.0, "stopped", 0.1)
    for shape in ("construction_worker", "construction_worker", "wheelbarrow", *DEBRIS[:2]):

        def somewhere(shape: str = shape) -> bool:
            spot = standing(x + rng.uniform(-9, 11), side * rng.uniform(6.2, 9.0), rng.uniform(-3, 3))
            return stage.place([Member(shape)], spot, 0.0, "standing", 0.15)

        attempt(somewhere, 40)


def _on_sidewalk(stage: Stage, low_m: float, high_m: float, reach_m: float = 38.0) -> tuple[float, float, float]:
    """Return a spot x, y and the heading along the kerb, low..high metres behind the kerb of the main or cross road."""
    rng = stage.rng
    while True:
        _, point = stage.near_ego(reach_m)
        side, depth = float(rng.choice([-1, 1])), rng.uniform(low_m, high_m)
        if rng.random() < 0.75:
            x, y, heading = point[0], side * (street.MAIN_HALF_M + depth), 0.0
            if abs(x) > street.CROSS_HALF_M + 1:
                return x, y, heading
        else:
            x, y, heading = side * (street.CROSS_HALF_M + depth), point[1], np.pi / 2
            if abs(y) > street.MAIN_HALF_M + 1:
                return x, y, heading


def _sidewalk_things(stage: Stage) -> None:
    """Bicycle racks, parked cycles, bins, carts and rubbish near the kerb."""
    rng = stage.rng

    def spot(shape: str, turn: float, low: float, high: float) -> bool:
        x, y, heading = _on_sidewalk(stage, low, high, 26)
        return stage.place([Member(shape)], standing(x, y, heading + turn), street.CURB_M, "standing", 0.3)

    for _ in range(2):
        attempt(partial(spot, "bicycle_rack", np.pi / 2, 1.2, 1.6))
    for shape in (
        "bicycle",
        "bicycle",
        "motorcycle",
        "motor_scooter",
        *shuffled(stage, CARTS, 3),
        *shuffled(stage, DEBRIS, 2),
    ):
        attempt(partial(spot, shape, float(rng.uniform(-3, 3)), 0.8, 2.0))


def _parked(stage: Stage) -> None:
    """Vehicles in the parking strips of the main road."""
    rng = stage.rng
    extras = ["police_car", "ambulance", "semi_trailer", "utility_trailer", "rigid_bus", "box_truck", "motorcycle"]
    shapes = [*rng.permutation(extras), *shuffled(stage, CARS, 7)]

    typical_lw_m = {str(shape): SHAPES[shape](stable_rng(shape)).size_lwh_m[:2] for shape in set(map(str, shapes))}

    def spot(shape: str) -> bool:
        _, point = stage.near_ego(36)
        side = float(rng.choice([-1, 1]))
        length, width = typical_lw_m[shape]
        if abs(point[0]) < street.CROSS_HALF_M + street.SIDEWALK_M + 3 + length / 2:
            return False
        y = side * (street.MAIN_HALF_M - 0.25 - width / 2)
        heading = (0.0 if side < 0 else np.pi) + rng.uniform(-0.02, 0.02)
        return stage.place([Member(shape)], standing(point[0], y, heading), 0.0, "parked")

    for shape in shapes:
        attempt(partial(spot, str(shape)))


def lane(stage: Stage, shape: str) -> tuple[Route, float]:
    """Return a route a vehicle of this shape may take in this kind of scene, and a speed for it."""
    rng = stage.rng
    direction = int(rng.choice([-1, 1]))
    if shape in ("ridden_bicycle", "kick_scooter"):
        return street.main_route(direction, street.CYCLE_Y_M), float(rng.uniform(3.5, 5.5))
    small = shape in CARS or shape.startswith(("ridden", "police"))
    draw = rng.random()
    if small and draw < 0.3:
        side = int(rng.choice([-1, 1]))
        return street.turning_route(direction, side), float(
            rng.uniform(*(street.LEFT_SPEED_MPS if side > 0 else street.RIGHT_SPEED_MPS))
        )
    if stage.kind == "standing" and draw < 0.65:
        return street.cross_route(direction), float(rng.uniform(6, 10))
    if stage.kind == "arterial":
        return street.main_route(direction, float(rng.choice(street.LANES_Y_M))), float(rng.uniform(14.5, 16.5))
    slow = stage.kind in ("left_turn", "right_turn") and direction > 0
    return street.main_route(direction, float(rng.choice(street.LANES_Y_M))), float(
        rng.uniform(4, 7) if slow else rng.uniform(7, 13.5)
    )


def _traffic(stage: Stage) -> None:
    """Moving vehicles, heavy ones first since they need the most room."""
    rng = stage.rng

    def drive(members: list[Member]) -> bool:
        route, speed = lane(stage, members[0].shape)
        time_s, _ = stage.near_ego()
        ego = stage.ego.pose_at(time_s)
        s_then = float(rng.uniform(-75, 75))
        if not 5 < np.linalg.norm(route.pose_at(s_then)[:2] - ego[:2]) < 48:
            return False
        sway = 0.0 if route.segments else float(rng.uniform(0, 0.6))
        motion = Motion(route, s_then - speed * time_s, speed, sway, 0.7, float(rng.uniform(0, 6)))
        return stage.place(members, motion, 0.0, "moving")

    heavy = ["rigid_bus", "bendy_bus" if rng.random() < 0.6 else "rigid_bus", *shuffled(stage, TRUCKS, 2)]
    for shape in heavy:
        attempt(partial(drive, [Member(shape)]), 2 * TRIES)
    attempt(partial(drive, [Member("tractor_unit"), Member("semi_trailer", -9.8)]), 2 * TRIES)
    light = ["ridden_motorcycle", "ridden_bicycle", "ridden_motorcycle", "ridden_bicycle", "police_car"]
    for shape in [*light, *shuffled(stage, CARS, 7)]:
        attempt(partial(drive, [Member(shape)]))


def _queues(stage: Stage) -> None:
    """Vehicles that wait: on the cross road, or behind the ego vehicle where it waits itself."""
    rng = stage.rng
    for shape in shuffled(stage, (*CARS, "ambulance"), 4):

        def wait(shape: str = shape) -> bool:
            direction = int(rng.choice([-1, 1]))
            if stage.kind == "standing":
                lane = float(rng.choice(street.LANES_Y_M))
                motion = Motion(street.main_route(direction, lane), -float(rng.uniform(15, 40)))
            else:
                motion = Motion(street.cross_route(direction), -float(rng.uniform(19, 40)))
            return stage.place([Member(shape)], motion, 0.0, "stopped", 0.8)

        attempt(wait, 40)


def _people(stage: Stage) -> None:
    """People who walk, stand, push and roll on the sidewalks, and some who cross."""
    rng = stage.rng

    def walk(members: list[Member], slowest_mps: float, fastest_mps: float) -> bool:
        speed = float(rng.uniform(slowest_mps, fastest_mps))
        x, y, heading = _on_sidewalk(stage, 1.6, 4.4, 30)
        heading += float(rng.choice([0, np.pi])) + float(rng.uniform(-0.06, 0.06))
        curvature = float(rng.choice([0.0, 1 / 30, -1 / 30]))
        time_s = float(rng.uniform(0, stage.duration_s))
        motion = Motion(Route((x, y, heading), ((6.0, curvature),)), -speed * time_s, speed)
        reach = motion.pose_at(np.array([0.0, stage.duration_s]))
        behind = np.maximum(abs(reach[:, 0]) - street.CROSS_HALF_M, abs(reach[:, 1]) - street.MAIN_HALF_M)
        on_block = (abs(reach[:, 0]) > street.CROSS_HALF_M + 0.5) & (abs(reach[:, 1]) > street.MAIN_HALF_M + 0.5)
        return bool(on_block.all() and (behind > 0).all()) and stage.place(
            members, motion, street.CURB_M, "moving", 0.1
        )

    def stand(shape: str) -> bool:
        x, y, _ = _on_sidewalk(stage, 0.6, 4.2, 26)
        return stage.place([Member(shape)], standing(x, y, float(rng.uniform(-3, 3))), street.CURB_M, "standing", 0.1)

    def cross(shape: str) -> bool:
        x, direction = float(rng.choice([-1, 1])) * rng.uniform(7.2, 9.6), int(rng.choice([-1, 1]))
        speed = float(rng.uniform(1.0, 1.5))
        s0 = float(rng.uniform(-8.5, 8.0 - speed * stage.duration_s))
        return stage.place(
            [Member(shape)], Motion(Route((x, 0.0, direction * np.pi / 2)), s0, speed), 0.0, "moving", 0.2
        )

    for cart in ("stroller", str(rng.choice(("shopping_cart", "wheelbarrow")))):
        pair = [Member("pusher"), Member(cart, 1.35 if cart == "stroller" else 1.75)]
        attempt(partial(walk, pair, 0.8, 1.2))
    attempt(partial(walk, [Member("walking_adult"), Member("dog", 0.5, 0.8)], 0.9, 1.3))
    for shape in ("wheelchair", "kick_scooter", "child", "child", "police_officer"):
        attempt(partial(walk, [Member(shape)], 0.8, 1.4))
    for shape in () if stage.kind == "arterial" else ("walking_adult", "walking_adult", "child"):
        attempt(partial(cross, shape), 60)
    for _ in range(6):
        attempt(partial(walk, [Member("walking_adult")], 0.9, 1.7))
    for shape in ("standing_adult", "standing_adult", "standing_adult", "police_officer"):
        attempt(partial(stand, shape))


def plan_scene(
    name: str,
    kind: str,
    duration_s: float,
    seed: int,
    body: EgoBody = CAR_BODY,
    fill: Callable[[Stage], None] = fill_stage,
) -> ScenePlan:
    """Return the plan of a scene; the same arguments give the same plan in any process."""
    key = f"{seed}/{name}"
    stage = Stage(key, kind, ego_motion(key, kind), duration_s, body)
    fill(stage)
    furniture = street.furniture(key, stage.claim)
    builder = stage.scenery
    for mesh in (street.houses(key), furniture):
        builder.attach(mesh, (0.0, 0.0, 0.0))
    scenery = (street.road_plane(), street.blocks(), builder.build_in_place())
    return ScenePlan(name, kind, duration_s, stage.ego, tuple(stage.things), scenery)
