"""What flies and what sails, bow ahead."""

from __future__ import annotations

import numpy as np

from blendclip.synthetic.meshes.mesh import Color, Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import BLACK, DARK, GLASS, STEEL, WHITE, pick
from blendclip.synthetic.shapes.palette import BRIGHTS, HULLS, METALS, WOODS


def _body(builder: MeshBuilder, stations: list[tuple[float, float, float]], color: Color, sides: int = 20) -> None:
    """Skin a round body along x from rows (x, z, radius)."""
    builder.tube([(x, 0, z) for x, z, _ in stations], [radius for *_, radius in stations], color, sides)


def _plate(
    builder: MeshBuilder, corners_m: list[tuple[float, float, float]], thick_m: float, color: Color, along: int = 2
) -> None:
    """Add a flat plate of (K, 3) corners, thickened along an axis."""
    shift = np.eye(3)[along] * thick_m / 2
    corners = np.array(corners_m)
    builder.rings(np.array([corners - shift, corners + shift]), color)


def airplane(rng: np.random.Generator) -> Mesh:
    """An airliner with swept wings, engines and a row of windows, in box frame."""
    builder = MeshBuilder()
    length, r = rng.uniform(28, 42), rng.uniform(1.8, 2.3)
    paint, accent, half = pick(rng, [WHITE, WHITE, (206, 210, 214)]), pick(rng, BRIGHTS), length / 2
    _body(
        builder,
        [
            (half, -0.35 * r, 0.08 * r),
            (half - 0.5 * r, -0.2 * r, 0.5 * r),
            (half - 1.6 * r, -0.04 * r, 0.9 * r),
            (half - 2.8 * r, 0, r),
            (-half * 0.5, 0, r),
            (-half * 0.8, 0.25 * r, 0.66 * r),
            (-half, 0.55 * r, 0.12 * r),
        ],
        paint,
    )
    span, root, sweep = length * rng.uniform(0.42, 0.5), length * 0.17, length * rng.uniform(0.14, 0.22)
    for side in (-1, 1):
        lift = 0.09 * span
        _plate(
            builder,
            [
                (0.1 * length, 0, -0.4 * r),
                (0.1 * length - sweep, side * span, lift - 0.4 * r),
                (0.1 * length - sweep - 0.3 * root, side * span, lift - 0.4 * r),
                (0.1 * length - root, 0, -0.4 * r),
            ],
            0.34,
            paint,
        )
        _plate(
            builder,
            [
                (-0.4 * length, 0, 0.5 * r),
                (-0.47 * length, side * 0.36 * span, 0.7 * r),
                (-0.5 * length, side * 0.36 * span, 0.7 * r),
                (-0.48 * length, 0, 0.5 * r),
            ],
            0.22,
            paint,
        )
        for share in [0.33] if length < 36 else [0.3, 0.58]:
            x, y, z = 0.1 * length - share * sweep, side * share * span, share * lift - 1.05 * r
            builder.tube([(x + 1.6, y, z), (x + 1.2, y, z), (x - 1.2, y, z)], [0.7, 0.85, 0.55], accent, 14)
            builder.tube([(x + 1.62, y, z), (x + 1.64, y, z)], 0.6, DARK, 14)
    tail = rng.uniform(4.2, 5.6)
    _plate(
        builder,
        [
            (-0.36 * length, 0, 0.7 * r),
            (-0.46 * length, 0, 0.7 * r + tail),
            (-0.51 * length, 0, 0.7 * r + tail),
            (-0.49 * length, 0, 0.6 * r),
        ],
        0.3,
        accent,
        1,
    )
    for x in np.arange(-0.36 * length, 0.36 * length, 1.1):
        for side in (-1, 1):
            builder.box((x, side * 0.985 * r, 0.2 * r), (0.45, 0.08, 0.5), GLASS)
    builder.box((half - 1.55 * r, 0, 0.52 * r), (0.9, 1.1 * r, 0.5), GLASS)
    return builder.build()


