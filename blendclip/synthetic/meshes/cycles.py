"""Bicycles and motorcycles, parked or ridden, the bicycle rack and the kick scooter."""

from __future__ import annotations

import numpy as np

from blendclip.synthetic.meshes.mesh import Color, Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import BLACK, CAR_PAINTS, DARK, GLASS, LAMP, RED, STEEL, pick
from blendclip.synthetic.meshes.people import Look, add_head, add_limb, add_torso, random_look


def _spoked_wheel(builder: MeshBuilder, x: float, y: float, radius: float) -> None:
    """Add a thin bicycle wheel: tyre as a ring, hub and six spokes."""
    angle = np.linspace(0, 2 * np.pi, 19)
    rim = np.column_stack([x + radius * np.cos(angle), np.full(19, y), radius + radius * np.sin(angle)])
    builder.tube(rim * [1, 1, 0.97] + [0, 0, 0.03 * radius], 0.028, BLACK, 5, 0.06)
    builder.tube([(x, y - 0.05, radius), (x, y + 0.05, radius)], 0.035, STEEL, 6)
    for a in angle[:18:3]:
        end = (x + 0.93 * radius * np.cos(a), y, radius + 0.93 * radius * np.sin(a))
        builder.tube([(x, y, radius), end], 0.008, STEEL, 3)


def add_bicycle(builder: MeshBuilder, paint: Color, y: float = 0.0, radius: float = 0.34, basket: bool = False) -> None:
    """Add a bicycle standing on z = 0, rear hub at x = -0.52, front hub at x = 0.52."""
    crank, seat, head = (-0.08, y, 0.3), (-0.26, y, 0.88), (0.36, y, 0.88)
    for x in (-0.52, 0.52):
        _spoked_wheel(builder, x, y, radius)
    for start, end in [(crank, seat), (crank, head), ((-0.22, y, 0.8), (0.35, y, 0.84)), ((-0.52, y, radius), crank),
                       ((-0.52, y, radius), (-0.22, y, 0.78)), ((0.33, y, 0.97), (0.52, y, radius))]:  # fmt: skip
        builder.tube([start, end], 0.024, paint, 6)
    builder.box((-0.28, y, 0.92), (0.26, 0.14, 0.06), BLACK)
    builder.tube([(0.33, y, 0.95), (0.31, y, 1.04)], 0.018, STEEL, 5)
    builder.tube(
        [(0.2, y - 0.28, 1.04), (0.33, y - 0.1, 1.04), (0.33, y + 0.1, 1.04), (0.2, y + 0.28, 1.04)], 0.02, BLACK, 5
    )
    builder.tube([(-0.08, y - 0.06, 0.3), (-0.08, y + 0.06, 0.3)], 0.09, DARK, 8)
    for side in (-1, 1):
        builder.box((-0.08 + side * 0.12, y + side * 0.12, 0.3 - side * 0.1), (0.1, 0.08, 0.03), BLACK)
    builder.box((-0.66, y, 0.72), (0.03, 0.06, 0.06), RED, 0.9)
    if basket:
        builder.box((0.52, y, 0.92), (0.28, 0.34, 0.22), (150, 116, 74))


def bicycle(rng: np.random.Generator) -> Mesh:
    """A parked bicycle, in box frame."""
    builder = MeshBuilder()
    add_bicycle(builder, pick(rng, CAR_PAINTS), radius=rng.uniform(0.32, 0.36), basket=rng.random() < 0.3)
    return builder.build()


def _add_rider(
    builder: MeshBuilder, look: Look, hip: tuple, shoulder: tuple, hands_x: float, hands: tuple, feet: list
) -> None:
    """Add a seated person: hip and shoulder centres, hands (y, z) at hands_x, feet as two points."""
    add_torso(builder, look, hip, shoulder)
    for side, foot in zip((-1, 1), feet, strict=True):
        start = np.array([hip[0], side * 0.1, hip[2]])
        knee = (start + np.array(foot)) / 2 + np.array([0.24, 0, 0.12])
        add_limb(builder, [start, knee, foot], [0.095, 0.07, 0.05], look.trousers)
        builder.box((foot[0] + 0.06, foot[1], foot[2] - 0.02), (0.26, 0.1, 0.09), look.shoes)
        arm = np.array([shoulder[0], side * 0.2, shoulder[2] - 0.03])
        hand = np.array([hands_x, side * hands[0], hands[1]])
        elbow = (arm + hand) / 2 + np.array([-0.03, side * 0.05, -0.1])
        add_limb(builder, [arm, elbow, hand], [0.06, 0.05, 0.04], look.shirt)
        builder.ellipsoid(hand, 0.05, look.skin, 6)
    add_head(builder, look, (shoulder[0] + 0.08, 0, shoulder[2] + 0.24))


