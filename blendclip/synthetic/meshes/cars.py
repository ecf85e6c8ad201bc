"""Passenger cars, vans, pickups, and those of the police and the ambulance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blendclip.synthetic.meshes.mesh import Color, Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import (
    AMBER,
    BLACK,
    BLUE,
    CAR_PAINTS,
    DARK,
    GLASS,
    LAMP,
    PLATE,
    RED,
    STEEL,
    WHITE,
    pick,
)


@dataclass(frozen=True)
class CarShape:
    """Side view of a car, metres, x measured from the rear bumper as a share of the length."""

    length_m: float
    """Along x."""
    width_m: float
    """Along y."""
    height_m: float
    """From the ground to the roof."""
    bonnet: float
    """Height of the bonnet's rear edge as a share of the height."""
    cowl: float
    """Foot of the windscreen."""
    roof_front: float
    """Where the windscreen meets the roof."""
    roof_rear: float
    """Where the roof meets the rear window."""
    tail: float
    """Foot of the rear window."""
    clearance_m: float = 0.22
    """From the ground to the sill."""
    wheel_m: float = 0.32
    """Radius of a wheel."""


def _vary(rng: np.random.Generator, shape: CarShape) -> CarShape:
    """Return the shape with every dimension changed by a few percent."""
    values = {}
    for name, value in vars(shape).items():
        spread = 0.06 if name.endswith("_m") else 0.025
        values[name] = value * rng.uniform(1 - spread, 1 + spread) if value else value
    return CarShape(**values)


def _hexahedron(low: tuple, high: tuple, half_low: float, half_high: float, z_low: float, z_high: float) -> dict:
    """Return the named corner quads of a cabin: (x_rear, x_front) below and above, half widths and heights."""
    (rear0, front0), (rear1, front1) = low, high
    right0, right1 = (rear0, -half_low, z_low), (front0, -half_low, z_low)
    right2, right3 = (front1, -half_high, z_high), (rear1, -half_high, z_high)
    left0, left1, left2, left3 = [(x, -y, z) for x, y, z in (right0, right1, right2, right3)]
    return {
        "right": (right0, right1, right2, right3),
        "left": (left1, left0, left3, left2),
        "front": (right1, left1, left2, right2),
        "rear": (left0, right0, right3, left3),
        "roof": (right3, right2, left2, left3),
    }


def _cabin(builder: MeshBuilder, quads: dict, paint: Color, doors: int, rear_window: bool = True) -> None:
    """Add the greenhouse: painted pillars and roof, glass between them."""
    for quad in quads.values():
        builder.add(np.array(quad), np.array([[0, 1, 2], [0, 2, 3]]), paint, None)
    builder.pane(quads["front"], (0.05, 0.95), (0.04, 0.93), GLASS, 0.04)
    if rear_window:
        builder.pane(quads["rear"], (0.08, 0.92), (0.1, 0.9), GLASS, 0.04)
    edges = np.linspace(0.05, 0.95, doors + 1)
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        builder.pane(quads["right"], (start + 0.015, end - 0.015), (0.06, 0.88), GLASS, 0.04)
        builder.pane(quads["left"], (1 - end + 0.015, 1 - start - 0.015), (0.06, 0.88), GLASS, 0.04)


def add_axles(builder: MeshBuilder, xs_m: list[float], half_m: float, radius_m: float, width_m: float = 0.22) -> None:
    """Add wheels left and right at each x, in dark arches that show on the body's flank."""
    for x in xs_m:
        for side in (-1, 1):
            builder.tube(
                [(x, side * (half_m - 0.3), radius_m * 1.05), (x, side * (half_m + 0.004), radius_m * 1.05)],
                radius_m * 1.18,
                BLACK,
                16,
                0.05,
            )
            builder.wheel((x, side * (half_m - width_m / 2 + 0.015), radius_m), radius_m, width_m)


