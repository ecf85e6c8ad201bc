"""Furniture: what one sits at, lies on or stores things in."""

from __future__ import annotations

import numpy as np

from blendclip.synthetic.meshes.mesh import Color, Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import BLACK, DARK, LAMP, WHITE, pick, shaded
from blendclip.synthetic.shapes.palette import BRIGHTS, FABRICS, METALS, PORCELAIN, WOODS


def _legs(
    builder: MeshBuilder,
    half_x: float,
    half_y: float,
    height_m: float,
    radius_m: float,
    color: Color,
    splay: float = 0.0,
) -> None:
    """Add four legs whose upper ends are at (+-half_x, +-half_y, height_m); splayed ones reach further out below."""
    for x in (-half_x, half_x):
        for y in (-half_y, half_y):
            foot = (x * (1 + splay), y * (1 + splay), 0)
            builder.tube([foot, (x, y, height_m)], radius_m, color, 8)


def chair(rng: np.random.Generator) -> Mesh:
    """A chair with four legs and a slatted or solid back, in box frame."""
    builder = MeshBuilder()
    wood, seat = pick(rng, WOODS + BRIGHTS[:3]), rng.uniform(0.42, 0.48)
    half, top = rng.uniform(0.2, 0.25), rng.uniform(0.85, 1.05)
    cushion = pick(rng, FABRICS) if rng.random() < 0.5 else wood
    builder.box((0, 0, seat), (2 * half, 2 * half, 0.05), wood)
    builder.box((0.01, 0, seat + 0.04), (1.85 * half, 1.85 * half, 0.04), cushion)
    _legs(builder, half - 0.03, half - 0.03, seat, 0.022, wood, rng.uniform(0, 0.18))
    lean = rng.uniform(0.02, 0.1)
    for y in (-half + 0.03, half - 0.03):
        builder.tube([(-half + 0.03, y, seat), (-half - lean, y, top)], 0.02, wood)
    if rng.random() < 0.5:
        for share in np.linspace(0.35, 0.95, int(rng.integers(2, 5))):
            x, z = -half + 0.03 - share * (lean + 0.03), seat + share * (top - seat)
            builder.box((x, 0, z), (0.025, 2 * half, 0.07), wood)
    else:
        middle = (seat + top) / 2 + 0.08
        builder.box((-half - lean * 0.6, 0, middle), (0.03, 1.9 * half, top - seat - 0.16), cushion)
    if rng.random() < 0.3:
        for y in (-half, half):
            builder.tube([(half - 0.06, y, seat), (half - 0.06, y, seat + 0.22), (-half, y, seat + 0.24)], 0.018, wood)
    return builder.build()


def table(rng: np.random.Generator) -> Mesh:
    """A table, round on one foot or with a board on four legs, in box frame."""
    builder = MeshBuilder()
    wood, height = pick(rng, WOODS), rng.uniform(0.68, 0.78)
    if rng.random() < 0.35:
        radius = rng.uniform(0.4, 0.65)
        builder.lathe([(height - 0.04, radius, radius), (height, radius, radius)], (0, 0, 0), wood, 28)
        builder.tube([(0, 0, 0.03), (0, 0, height)], 0.05, pick(rng, METALS), 12)
        builder.lathe([(0, 0.6 * radius, 0.6 * radius), (0.04, 0.4 * radius, 0.4 * radius)], (0, 0, 0), DARK, 24)
        return builder.build()
    length, width = rng.uniform(0.7, 1.0), rng.uniform(1.1, 1.9)
    builder.box((0, 0, height - 0.02), (length, width, 0.04), wood)
    builder.box((0, 0, height - 0.08), (length - 0.14, width - 0.14, 0.09), wood)
    _legs(builder, length / 2 - 0.08, width / 2 - 0.08, height - 0.05, rng.uniform(0.025, 0.045), wood, 0.04)
    return builder.build()