def ridden_bicycle(rng: np.random.Generator) -> Mesh:
    """A bicycle with a pedalling rider, in box frame."""
    builder = MeshBuilder()
    add_bicycle(builder, pick(rng, CAR_PAINTS), basket=rng.random() < 0.3)
    look = random_look(rng, headgear="bike_helmet" if rng.random() < 0.7 else None)
    lean = rng.uniform(0.12, 0.3)
    feet = [(-0.2, -0.13, 0.22), (0.04, 0.13, 0.42)]
    _add_rider(builder, look, (-0.26, 0, 1.0), (-0.26 + lean + 0.1, 0, 1.5 - lean / 3), 0.22, (0.26, 1.08), feet)
    if rng.random() < 0.4:
        builder.box((-0.26 + lean - 0.12, 0, 1.3), (0.18, 0.3, 0.42), pick(rng, CAR_PAINTS))
    return builder.build()


def _add_motorcycle(builder: MeshBuilder, paint: Color, scooter: bool) -> None:
    """Add a motorcycle or a motor scooter standing on z = 0."""
    radius, axle = (0.25, 0.62) if scooter else (0.32, 0.72)
    for x in (-axle, axle):
        builder.wheel((x, 0, radius), radius, 0.15)
    builder.tube([(axle, 0.1, radius), (axle - 0.25, 0.08, 0.95)], 0.035, STEEL, 6)
    builder.tube([(axle, -0.1, radius), (axle - 0.25, -0.08, 0.95)], 0.035, STEEL, 6)
    builder.tube([(axle - 0.4, -0.38, 1.05), (axle - 0.27, 0, 1.0), (axle - 0.4, 0.38, 1.05)], 0.025, BLACK, 6)
    builder.ellipsoid((axle - 0.1, 0, 0.9), (0.12, 0.12, 0.12), LAMP, 8)
    builder.box((-axle - 0.12, 0, 0.72), (0.08, 0.2, 0.08), RED, 0.9)
    builder.box((axle - 0.02, 0, 2 * radius + 0.04), (0.42, 0.16, 0.04), paint)
    for side in (-1, 1):
        builder.tube([(axle - 0.35, side * 0.3, 1.05), (axle - 0.35, side * 0.36, 1.25)], 0.015, BLACK, 4)
        builder.box((axle - 0.35, side * 0.38, 1.28), (0.04, 0.15, 0.1), GLASS)
    if scooter:
        builder.box((axle - 0.3, 0, 0.62), (0.1, 0.44, 0.65), paint)
        builder.box((0.05, 0, 0.3), (0.6, 0.36, 0.1), paint)
        builder.loft(
            [(-0.95, 0.12, 0.4, 0.72, 0.05), (-0.5, 0.2, 0.3, 0.75, 0.05), (-0.15, 0.2, 0.3, 0.72, 0.05)], paint
        )
        builder.box((-0.5, 0, 0.8), (0.75, 0.28, 0.1), BLACK)
        return
    builder.box((0, 0, 0.45), (0.5, 0.32, 0.4), (96, 98, 102))
    builder.ellipsoid((0.2, 0, 0.84), (0.34, 0.18, 0.17), paint, 12)
    builder.loft(
        [(-0.85, 0.06, 0.78, 0.9, 0.03), (-0.45, 0.14, 0.68, 0.86, 0.04), (0.0, 0.12, 0.68, 0.84, 0.04)], BLACK
    )
    builder.loft([(-0.9, 0.06, 0.66, 0.8, 0.02), (-0.3, 0.16, 0.55, 0.74, 0.03)], paint)
    builder.tube([(0.1, -0.2, 0.3), (-0.4, -0.22, 0.3), (-0.85, -0.22, 0.42)], 0.06, STEEL, 8)
    builder.tube([(-0.72, 0.08, radius), (-0.1, 0.08, 0.45)], 0.04, DARK, 6)


