"""Trucks, trailers, buses and construction machines."""

from __future__ import annotations

import numpy as np

from blendclip.synthetic.meshes.cars import add_axles
from blendclip.synthetic.meshes.mesh import Color, Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import (
    AMBER,
    BLACK,
    CAR_PAINTS,
    DARK,
    GLASS,
    LAMP,
    ORANGE,
    PLATE,
    RED,
    STEEL,
    WHITE,
    YELLOW,
    pick,
)

CAB_PAINTS: tuple[Color, ...] = (
    (200, 30, 34),
    (236, 236, 232),
    (30, 72, 150),
    (34, 110, 70),
    (240, 150, 30),
    (80, 84, 90),
)
BUS_PAINTS: tuple[Color, ...] = ((200, 36, 40), (30, 92, 170), (240, 236, 226), (36, 130, 84), (240, 170, 30))


def _cab(builder: MeshBuilder, x_m: float, length_m: float, half_m: float, height_m: float, paint: Color) -> None:
    """Add a cab-over cabin whose rear wall is at x_m, with windscreen, lamps, mirrors and grille."""
    front = x_m + length_m
    builder.loft(
        [
            (x_m, half_m, 0.55, height_m, 0.1),
            (front - 0.35, half_m, 0.5, height_m, 0.12),
            (front, half_m * 0.93, 0.5, height_m * 0.97, 0.3),
        ],
        paint,
    )
    low, high = 0.56 * height_m, 0.86 * height_m
    builder.box((front - 0.02, 0, (low + high) / 2), (0.08, half_m * 1.72, high - low), GLASS, 0.04)
    builder.box((front, 0, low * 0.62), (0.08, half_m * 1.3, low * 0.42), BLACK)
    builder.box((front - 0.05, 0, 0.48), (0.25, half_m * 1.9, 0.3), DARK)
    for side in (-1, 1):
        builder.box((front - 0.75, side * half_m, (low + high) / 2), (0.75, 0.04, (high - low) * 0.9), GLASS, 0.04)
        builder.box((front + 0.01, side * half_m * 0.72, 0.72), (0.08, 0.34, 0.2), LAMP, 0.8)
        builder.box((front - 0.1, side * (half_m + 0.14), (low + high) / 2), (0.1, 0.16, 0.5), BLACK)
    builder.box((front + 0.09, 0, 0.45), (0.02, 0.5, 0.13), PLATE, 0.95)


def _chassis(builder: MeshBuilder, length_m: float, half_m: float) -> None:
    """Add the frame under the load, tail lights and the rear guard; rear at x = 0."""
    builder.box((length_m / 2, 0, 0.82), (length_m, 0.9, 0.22), DARK)
    builder.box((0.05, 0, 0.55), (0.1, 2 * half_m * 0.92, 0.14), STEEL)
    for side in (-1, 1):
        builder.box((0.03, side * half_m * 0.8, 0.78), (0.1, 0.4, 0.16), RED, 0.7)
        builder.box((length_m * 0.5, side * half_m * 0.85, 0.7), (length_m * 0.22, 0.3, 0.45), DARK)


def _truck(rng: np.random.Generator, length_m: float) -> tuple[MeshBuilder, float, float]:
    """Begin a rigid truck: chassis, cab, wheels; return it with the length left for the load and the half width."""
    builder = MeshBuilder()
    half = rng.uniform(1.15, 1.27)
    cab = rng.uniform(1.8, 2.2)
    _chassis(builder, length_m - cab, half)
    _cab(builder, length_m - cab, cab, half, rng.uniform(2.5, 3.0), pick(rng, CAB_PAINTS))
    rear_axles = [0.2 * length_m] if length_m < 8 else [0.15 * length_m, 0.15 * length_m + 1.3]
    add_axles(builder, [*rear_axles, length_m - 1.0], half, 0.5, 0.32)
    return builder, length_m - cab - 0.15, half