def bed(rng: np.random.Generator) -> Mesh:
    """A bed with mattress, pillows and a blanket, its head at the back, in box frame."""
    builder = MeshBuilder()
    wood, width = pick(rng, WOODS), rng.choice([0.95, 1.4, 1.7])
    length, head = rng.uniform(2.0, 2.15), rng.uniform(0.85, 1.15)
    builder.box((0, 0, 0.25), (length, width, 0.14), wood)
    _legs(builder, length / 2 - 0.06, width / 2 - 0.06, 0.2, 0.035, wood)
    builder.box((0.01, 0, 0.41), (length - 0.06, width - 0.06, 0.2), WHITE)
    builder.box((-length / 2 - 0.02, 0, head / 2), (0.06, width + 0.04, head), wood)
    builder.box((length / 2 + 0.02, 0, 0.24), (0.05, width + 0.04, 0.48), wood)
    builder.box((0.25, 0, 0.49), (0.68 * length, width + 0.02, 0.1), pick(rng, FABRICS))
    for y in [0.0] if width < 1.2 else [-width / 4, width / 4]:
        builder.ellipsoid((-length / 2 + 0.3, y, 0.56), (0.19, min(width, 1.0) * 0.36, 0.09), (236, 236, 240), 14)
    return builder.build()


def sofa(rng: np.random.Generator) -> Mesh:
    """A sofa with cushions and arm rests, in box frame."""
    builder = MeshBuilder()
    fabric, seats = pick(rng, FABRICS), int(rng.integers(2, 4))
    width, depth = seats * rng.uniform(0.6, 0.7), rng.uniform(0.8, 0.92)
    lighter = shaded(fabric, 1.18)
    builder.box((0, 0, 0.24), (depth, width, 0.26), fabric)
    builder.box((-depth / 2 + 0.1, 0, 0.5), (0.22, width, rng.uniform(0.6, 0.75)), fabric)
    for side in (-1, 1):
        builder.box((0, side * (width / 2 + 0.09), 0.36), (depth, 0.18, 0.5), fabric)
        builder.tube(
            [(-depth / 2, side * (width / 2 + 0.09), 0.61), (depth / 2, side * (width / 2 + 0.09), 0.61)],
            0.1,
            fabric,
            12,
        )
    for seat in range(seats):
        y = (seat + 0.5 - seats / 2) * width / seats
        builder.box((0.09, y, 0.42), (depth - 0.26, width / seats - 0.02, 0.13), lighter)
        builder.box((-depth / 2 + 0.25, y, 0.64), (0.14, width / seats - 0.03, 0.36), lighter)
    _legs(builder, depth / 2 - 0.08, width / 2, 0.12, 0.03, pick(rng, WOODS))
    return builder.build()


def bookshelf(rng: np.random.Generator) -> Mesh:
    """Shelves full of books of many colours, open to the front, in box frame."""
    builder = MeshBuilder()
    wood, width, height, depth = pick(rng, WOODS), rng.uniform(0.7, 1.0), rng.uniform(1.4, 2.0), 0.28
    boards = int(rng.integers(4, 6))
    for side in (-1, 1):
        builder.box((0, side * width / 2, height / 2), (depth, 0.03, height), wood)
    builder.box((-depth / 2, 0, height / 2), (0.015, width, height), wood)
    for z in np.linspace(0.04, height - 0.015, boards + 1):
        builder.box((0, 0, z), (depth, width, 0.03), wood)
    step = (height - 0.06) / boards
    for board in range(boards):
        y, end = -width / 2 + 0.03, width / 2 - rng.uniform(0.05, 0.3)
        while y < end:
            thick, tall = rng.uniform(0.025, 0.055), step * rng.uniform(0.6, 0.86)
            z = 0.055 + board * step + tall / 2
            builder.box(
                (rng.uniform(-0.02, 0.03), y + thick / 2, z), (0.18, thick - 0.004, tall), pick(rng, BRIGHTS + FABRICS)
            )
            y += thick
    return builder.build()


def table_lamp(rng: np.random.Generator) -> Mesh:
    """A lamp with a shade on a turned foot, in box frame."""
    builder = MeshBuilder()
    color, height = pick(rng, BRIGHTS + METALS), rng.uniform(0.4, 0.55)
    foot = rng.uniform(0.08, 0.11)
    if rng.random() < 0.5:
        belly = [(0, foot, foot), (0.02, foot, foot), (0.05, 0.04, 0.04), (0.14, 0.085, 0.085), (0.24, 0.05, 0.05)]
        builder.lathe([*belly, (height * 0.62, 0.016, 0.016)], (0, 0, 0), color, 20)
    else:
        builder.lathe([(0, foot, foot), (0.025, foot * 0.9, foot * 0.9)], (0, 0, 0), color, 20)
        builder.tube([(0, 0, 0.02), (0, 0, height * 0.66)], 0.014, color)
    low, high = height * 0.58, height
    wide, narrow = rng.uniform(0.15, 0.2), rng.uniform(0.08, 0.12)
    shade = pick(rng, FABRICS + (LAMP, LAMP))
    builder.lathe([(low, wide, wide), (high, narrow, narrow)], (0, 0, 0), shade, 24)
    builder.ellipsoid((0, 0, low), 0.035, LAMP)
    return builder.build()