def motorcycle(rng: np.random.Generator) -> Mesh:
    """A parked motorcycle, in box frame."""
    builder = MeshBuilder()
    _add_motorcycle(builder, pick(rng, CAR_PAINTS), scooter=False)
    return builder.build()


def motor_scooter(rng: np.random.Generator) -> Mesh:
    """A parked motor scooter, in box frame."""
    builder = MeshBuilder()
    _add_motorcycle(builder, pick(rng, CAR_PAINTS), scooter=True)
    return builder.build()


def ridden_motorcycle(rng: np.random.Generator) -> Mesh:
    """A motorcycle or motor scooter with a helmeted rider, in box frame."""
    builder = MeshBuilder()
    scooter = bool(rng.random() < 0.4)
    _add_motorcycle(builder, pick(rng, CAR_PAINTS), scooter)
    look = random_look(rng, headgear="full_helmet")
    foot_x, foot_z = (0.15, 0.38) if scooter else (-0.05, 0.36)
    feet = [(foot_x, -0.22, foot_z), (foot_x, 0.22, foot_z)]
    _add_rider(builder, look, (-0.35, 0, 0.95), (-0.18, 0, 1.48), 0.3, (0.34, 1.06), feet)
    return builder.build()


def kick_scooter(rng: np.random.Generator) -> Mesh:
    """A person standing on a kick scooter, in box frame."""
    builder = MeshBuilder()
    for x in (-0.42, 0.45):
        builder.wheel((x, 0, 0.1), 0.1, 0.05)
    builder.box((-0.02, 0, 0.15), (0.75, 0.16, 0.05), DARK)
    builder.tube([(0.45, 0, 0.12), (0.36, 0, 1.08)], 0.03, pick(rng, CAR_PAINTS), 6)
    builder.tube([(0.35, -0.24, 1.08), (0.35, 0.24, 1.08)], 0.022, BLACK, 6)
    look = random_look(rng, headgear="bike_helmet" if rng.random() < 0.5 else None)
    add_torso(builder, look, (-0.08, 0, 1.02), (-0.04, 0, 1.55))
    for side, x in ((-1, 0.08), (1, -0.22)):
        add_limb(
            builder,
            [(-0.08, side * 0.09, 1.02), (x + 0.03, side * 0.07, 0.6), (x, side * 0.04, 0.2)],
            [0.09, 0.065, 0.05],
            look.trousers,
        )
        builder.box((x + 0.06, side * 0.05, 0.21), (0.26, 0.09, 0.08), look.shoes)
        add_limb(
            builder,
            [(-0.04, side * 0.2, 1.5), (0.08, side * 0.28, 1.25), (0.33, side * 0.2, 1.1)],
            [0.06, 0.05, 0.04],
            look.shirt,
        )
    add_head(builder, look, (0.0, 0, 1.8))
    return builder.build()


def bicycle_rack(rng: np.random.Generator) -> Mesh:
    """A row of steel hoops with bicycles parked between them, in box frame (the bicycles stand along x)."""
    builder = MeshBuilder()
    count = int(rng.integers(4, 6))
    for k in range(count):
        y = 0.65 * k
        builder.tube(
            [(-0.3, y, 0), (-0.3, y, 0.75), (-0.2, y, 0.85), (0.2, y, 0.85), (0.3, y, 0.75), (0.3, y, 0)],
            0.03,
            STEEL,
            6,
        )
        if rng.random() < 0.75:
            add_bicycle(builder, pick(rng, CAR_PAINTS), y=y + 0.2, basket=rng.random() < 0.3)
    for x in (-0.3, 0.3):
        builder.box((x, 0.325 * (count - 1), 0.02), (0.08, 0.65 * count, 0.04), STEEL)
    return builder.build()