def _lights(builder: MeshBuilder, shape: CarShape, half: float, z_front: float, z_rear: float) -> None:
    """Add head and tail lights, grille, bumpers, plates and mirrors."""
    length = shape.length_m
    for side in (-1, 1):
        builder.box((length - 0.07, side * half * 0.68, z_front), (0.16, half * 0.42, 0.14), LAMP, 0.8)
        builder.box((0.05, side * half * 0.78, z_rear), (0.13, half * 0.36, 0.17), RED, 0.7)
        mirror_x = shape.cowl * length - 0.22
        builder.box((mirror_x, side * (half + 0.06), shape.height_m * 0.66), (0.12, 0.16, 0.13), BLACK)
    builder.box((length - 0.03, 0, z_front - 0.03), (0.09, half * 0.8, 0.16), BLACK)
    builder.box((length - 0.02, 0, shape.clearance_m + 0.1), (0.1, half * 1.6, 0.12), DARK)
    builder.box((0.02, 0, shape.clearance_m + 0.1), (0.1, half * 1.6, 0.14), DARK)
    for x in (-0.035, length + 0.035):
        builder.box((x, 0, shape.clearance_m + 0.26), (0.02, 0.5, 0.12), PLATE, 0.95)


def _car(rng: np.random.Generator, shape: CarShape, paint: Color, doors: int = 2) -> MeshBuilder:
    """Assemble a car from its shape: hull, cabin, lights, wheels; rear bumper near x = 0, ground at z = 0."""
    builder = MeshBuilder()
    length, half = shape.length_m, shape.width_m / 2
    sill, belt = shape.clearance_m, shape.bonnet * shape.height_m
    nose = belt * 0.84
    tail_top = belt * (1.0 if shape.tail > 0.06 else 0.98)
    builder.loft(
        [
            (0.0, half * 0.86, sill + 0.12, tail_top * 0.93, 0.05),
            (0.05 * length, half * 0.97, sill, tail_top, 0.06),
            (0.3 * length, half, sill, belt, 0.05),
            (shape.cowl * length, half, sill, belt, 0.06),
            (0.93 * length, half * 0.95, sill, nose + 0.03, 0.09),
            (length, half * 0.8, sill + 0.1, nose - 0.12, 0.08),
        ],
        paint,
    )
    quads = _hexahedron(
        (shape.tail * length, shape.cowl * length),
        (shape.roof_rear * length, shape.roof_front * length),
        half * 0.95,
        half * 0.76,
        belt - 0.01,
        shape.height_m,
    )
    _cabin(builder, quads, paint, doors)
    for side in (-1, 1):
        for handle in (0.34, 0.55):
            builder.box((handle * length, side * half, belt - 0.12), (0.16, 0.03, 0.03), STEEL)
        builder.box((0.48 * length, side * half * 0.99, sill + 0.05), (0.46 * length, 0.03, 0.09), DARK)
    _lights(builder, shape, half, nose - 0.16, tail_top - 0.14)
    add_axles(builder, [0.19 * length, 0.81 * length], half, shape.wheel_m)
    return builder


SEDAN = CarShape(4.7, 1.82, 1.45, 0.63, 0.72, 0.56, 0.28, 0.13)
HATCHBACK = CarShape(4.0, 1.75, 1.5, 0.62, 0.75, 0.58, 0.16, 0.03)
SUV = CarShape(4.7, 1.92, 1.76, 0.61, 0.74, 0.6, 0.1, 0.02, 0.28, 0.37)
MINIVAN = CarShape(4.9, 1.95, 1.8, 0.55, 0.84, 0.64, 0.07, 0.02, 0.2, 0.34)


def sedan(rng: np.random.Generator) -> Mesh:
    """A saloon with a boot, in box frame."""
    return _car(rng, _vary(rng, SEDAN), pick(rng, CAR_PAINTS)).build()


def hatchback(rng: np.random.Generator) -> Mesh:
    """A small car with a steep tail, in box frame."""
    return _car(rng, _vary(rng, HATCHBACK), pick(rng, CAR_PAINTS)).build()


def suv(rng: np.random.Generator) -> Mesh:
    """A tall car with roof rails, in box frame."""
    shape = _vary(rng, SUV)
    builder = _car(rng, shape, pick(rng, CAR_PAINTS), doors=3)
    for side in (-1, 1):
        x_rear, x_front = shape.roof_rear * shape.length_m + 0.1, shape.roof_front * shape.length_m - 0.1
        y, z = side * shape.width_m * 0.34, shape.height_m + 0.04
        builder.tube([(x_rear, y, z), (x_front, y, z)], 0.03, BLACK, 6)
    return builder.build()