def helicopter(rng: np.random.Generator) -> Mesh:
    """A helicopter with rotors, tail boom and skids, in box frame."""
    builder = MeshBuilder()
    paint, boom = pick(rng, BRIGHTS + ((60, 80, 60), (40, 60, 100))), rng.uniform(4.2, 5.2)
    builder.ellipsoid((0, 0, 1.5), (1.9, 0.85, 0.95), paint, 24)
    builder.ellipsoid((0.75, 0, 1.6), (1.3, 0.76, 0.8), GLASS, 24)
    builder.tube([(-1.2, 0, 1.75), (-boom, 0, 1.95)], [0.5, 0.14], paint, 12)
    _plate(
        builder,
        [(-boom + 0.5, 0, 1.95), (-boom - 0.3, 0, 2.9), (-boom - 0.6, 0, 2.9), (-boom - 0.1, 0, 1.8)],
        0.1,
        paint,
        1,
    )
    builder.box((-boom + 0.5, 0, 1.95), (0.5, 1.5, 0.06), paint)
    builder.tube([(0, 0, 2.3), (0, 0, 2.95)], 0.1, DARK)
    builder.lathe([(0, 0.7, 0.4), (0.3, 0.4, 0.25)], (-0.3, 0, 2.3), paint, 16)
    turn, blades, reach = rng.uniform(0, np.pi), int(rng.integers(2, 5)), rng.uniform(3.6, 4.4)
    for blade in range(blades):
        a = turn + 2 * np.pi * blade / blades
        cos, sin = np.cos(a), np.sin(a)
        _plate(
            builder,
            [
                (-0.14 * sin, 0.14 * cos, 2.95),
                (reach * cos - 0.14 * sin, reach * sin + 0.14 * cos, 2.85),
                (reach * cos + 0.14 * sin, reach * sin - 0.14 * cos, 2.85),
                (0.14 * sin, -0.14 * cos, 2.95),
            ],
            0.05,
            DARK,
        )
        b = 0.6 + 2 * np.pi * blade / blades
        builder.tube([(-boom, 0.18, 2.0), (-boom + 0.75 * np.cos(b), 0.18, 2.0 + 0.75 * np.sin(b))], 0.05, DARK, 6)
    for side in (-1, 1):
        y = side * 0.95
        builder.tube([(-1.4, y, 0.08), (1.3, y, 0.06), (1.7, y, 0.3)], 0.07, METALS[2])
        for x in (-0.8, 0.8):
            builder.tube([(x, y, 0.08), (x * 0.8, side * 0.5, 0.9)], 0.05, METALS[2])
    return builder.build()


def rocket(rng: np.random.Generator) -> Mesh:
    """A rocket that stands on its fins, with portholes, in box frame."""
    builder = MeshBuilder()
    paint, accent = pick(rng, [WHITE, WHITE, (200, 204, 210), (220, 60, 50)]), pick(rng, BRIGHTS[:5])
    r, height = rng.uniform(0.9, 1.3), rng.uniform(8, 12)
    slender = rng.random() < 0.5
    body = [(0.8, 0.8 * r), (0.25 * height, r), (0.55 * height, r), (0.75 * height, 0.9 * r if slender else 0.85 * r)]
    builder.lathe([(z, q, q) for z, q in body], (0, 0, 0), paint, 28)
    builder.lathe(
        [(z * height, q * r, q * r) for z, q in ((0.75, 0.87), (0.86, 0.6), (0.95, 0.26), (1.0, 0.02))],
        (0, 0, 0),
        accent,
        28,
    )
    builder.lathe([(0.3, 0.62 * r, 0.62 * r), (0.8, 0.4 * r, 0.4 * r)], (0, 0, 0), DARK, 20)
    builder.lathe([(0.3 * height, 1.01 * r, 1.01 * r), (0.34 * height, 1.01 * r, 1.01 * r)], (0, 0, 0), accent, 28)
    fins = int(rng.integers(3, 5))
    for fin in range(fins):
        a = 2 * np.pi * fin / fins + 0.4
        cos, sin = np.cos(a), np.sin(a)
        outline = [(0.8 * r, 0.3 * height), (1.9 * r, 0.12 * height), (2.0 * r, 0.0), (0.75 * r, 0.9)]
        corners = [[(q * cos - d * sin, q * sin + d * cos, z) for q, z in outline] for d in (-0.07, 0.07)]
        builder.rings(np.array(corners), accent)
    for share in (0.48, 0.62):
        builder.tube([(0.8 * r, 0, share * height), (1.04 * r, 0, share * height)], 0.36, METALS[0], 18)
        builder.tube([(0.9 * r, 0, share * height), (1.06 * r, 0, share * height)], 0.27, (90, 160, 210), 18)
    return builder.build()


def _hull(
    builder: MeshBuilder, length: float, half: float, height: float, color: Color, deck: Color, stern: float = 0.8
) -> None:
    """Add a boat's hull, keel at z = 0, bow at x = length / 2, with a deck."""
    rings = []
    for x, width, keel in (
        (-0.5, stern, 0.16),
        (-0.25, 1.0, 0.02),
        (0.15, 0.96, 0.0),
        (0.36, 0.6, 0.1),
        (0.5, 0.03, 0.55),
    ):
        top = height * (1 + 0.25 * max(x, 0) * 2)
        row = [(0, keel * height), (0.62, (keel + 0.22) * height), (1, top), (-1, top), (-0.62, (keel + 0.22) * height)]
        rings.append([(x * length, width * half * y, z) for y, z in row])
    builder.rings(np.array(rings), color)
    rows = [
        [(x * length, y * width * half * 0.94, height * (1 + 0.5 * max(x, 0)) + 0.01 * height) for y in (-1, 1)]
        for x, width in ((-0.49, stern), (-0.25, 1.0), (0.15, 0.96), (0.36, 0.6), (0.48, 0.06))
    ]
    grid = np.array(rows)
    faces = [[2 * k, 2 * k + 1, 2 * k + 3] for k in range(4)] + [[2 * k, 2 * k + 3, 2 * k + 2] for k in range(4)]
    builder.add(grid.reshape(-1, 3), np.array(faces), deck, None)