def box_truck(rng: np.random.Generator) -> Mesh:
    """A delivery truck with a closed box and a coloured stripe, in box frame."""
    builder, load, half = _truck(rng, rng.uniform(6.5, 9.5))
    height = rng.uniform(3.1, 3.7)
    body = pick(rng, [WHITE, (220, 222, 224), (60, 100, 170), (230, 200, 60), (190, 60, 50)])
    builder.box((load / 2, 0, (0.95 + height) / 2), (load, 2 * half, height - 0.95), body)
    stripe = pick(rng, CAB_PAINTS)
    for side in (-1, 1):
        builder.box((load / 2, side * half, 2.0), (load * 0.8, 0.03, 0.5), stripe)
    builder.box((-0.01, 0, (0.95 + height) / 2), (0.03, 0.04, height - 1.1), BLACK)
    builder.box((-0.01, 0, 1.1), (0.03, 2 * half - 0.1, 0.08), RED)
    return builder.build()


def flatbed_truck(rng: np.random.Generator) -> Mesh:
    """A truck with low boards and a load of crates or pipes, in box frame."""
    builder, load, half = _truck(rng, rng.uniform(6.5, 9.0))
    builder.box((load / 2, 0, 1.05), (load, 2 * half, 0.16), (120, 90, 60))
    boards = pick(rng, [(60, 100, 60), (150, 150, 154), (40, 80, 140)])
    for side in (-1, 1):
        builder.box((load / 2, side * (half - 0.03), 1.3), (load, 0.06, 0.4), boards)
    builder.box((0.03, 0, 1.3), (0.06, 2 * half, 0.4), boards)
    builder.box((load - 0.05, 0, 1.8), (0.1, 2 * half, 1.3), boards)
    if rng.random() < 0.5:
        for row, count in enumerate((5, 4, 3)):
            for k in range(count):
                y, z = (k - (count - 1) / 2) * 0.38, 1.32 + row * 0.33
                builder.tube([(0.3, y, z), (load - 0.4, y, z)], 0.18, (170, 120, 80), 8)
    else:
        for x in np.arange(0.8, load - 0.8, 1.3):
            builder.box(
                (x, rng.uniform(-0.1, 0.1), 1.6), (1.1, 1.7, rng.uniform(0.7, 1.1)), pick(rng, [(176, 138, 88)])
            )
    return builder.build()


def tanker_truck(rng: np.random.Generator) -> Mesh:
    """A truck with a long shiny tank, in box frame."""
    builder, load, half = _truck(rng, rng.uniform(8.0, 10.0))
    color = pick(rng, [(206, 210, 214), WHITE, (220, 120, 40)])
    xs = [0.05, 0.15, load - 0.2, load - 0.05]
    builder.tube([(x, 0, 2.05) for x in xs], [0.85, 1.05, 1.05, 0.85], color, 18, 0.6)
    for x in (0.25 * load, 0.5 * load, 0.75 * load):
        builder.tube([(x - 0.03, 0, 2.05), (x + 0.03, 0, 2.05)], 1.08, STEEL, 18)
        builder.tube([(x, 0, 3.05), (x, 0, 3.25)], 0.25, DARK, 10)
    builder.box((load / 2, 0, 1.0), (load * 0.95, 2 * half * 0.8, 0.14), DARK)
    return builder.build()


def dump_truck(rng: np.random.Generator) -> Mesh:
    """A tipper with a ribbed open body full of earth, in box frame."""
    builder, load, half = _truck(rng, rng.uniform(7.0, 8.5))
    paint = pick(rng, [(230, 150, 30), (190, 40, 36), (60, 110, 160)])
    for side in (-1, 1):
        builder.box((load / 2, side * (half - 0.04), 1.75), (load, 0.08, 1.4), paint)
        for x in np.linspace(0.2, load - 0.2, 6):
            builder.box((x, side * half, 1.75), (0.1, 0.1, 1.4), paint)
    builder.box((load / 2, 0, 1.1), (load, 2 * half, 0.12), paint)
    builder.box((0.05, 0, 1.75), (0.1, 2 * half, 1.4), paint)
    builder.box((load + 0.3, 0, 2.35), (0.75, 2 * half, 0.1), paint)
    builder.box((load - 0.04, 0, 1.8), (0.08, 2 * half, 1.5), paint)
    builder.ellipsoid((load / 2, 0, 2.1), (load * 0.47, half * 0.9, 0.75), (108, 82, 56), 12)
    return builder.build()


