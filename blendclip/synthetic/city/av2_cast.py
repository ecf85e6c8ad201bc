"""The things of a scene of cityav2: all that a car's scene has, signs, a deer, and what traffic seldom has."""

from __future__ import annotations

from collections.abc import Sequence

from blendclip.synthetic.city import street
from blendclip.synthetic.city.cast import attempt, fill_stage
from blendclip.synthetic.city.motion import Motion
from blendclip.synthetic.city.plan import Member, Stage
from blendclip.synthetic.city.truck_cast import place_deer, place_signs

KINDS = ("left_turn", "straight", "standing", "right_turn", "cruising")
SELDOM = (
    (Member("tractor_unit"), Member("semi_trailer", -9.8)),
    (Member("bendy_bus"),),
    (Member("box_truck"),),
)
"""Vehicles that are in every scene, be they rare in traffic."""


def fill_av2_stage(stage: Stage) -> None:
    """Place what is long or seldom first, since it needs the most room, then the rest."""
    for members in SELDOM:
        _drive(stage, members)
    place_signs(stage)
    fill_stage(stage)
    place_deer(stage)


def _drive(stage: Stage, members: Sequence[Member]) -> None:
    """A vehicle with what it tows, on a left lane of the main road."""

    def drive() -> bool:
        direction = int(stage.rng.choice([-1, 1]))
        time_s, (x, _) = stage.near_ego(60)
        speed = float(stage.rng.uniform(6, 9))
        motion = Motion(street.main_route(direction, street.LANES_Y_M[0]), direction * x - speed * time_s, speed)
        return stage.place(list(members), motion, 0.0, "moving")

    attempt(drive)