def toilet(rng: np.random.Generator) -> Mesh:
    """A toilet with bowl, seat, lid and cistern, in box frame."""
    builder = MeshBuilder()
    seat = pick(rng, [PORCELAIN, WHITE, (60, 60, 64), WOODS[0]])
    height = rng.uniform(0.38, 0.42)
    builder.lathe(
        [(0, 0.17, 0.12, -0.05), (0.1, 0.13, 0.1, -0.05), (0.2, 0.17, 0.13), (0.32, 0.25, 0.18), (height, 0.27, 0.19)],
        (0, 0, 0),
        PORCELAIN,
        24,
    )
    angle = np.linspace(0, 2 * np.pi, 25)
    ring = [(0.21 * np.cos(a) + 0.01, 0.15 * np.sin(a), height + 0.02) for a in angle]
    builder.tube(ring, 0.045, seat, 8)
    builder.lathe([(height + 0.004, 0.17, 0.11), (height + 0.008, 0.17, 0.11)], (0.01, 0, 0), (150, 190, 210), 20)
    builder.box((-0.3, 0, height / 2), (0.16, 0.24, height), PORCELAIN)
    builder.box((-0.33, 0, height + 0.2), (0.19, 0.42, 0.38), PORCELAIN)
    builder.box((-0.33, 0, height + 0.4), (0.21, 0.44, 0.03), WHITE)
    builder.box((-0.22, 0.12, height + 0.32), (0.03, 0.06, 0.02), METALS[0])
    lean = rng.uniform(0.02, 0.07)
    disc = np.array(
        [
            [
                (-0.21 - lean * (0.5 + np.sin(a) / 2) + shift, 0.17 * np.cos(a), height + 0.24 + 0.21 * np.sin(a))
                for a in angle[:-1]
            ]
            for shift in (0.0, 0.025)
        ]
    )
    builder.rings(disc, seat)
    return builder.build()


def bathtub(rng: np.random.Generator) -> Mesh:
    """A free-standing bath on feet with water and taps, in box frame."""
    builder = MeshBuilder()
    length, width, height = rng.uniform(1.5, 1.75), rng.uniform(0.68, 0.8), rng.uniform(0.5, 0.6)
    outside = pick(rng, [PORCELAIN, WHITE, (60, 90, 130), (40, 44, 50), (160, 60, 60)])
    a, b = length / 2, width / 2
    builder.lathe([(0.1, 0.72 * a, 0.62 * b), (0.18, 0.84 * a, 0.8 * b), (height, a, b)], (0, 0, 0), outside, 32)
    angle = np.linspace(0, 2 * np.pi, 33)
    builder.tube([(a * np.cos(t), b * np.sin(t), height) for t in angle], 0.03, PORCELAIN, 8)
    builder.lathe(
        [(height + 0.002, 0.93 * a, 0.92 * b), (height + 0.006, 0.93 * a, 0.92 * b)], (0, 0, 0), (150, 200, 220), 32
    )
    for x in (-0.6 * a, 0.6 * a):
        for y in (-0.5 * b, 0.5 * b):
            builder.tube([(x * 1.05, y * 1.2, 0), (x, y, 0.16)], [0.03, 0.05], METALS[0])
    builder.tube(
        [(-a, 0, height), (-a, 0, height + 0.2), (-a + 0.12, 0, height + 0.22), (-a + 0.16, 0, height + 0.15)],
        0.02,
        METALS[0],
    )
    for y in (-0.1, 0.1):
        builder.tube([(-a, y, height), (-a, y, height + 0.1)], 0.016, METALS[0])
        builder.tube([(-a, y - 0.035, height + 0.1), (-a, y + 0.035, height + 0.1)], 0.012, BLACK)
    return builder.build()