def sailboat(rng: np.random.Generator) -> Mesh:
    """A sailing boat with main sail and jib, in box frame."""
    builder = MeshBuilder()
    length, half = rng.uniform(6, 8), rng.uniform(1.0, 1.3)
    _hull(builder, length, half, 1.0, pick(rng, HULLS), pick(rng, WOODS))
    mast, foot = rng.uniform(7.5, 9.5), 0.08 * length
    builder.tube([(foot, 0, 0.9), (foot, 0, mast)], [0.09, 0.05], pick(rng, [STEEL, *WOODS]))
    builder.tube([(foot, 0, 1.9), (-0.42 * length, 0.15, 1.9)], 0.05, pick(rng, WOODS))
    sail, jib = pick(rng, [WHITE, WHITE, *BRIGHTS]), pick(rng, [WHITE, *BRIGHTS])
    _plate(
        builder,
        [
            (foot - 0.1, 0, 2.0),
            (-0.4 * length, 0.15, 2.05),
            (-0.24 * length, 0.4, 0.45 * mast + 1),
            (foot - 0.1, 0, mast - 0.2),
        ],
        0.04,
        sail,
        1,
    )
    _plate(builder, [(foot + 0.15, 0.1, 1.6), (0.47 * length, 0, 1.45), (foot + 0.1, 0, 0.86 * mast)], 0.04, jib, 1)
    builder.loft(
        [
            (-0.3 * length, 0.45 * half, 1.0, 1.3, 0.1),
            (-0.02 * length, 0.5 * half, 1.0, 1.4, 0.15),
            (0.04 * length, 0.3 * half, 1.0, 1.15, 0.05),
        ],
        WHITE,
    )
    return builder.build()


def cargo_ship(rng: np.random.Generator) -> Mesh:
    """A container ship with bridge and funnel aft, in box frame."""
    builder = MeshBuilder()
    length, half, height = rng.uniform(90, 130), rng.uniform(9, 12), rng.uniform(9, 11)
    hull = pick(rng, HULLS[:2] + HULLS[3:])
    _hull(builder, length, half, height, hull, (150, 76, 60), 0.9)
    x = -0.4 * length
    for k, tall in enumerate((5, 4.5, 4, 3.5)):
        z = height + sum((5, 4.5, 4, 3.5)[:k])
        builder.box((x, 0, z + tall / 2), (10 - k, 1.7 * half - 2 * k, tall), WHITE)
        builder.box((x + (10 - k) / 2, 0, z + 0.62 * tall), (0.3, 1.5 * half - 2 * k, 1.3), GLASS)
    builder.tube([(x - 6, 0, height), (x - 6, 0, height + 19)], 2.2, pick(rng, BRIGHTS[:5]), 14)
    builder.tube([(x - 6, 0, height + 19), (x - 6, 0, height + 21)], 2.3, BLACK, 14)
    columns = int(0.62 * length / 8)
    for column in range(columns):
        for row in (-1, 0, 1):
            for layer in range(int(rng.integers(1, 4))):
                place = (-0.3 * length + 8 * (column + 0.5), row * half * 0.58, height + 2.7 * (layer + 0.5))
                builder.box(place, (7.4, half * 0.55, 2.6), pick(rng, BRIGHTS + HULLS))
    builder.tube([(0.42 * length, 0, height), (0.42 * length, 0, height + 12)], 0.4, WHITE)
    return builder.build()


def hot_air_balloon(rng: np.random.Generator) -> Mesh:
    """A striped hot-air balloon with its basket, in box frame."""
    builder = MeshBuilder()
    first, second = pick(rng, BRIGHTS), pick(rng, BRIGHTS)
    r, gores = rng.uniform(6.5, 8), 16
    polar = np.linspace(-0.36 * np.pi, 0.5 * np.pi, 12)
    for gore in range(gores):
        a, b = 2 * np.pi * gore / gores, 2 * np.pi * (gore + 1) / gores
        rows = [
            [
                (r * np.cos(p) * np.cos(t), r * np.cos(p) * np.sin(t), 12 + r * np.sin(p) * (1.25 if p < 0 else 1.0))
                for t in (a, b)
            ]
            for p in polar
        ]
        tip = [(0.9 * np.cos(t), 0.9 * np.sin(t), 3.4) for t in (a, b)]
        grid = np.array([tip, *rows])
        faces = [
            f for k in range(len(grid) - 1) for f in ([2 * k, 2 * k + 1, 2 * k + 3], [2 * k, 2 * k + 3, 2 * k + 2])
        ]
        builder.add(grid.reshape(-1, 3), np.array(faces), second if gore % 2 else first, None)
    builder.box((0, 0, 0.7), (1.6, 1.6, 1.3), (150, 104, 60))
    builder.box((0, 0, 1.4), (1.75, 1.75, 0.16), (90, 60, 36))
    for x in (-0.75, 0.75):
        for y in (-0.75, 0.75):
            builder.tube([(x, y, 1.4), (x * 1.05, y * 1.05, 3.5)], 0.06, DARK, 6)
    return builder.build()