def tractor_unit(rng: np.random.Generator) -> Mesh:
    """The pulling half of a semi-trailer truck, in box frame."""
    builder = MeshBuilder()
    half, length, paint = 1.25, rng.uniform(5.6, 6.2), pick(rng, CAB_PAINTS)
    _chassis(builder, length - 2.2, half)
    _cab(builder, length - 2.2, 2.2, half, rng.uniform(3.2, 3.7), paint)
    builder.box((1.5, 0, 1.02), (1.3, 0.9, 0.14), BLACK)
    for side in (-1, 1):
        builder.tube([(length - 2.4, side * 1.0, 0.8), (length - 2.4, side * 1.0, 3.2)], 0.09, STEEL, 8)
    add_axles(builder, [0.7, 2.0, length - 1.2], half, 0.52, 0.36)
    return builder.build()


def semi_trailer(rng: np.random.Generator) -> Mesh:
    """A closed or curtain-sided semi-trailer without its tractor, in box frame."""
    return box_trailer(rng, rng.uniform(8.5, 12.5))


def box_trailer(rng: np.random.Generator, length: float) -> Mesh:
    """A closed semi-trailer of this length in metres, in box frame."""
    builder = MeshBuilder()
    half, height = 1.27, rng.uniform(3.6, 3.95)
    color = pick(rng, [WHITE, (200, 204, 208), (36, 80, 150), (180, 40, 40), (40, 110, 80)])
    builder.box((length / 2, 0, (1.15 + height) / 2), (length, 2 * half, height - 1.15), color)
    for side in (-1, 1):
        for x in np.linspace(0.05, length - 0.05, 10):
            builder.box((x, side * half, (1.15 + height) / 2), (0.07, 0.04, height - 1.2), STEEL)
        builder.box((0.68 * length, side * 0.75, 0.6), (0.14, 0.14, 1.15), STEEL)
        builder.box((0.68 * length, side * 0.75, 0.05), (0.3, 0.3, 0.08), DARK)
        builder.box((0.02, side * 0.95, 0.95), (0.12, 0.5, 0.16), RED, 0.7)
        builder.box((0.45 * length, side * half * 0.97, 0.85), (0.3 * length, 0.05, 0.5), DARK)
    builder.box((length / 2, 0, 1.05), (length, 1.1, 0.2), DARK)
    builder.box((0.05, 0, 0.6), (0.1, 2.3, 0.14), WHITE)
    builder.box((-0.01, 0, (1.15 + height) / 2), (0.03, 0.05, height - 1.3), BLACK)
    add_axles(builder, [1.2, 2.5, 3.8], half, 0.5, 0.36)
    return builder.build()


def utility_trailer(rng: np.random.Generator) -> Mesh:
    """A small open trailer with a drawbar, in box frame."""
    builder = MeshBuilder()
    length, half = rng.uniform(2.6, 3.6), rng.uniform(0.8, 0.95)
    boards = pick(rng, [(130, 134, 138), (150, 110, 70), (60, 90, 60)])
    builder.box((length / 2, 0, 0.6), (length, 2 * half, 0.1), DARK)
    for side in (-1, 1):
        builder.box((length / 2, side * half, 0.82), (length, 0.05, 0.45), boards)
        builder.tube([(length, side * half * 0.8, 0.55), (length + 1.3, 0, 0.5)], 0.05, STEEL, 6)
        builder.box((0.0, side * half * 0.75, 0.5), (0.08, 0.3, 0.14), RED, 0.7)
    for x in (0.0, length):
        builder.box((x, 0, 0.82), (0.05, 2 * half, 0.45), boards)
    builder.tube([(length + 1.0, 0, 0.02), (length + 1.0, 0, 0.55)], 0.05, STEEL, 6)
    builder.box((length * 0.45, 0, 0.95), (length * 0.6, half * 1.3, 0.5), pick(rng, [(176, 138, 88), (90, 120, 70)]))
    add_axles(builder, [length * 0.45], half + 0.2, 0.3, 0.2)
    return builder.build()