def minivan(rng: np.random.Generator) -> Mesh:
    """A family van with a short bonnet, in box frame."""
    return _car(rng, _vary(rng, MINIVAN), pick(rng, CAR_PAINTS), doors=3).build()


def taxi(rng: np.random.Generator) -> Mesh:
    """A yellow saloon with a lit roof sign, in box frame."""
    shape = _vary(rng, SEDAN)
    builder = _car(rng, shape, (246, 190, 24))
    builder.box((0.42 * shape.length_m, 0, shape.height_m + 0.08), (0.22, 0.6, 0.16), LAMP)
    return builder.build()


def convertible(rng: np.random.Generator) -> Mesh:
    """A low car whose dark soft top is a third colour, in box frame."""
    shape = _vary(rng, CarShape(4.3, 1.82, 1.32, 0.66, 0.66, 0.52, 0.36, 0.22))
    builder = _car(rng, shape, pick(rng, CAR_PAINTS), doors=1)
    roof = shape.height_m + 0.005
    middle = (shape.roof_front + shape.roof_rear) / 2 * shape.length_m
    width = shape.width_m * 0.74
    builder.box((middle, 0, roof), ((shape.roof_front - shape.roof_rear) * shape.length_m, width, 0.03), BLACK)
    return builder.build()


def pickup(rng: np.random.Generator) -> Mesh:
    """A pickup truck with a cabin and an open bed, in box frame."""
    builder = MeshBuilder()
    paint = pick(rng, CAR_PAINTS)
    length, half, height = rng.uniform(5.2, 5.9), rng.uniform(0.95, 1.02), rng.uniform(1.78, 1.95)
    shape = CarShape(length, 2 * half, height, 0.6, 0.72, 0.62, 0.42, 0.4, 0.34, 0.4)
    sill, belt, bed = 0.36, 0.6 * height, 0.4 * length
    builder.loft([(bed, half, sill, belt, 0.04), (0.72 * length, half, sill, belt, 0.05),
                  (0.95 * length, half * 0.97, sill, belt * 0.97, 0.08),
                  (length, half * 0.88, sill + 0.05, belt * 0.85, 0.06)], paint)  # fmt: skip
    builder.box((bed / 2, 0, 0.62), (bed, 2 * half * 0.97, 0.3), paint)
    for side in (-1, 1):
        builder.box((bed / 2, side * (half - 0.05), (sill + belt) / 2 + 0.05), (bed, 0.1, belt - sill - 0.1), paint)
    builder.box((0.05, 0, (sill + belt) / 2 + 0.05), (0.1, 2 * half, belt - sill - 0.1), paint)
    builder.box((bed / 2, 0, 0.78), (bed - 0.2, 2 * half - 0.22, 0.04), DARK)
    quads = _hexahedron(
        (0.4 * length, 0.73 * length), (0.42 * length, 0.62 * length), half * 0.95, half * 0.8, belt, height
    )
    _cabin(builder, quads, paint, 2)
    if rng.random() < 0.6:
        builder.box((bed * 0.55, 0, 1.0), (bed * 0.5, half * 1.2, 0.45), pick(rng, [(150, 110, 70), (90, 96, 104)]))
    _lights(builder, shape, half, belt * 0.72, belt - 0.16)
    add_axles(builder, [0.2 * length, 0.82 * length], half, 0.4, 0.26)
    return builder.build()