def _bus_section(
    builder: MeshBuilder, x0: float, x1: float, half: float, height: float, paint: Color, roof: Color
) -> None:
    """Add one rigid section of a bus from x0 to x1 with its band of side windows."""
    builder.loft(
        [
            (x0, half * 0.97, 0.3, height, 0.14),
            (x0 + 0.2, half, 0.28, height, 0.14),
            (x1 - 0.2, half, 0.28, height, 0.14),
            (x1, half * 0.96, 0.3, height * 0.985, 0.2),
        ],
        paint,
    )
    builder.box(((x0 + x1) / 2, 0, height), ((x1 - x0) * 0.94, half * 1.6, 0.06), roof)
    count = max(int((x1 - x0) / 1.45), 2)
    edges = np.linspace(x0 + 0.3, x1 - 0.35, count + 1)
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        for side in (-1, 1):
            builder.box(
                ((start + end) / 2, side * half, 0.62 * height), (end - start - 0.12, 0.035, 0.36 * height), GLASS, 0.04
            )
    for side in (-1, 1):
        builder.box(((x0 + x1) / 2, side * half, 0.34), ((x1 - x0) * 0.96, 0.03, 0.2), DARK)


def _bus_ends(builder: MeshBuilder, length: float, half: float, height: float) -> None:
    """Add windscreen, destination sign, lamps, doors and mirrors to a bus from x = 0 to length."""
    builder.box((length, 0, 0.55 * height), (0.06, half * 1.78, 0.46 * height), GLASS, 0.04)
    builder.box((length + 0.01, 0, 0.87 * height), (0.06, half * 1.4, 0.22), (255, 170, 40))
    builder.box((0, 0, 0.66 * height), (0.05, half * 1.5, 0.28 * height), GLASS, 0.04)
    for side in (-1, 1):
        builder.box((length + 0.01, side * half * 0.72, 0.62), (0.06, 0.4, 0.18), LAMP, 0.8)
        builder.box((-0.01, side * half * 0.8, 0.8), (0.06, 0.25, 0.45), RED, 0.7)
        builder.box((length + 0.1, side * (half + 0.08), 0.7 * height), (0.14, 0.14, 0.4), BLACK)
    for x in (length - 0.75, length * 0.45):
        builder.box((x, -half, 0.42 * height), (1.15, 0.05, 0.66 * height), (24, 32, 40), 0.05)
        builder.box((x, -half - 0.02, 0.42 * height), (0.05, 0.04, 0.66 * height), STEEL)
    builder.box((length + 0.01, 0, 0.4), (0.08, half * 1.8, 0.14), DARK)


def rigid_bus(rng: np.random.Generator) -> Mesh:
    """A city bus, or now and then a yellow school bus, in box frame."""
    builder = MeshBuilder()
    length, half, height = rng.uniform(10.5, 12.2), rng.uniform(1.24, 1.28), rng.uniform(3.0, 3.3)
    paint = pick(rng, BUS_PAINTS)
    _bus_section(builder, 0, length, half, height, paint, WHITE)
    _bus_ends(builder, length, half, height)
    builder.box((length * 0.3, 0, height + 0.14), (2.0, 1.6, 0.26), (200, 202, 204))
    add_axles(builder, [0.24 * length, 0.77 * length], half, 0.48, 0.3)
    return builder.build()