def van_builder(rng: np.random.Generator, paint: Color, length_m: float, height_m: float, windows: bool) -> MeshBuilder:
    """Assemble a tall one-box van; rear at x = 0, ground at z = 0."""
    builder = MeshBuilder()
    half, belt = 1.0, 1.25
    cowl, brow = length_m - 0.75, length_m - 1.6
    builder.loft([(0, half * 0.97, 0.35, belt, 0.02), (cowl, half, 0.25, belt, 0.04),
                  (length_m - 0.06, half * 0.93, 0.3, belt * 0.82, 0.08),
                  (length_m, half * 0.86, 0.4, belt * 0.7, 0.06)], paint)  # fmt: skip
    quads = _hexahedron((0.0, cowl), (0.06, brow), half * 0.98, half * 0.86, belt - 0.01, height_m)
    for quad in quads.values():
        builder.add(np.array(quad), np.array([[0, 1, 2], [0, 2, 3]]), paint, None)
    builder.pane(quads["front"], (0.06, 0.94), (0.05, 0.72), GLASS, 0.04)
    for edge in (0.28, 0.72):
        builder.pane(quads["rear"], (edge - 0.18, edge + 0.18), (0.35, 0.8), GLASS, 0.04)
    spans = [(0.06, 0.3), (0.33, 0.56), (0.59, 0.95)] if windows else [(0.74, 0.95)]
    for start, end in spans:
        builder.pane(quads["right"], (start, end), (0.08, 0.62), GLASS, 0.04)
        builder.pane(quads["left"], (1 - end, 1 - start), (0.08, 0.62), GLASS, 0.04)
    shape = CarShape(length_m, 2 * half, 1.9, 0.6, cowl / length_m, 0.6, 0.1, 0.02, 0.3, 0.35)
    _lights(builder, shape, half, 0.85, 1.05)
    for side in (-1, 1):
        builder.box((length_m * 0.45, side * half * 0.995, 0.95), (0.02, 0.03, 1.0), DARK)
        builder.box((length_m * 0.35, side * half, 1.1), (length_m * 0.4, 0.02, 0.04), DARK)
    add_axles(builder, [0.2 * length_m, 0.8 * length_m], half, 0.36)
    return builder


def van(rng: np.random.Generator) -> Mesh:
    """A delivery or passenger van, in box frame."""
    paint = pick(rng, [WHITE, (206, 208, 210), (40, 70, 130), (180, 30, 30), (96, 100, 104), (230, 180, 40)])
    return van_builder(rng, paint, rng.uniform(5.0, 5.9), rng.uniform(2.0, 2.5), rng.random() < 0.4).build()


def police_car(rng: np.random.Generator) -> Mesh:
    """A black and white patrol car with a red and blue light bar, in box frame."""
    shape = _vary(rng, SEDAN if rng.random() < 0.5 else SUV)
    builder = _car(rng, shape, (26, 28, 34))
    length, half, belt = shape.length_m, shape.width_m / 2, shape.bonnet * shape.height_m
    for side in (-1, 1):
        builder.box((0.48 * length, side * (half + 0.006), belt * 0.7), (0.34 * length, 0.02, belt * 0.55), WHITE)
        builder.box((0.48 * length, side * (half + 0.014), belt * 0.72), (0.2 * length, 0.02, 0.14), BLUE)
    roof_x, roof_z = (shape.roof_front + shape.roof_rear) / 2 * length, shape.height_m
    builder.box((roof_x, 0, roof_z + 0.005), (length * 0.2, half * 1.4, 0.03), WHITE)
    for side, color in ((-1, BLUE), (1, RED)):
        builder.box((roof_x, side * half * 0.34, roof_z + 0.1), (0.28, half * 0.64, 0.15), color, 0.8)
    return builder.build()


def ambulance(rng: np.random.Generator) -> Mesh:
    """A white van-cab ambulance with a red stripe, crosses and beacons, in box frame."""
    length = rng.uniform(5.9, 6.6)
    builder = van_builder(rng, WHITE, length, 2.35, False)
    back, height = 0.66 * length, rng.uniform(2.6, 2.85)
    builder.box((back / 2, 0, (0.55 + height) / 2), (back, 2.16, height - 0.55), WHITE)
    for side in (-1, 1):
        y = side * 1.09
        builder.box((back / 2, y, 1.15), (back, 0.02, 0.28), RED)
        builder.box((length * 0.8, side * 1.0, 1.1), (0.3 * length, 0.03, 0.2), RED)
        for size in ((0.6, 0.2), (0.2, 0.6)):
            builder.box((back * 0.5, y, 1.95), (size[0], 0.03, size[1]), RED)
        builder.box((back * 0.85, y, 2.05), (0.5, 0.02, 0.4), GLASS, 0.04)
        for x in (back - 0.15, 0.12):
            builder.box((x, side * 0.8, height + 0.07), (0.22, 0.42, 0.15), BLUE if x > 1 else RED, 0.8)
        builder.box((-0.01, side * 0.5, 1.9), (0.04, 0.55, 0.5), GLASS, 0.04)
    builder.box((-0.01, 0, 0.95), (0.04, 2.1, 0.3), RED)
    builder.box((0.0, 0, 0.62), (0.06, 2.0, 0.14), AMBER)
    return builder.build()