def bendy_bus(rng: np.random.Generator) -> Mesh:
    """An articulated bus with a dark bellows between its two sections, in box frame."""
    builder = MeshBuilder()
    length, half, height = rng.uniform(16.5, 18.0), 1.27, rng.uniform(3.05, 3.25)
    paint, joint = pick(rng, BUS_PAINTS), 0.4 * length
    _bus_section(builder, 0, joint - 0.6, half, height, paint, WHITE)
    _bus_section(builder, joint + 0.6, length, half, height, paint, WHITE)
    for k in range(8):
        builder.box((joint - 0.56 + 0.16 * k, 0, 1.72), (0.1, 2 * half - 0.04, height - 0.55), (34, 34, 38))
    builder.box((joint, 0, 1.7), (1.3, 2 * half - 0.25, height - 0.75), (50, 50, 54))
    _bus_ends(builder, length, half, height)
    add_axles(builder, [0.14 * length, 0.52 * length, 0.86 * length], half, 0.48, 0.3)
    return builder.build()


def _tracks(builder: MeshBuilder, length: float, half: float) -> None:
    """Add two crawler tracks with their rollers."""
    for side in (-1, 1):
        outline = [
            (-length / 2 + 0.3, 0),
            (length / 2 - 0.3, 0),
            (length / 2, 0.4),
            (length / 2 - 0.3, 0.8),
            (-length / 2 + 0.3, 0.8),
            (-length / 2, 0.4),
        ]
        builder.prism(outline, side * half - 0.25, side * half + 0.25, (44, 42, 40))
        for x in np.linspace(-length / 2 + 0.4, length / 2 - 0.4, 5):
            builder.tube([(x, side * half - 0.27, 0.4), (x, side * half + 0.27, 0.4)], 0.22, (96, 92, 86), 8)


def _operator_cab(builder: MeshBuilder, center: tuple, size: tuple, paint: Color) -> None:
    """Add a glazed cabin: painted frame, glass on all sides, an amber beacon."""
    x, y, z = center
    builder.box(center, size, GLASS, 0.04)
    for dx in (-0.5, 0.5):
        for dy in (-0.5, 0.5):
            builder.box((x + dx * size[0], y + dy * size[1], z), (0.1, 0.1, size[2]), paint)
    builder.box((x, y, z + size[2] / 2 + 0.04), (size[0] + 0.15, size[1] + 0.15, 0.1), paint)
    builder.tube([(x, y, z + size[2] / 2 + 0.05), (x, y, z + size[2] / 2 + 0.3)], 0.09, AMBER, 8)


def excavator(rng: np.random.Generator) -> Mesh:
    """A crawler excavator with boom, stick and bucket, in box frame."""
    builder = MeshBuilder()
    paint = pick(rng, [YELLOW, ORANGE, (230, 160, 30)])
    _tracks(builder, rng.uniform(3.4, 4.2), 1.15)
    builder.tube([(0, 0, 0.7), (0, 0, 1.0)], 0.7, DARK, 12)
    builder.box((-0.5, 0, 1.35), (2.9, 2.5, 0.75), paint)
    builder.box((-1.7, 0, 1.5), (0.8, 2.5, 1.05), DARK)
    builder.box((-0.7, -0.5, 1.9), (1.3, 1.2, 0.4), paint)
    _operator_cab(builder, (0.35, 0.7, 2.2), (1.3, 1.0, 1.6), paint)
    elbow, wrist = (3.0, -0.2, rng.uniform(3.4, 4.0)), (4.9, -0.2, rng.uniform(1.5, 2.0))
    builder.tube([(0.9, -0.2, 1.5), (1.8, -0.2, 3.0), elbow], [0.26, 0.3, 0.2], paint, 4)
    builder.tube([elbow, wrist], [0.24, 0.15], paint, 4)
    builder.tube([(1.2, -0.2, 1.7), (2.1, -0.2, 2.7)], 0.08, STEEL, 6)
    builder.tube([(2.2, -0.2, 3.7), (3.3, -0.2, 3.75)], 0.08, STEEL, 6)
    x, _, z = wrist
    builder.prism(
        [(x - 0.7, z - 0.9), (x - 0.1, z - 1.1), (x + 0.2, z - 0.3), (x + 0.1, z + 0.1), (x - 0.3, z - 0.1)],
        -0.75,
        0.35,
        (70, 68, 66),
    )
    return builder.build()


def wheel_loader(rng: np.random.Generator) -> Mesh:
    """A wheel loader with a broad front bucket, in box frame."""
    builder = MeshBuilder()
    paint = pick(rng, [YELLOW, ORANGE])
    builder.loft([(-2.9, 0.95, 0.8, 1.8, 0.15), (-1.0, 1.05, 0.8, 2.0, 0.15)], paint)
    builder.box((-2.92, 0, 1.3), (0.1, 1.3, 0.7), BLACK)
    builder.box((0.6, 0, 1.1), (2.2, 1.1, 0.7), paint)
    _operator_cab(builder, (-0.5, 0, 2.45), (1.3, 1.4, 1.6), paint)
    lift = rng.uniform(0.3, 0.9)
    for side in (-1, 1):
        builder.tube([(0.6, side * 0.5, 1.7), (1.8, side * 0.5, 1.3), (2.7, side * 0.5, lift + 0.2)], 0.16, paint, 4)
        for x in (-1.7, 1.2):
            builder.wheel((x, side * 1.05, 0.72), 0.72, 0.55, hub=paint)
    builder.prism(
        [(2.6, lift - 0.2), (3.6, lift - 0.3), (3.3, lift + 0.0), (2.75, lift + 0.9), (2.55, lift + 0.7)],
        -1.35,
        1.35,
        (96, 92, 88),
    )
    return builder.build()


def road_roller(rng: np.random.Generator) -> Mesh:
    """A tandem roller with two steel drums and a canopy, in box frame."""
    builder = MeshBuilder()
    paint = pick(rng, [YELLOW, ORANGE, (210, 70, 40)])
    for x in (-1.35, 1.35):
        builder.tube([(x, -0.75, 0.62), (x, 0.75, 0.62)], 0.62, (160, 162, 166), 20, 0.5)
        for side in (-1, 1):
            builder.box((x, side * 0.82, 0.85), (0.5, 0.08, 0.7), paint)
    builder.box((0, 0, 1.15), (3.1, 1.5, 0.55), paint)
    builder.box((0.95, 0, 1.55), (1.1, 1.3, 0.4), paint)
    builder.box((-0.3, 0, 1.65), (0.5, 0.9, 0.5), BLACK)
    for x in (-0.9, 0.6):
        for side in (-1, 1):
            builder.tube([(x, side * 0.65, 1.4), (x, side * 0.65, 2.75)], 0.05, BLACK, 6)
    builder.box((-0.15, 0, 2.8), (2.1, 1.6, 0.12), paint)
    builder.tube([(-0.15, 0, 2.85), (-0.15, 0, 3.1)], 0.09, AMBER, 8)
    return builder.build()


def forklift(rng: np.random.Generator) -> Mesh:
    """A forklift with a mast and two forks, in box frame."""
    builder = MeshBuilder()
    paint = pick(rng, [YELLOW, ORANGE, *CAR_PAINTS[4:6]])
    builder.box((0, 0, 0.7), (1.9, 1.1, 0.7), paint)
    builder.box((-0.85, 0, 0.9), (0.5, 1.1, 0.8), DARK)
    builder.box((-0.2, 0, 1.25), (0.5, 0.6, 0.5), BLACK)
    for x in (-0.7, 0.7):
        for side in (-1, 1):
            builder.tube([(x, side * 0.48, 1.0), (x, side * 0.48, 2.2)], 0.045, BLACK, 6)
            builder.wheel((x, side * 0.5, 0.32), 0.32, 0.24)
    builder.box((0, 0, 2.22), (1.6, 1.1, 0.08), BLACK)
    for side in (-1, 1):
        builder.box((1.1, side * 0.35, 1.3), (0.12, 0.12, 2.4), STEEL)
        builder.box((1.7, side * 0.3, 0.25), (1.1, 0.14, 0.06), STEEL)
    for z in (0.5, 1.3, 2.4):
        builder.box((1.12, 0, z), (0.1, 0.9, 0.1), STEEL)
    return builder.build()
