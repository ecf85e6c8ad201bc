"""Street furniture, trees and houses: they make a street and hide things, and carry no annotation."""

from __future__ import annotations

import numpy as np

from blendclip.synthetic.meshes.mesh import Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import AMBER, BLACK, DARK, LAMP, RED, STEEL, WHITE, pick, shaded

FACADES = (
    (186, 160, 132),
    (168, 92, 70),
    (206, 198, 180),
    (140, 146, 152),
    (196, 174, 120),
    (120, 84, 70),
    (220, 214, 206),
)
LEAVES = ((64, 110, 46), (84, 128, 52), (50, 92, 50), (116, 134, 56))


def tree(rng: np.random.Generator) -> Mesh:
    """A street tree, in box frame."""
    builder = MeshBuilder()
    trunk, crown = rng.uniform(2.2, 3.0), rng.uniform(1.3, 2.0)
    builder.tube([(0, 0, 0), (0.05, 0, trunk * 0.6), (0, 0.05, trunk + 1)], [0.2, 0.15, 0.1], (84, 66, 50), 8)
    for _ in range(9):
        center = rng.uniform(-0.55, 0.55, 3) * crown + (0, 0, trunk + crown)
        builder.ellipsoid(center, rng.uniform(0.55, 0.8, 3) * crown, pick(rng, LEAVES), 9)
    return builder.build()


def conifer(rng: np.random.Generator) -> Mesh:
    """A fir tree of stacked cones, in box frame."""
    builder = MeshBuilder()
    height = rng.uniform(5, 8)
    builder.tube([(0, 0, 0), (0, 0, height * 0.3)], 0.18, (84, 66, 50), 8)
    for k in range(4):
        low, r = height * (0.2 + 0.18 * k), (1.5 - 0.32 * k) * height / 6
        builder.lathe([(low, r, r), (low + height * 0.3, 0.05, 0.05)], (0, 0, 0), pick(rng, LEAVES[:3]), 12)
    return builder.build()


def street_lamp(rng: np.random.Generator) -> Mesh:
    """A street lamp whose arm reaches along x, in box frame."""
    builder = MeshBuilder()
    height = rng.uniform(6.5, 8.5)
    builder.tube(
        [(0, 0, 0), (0, 0, height), (0.5, 0, height + 0.4), (1.8, 0, height + 0.5)], [0.11, 0.07, 0.05, 0.05], DARK, 8
    )
    builder.box((1.9, 0, height + 0.46), (0.7, 0.26, 0.12), STEEL)
    builder.box((1.9, 0, height + 0.39), (0.5, 0.2, 0.03), LAMP)
    builder.tube([(0, 0, 0), (0, 0, 0.8)], 0.17, DARK, 8)
    return builder.build()


def traffic_light(rng: np.random.Generator) -> Mesh:
    """A traffic light that faces along -x, in box frame."""
    builder = MeshBuilder()
    builder.tube([(0, 0, 0), (0, 0, rng.uniform(3.4, 3.8))], 0.08, DARK, 8)
    builder.box((-0.16, 0, 3.0), (0.24, 0.34, 0.95), BLACK)
    for k, color in enumerate((RED, AMBER, (40, 200, 90))):
        builder.ellipsoid((-0.28, 0, 3.3 - 0.3 * k), (0.06, 0.11, 0.11), color, 8)
    return builder.build()


def sign_post(rng: np.random.Generator) -> Mesh:
    """A road sign on a post that faces along -x, in box frame."""
    builder = MeshBuilder()
    builder.tube([(0, 0, 0), (0, 0, 2.7)], 0.035, STEEL, 6)
    color = pick(rng, [(30, 80, 180), RED, (240, 240, 240), (240, 200, 40)])
    if rng.random() < 0.5:
        builder.tube([(-0.06, 0, 2.4), (-0.04, 0, 2.4)], 0.33, color, 14)
        builder.box((-0.07, 0, 2.4), (0.02, 0.4, 0.1), WHITE)
    else:
        builder.box((-0.05, 0, 2.35), (0.02, 0.55, 0.7), color)
        builder.box((-0.065, 0, 2.4), (0.02, 0.35, 0.12), WHITE)
    return builder.build()


def bench(rng: np.random.Generator) -> Mesh:
    """A park bench that faces along x, in box frame."""
    builder = MeshBuilder()
    wood = pick(rng, [(140, 96, 56), (110, 74, 46)])
    for k in range(3):
        builder.box((-0.2 + 0.16 * k, 0, 0.45), (0.13, 1.7, 0.04), wood)
        builder.box((-0.3 - 0.03 * k, 0, 0.58 + 0.15 * k), (0.04, 1.7, 0.11), wood)
    for side in (-1, 1):
        builder.tube(
            [(0.15, side * 0.7, 0), (0.12, side * 0.7, 0.42), (-0.26, side * 0.7, 0.42), (-0.36, side * 0.7, 0.92)],
            0.03,
            BLACK,
            6,
        )
        builder.tube([(-0.3, side * 0.7, 0), (-0.24, side * 0.7, 0.42)], 0.03, BLACK, 6)
    return builder.build()


def hydrant(rng: np.random.Generator) -> Mesh:
    """A fire hydrant, in box frame."""
    builder = MeshBuilder()
    color = pick(rng, [RED, (230, 190, 40)])
    builder.lathe([(0, 0.16, 0.16), (0.06, 0.16, 0.16), (0.07, 0.11, 0.11), (0.6, 0.11, 0.11), (0.62, 0.15, 0.15),
                   (0.66, 0.15, 0.15), (0.78, 0.07, 0.07), (0.84, 0.03, 0.03)], (0, 0, 0), color, 12)  # fmt: skip
    builder.tube([(0, -0.2, 0.48), (0, 0.2, 0.48)], 0.06, STEEL, 8)
    builder.tube([(0, 0, 0.42), (0.2, 0, 0.42)], 0.075, STEEL, 8)
    return builder.build()


def house(rng: np.random.Generator) -> Mesh:
    """A house of several storeys with its street side towards -y, in box frame."""
    builder = MeshBuilder()
    width, depth, storeys = rng.uniform(9, 16), 10.0, int(rng.integers(2, 6))
    height, wall = 3.2 * storeys + 1.0, pick(rng, FACADES)
    builder.box((0, 0, height / 2), (width, depth, height), wall)
    glass = pick(rng, [(60, 80, 100), (50, 60, 72), (96, 112, 124)])
    frame = pick(rng, [WHITE, (90, 70, 54), (60, 62, 66)])
    columns = max(int(width / 2.6), 3)
    for x in (np.arange(columns) - (columns - 1) / 2) * width / columns:
        for storey in range(1, storeys):
            z = 3.2 * storey + 2.0
            builder.box((x, -depth / 2, z), (1.35, 0.08, 1.75), frame)
            builder.box((x, -depth / 2 - 0.03, z), (1.15, 0.08, 1.55), glass, 0.05)
    _ground_floor(builder, rng, width, depth, glass)
    for side in (-1, 1):
        for y in (-2.5, 1.0):
            for storey in range(storeys):
                builder.box((side * width / 2, y, 3.2 * storey + 2.0), (0.08, 1.2, 1.5), glass, 0.05)
    builder.box((0, 0, height + 0.1), (width + 0.4, depth + 0.4, 0.3), shaded(wall, 0.7))
    return builder.build()


def _ground_floor(builder: MeshBuilder, rng: np.random.Generator, width: float, depth: float, glass: tuple) -> None:
    """Add a shop front with an awning, or doors and windows."""
    y = -depth / 2
    if rng.random() < 0.6:
        builder.box((0, y, 1.55), (width * 0.85, 0.08, 2.3), glass, 0.05)
        awning = pick(rng, [(170, 40, 40), (40, 90, 70), (40, 60, 120), (210, 150, 50)])
        builder.prism(
            [(y, 3.1), (y - 1.1, 2.75), (y - 1.1, 2.68), (y, 2.95)], -width * 0.44, width * 0.44, awning, flip=True
        )
        builder.box((0, y - 0.03, 3.45), (width * 0.8, 0.1, 0.5), awning)
    else:
        for x in np.arange(-width / 2 + 2, width / 2 - 1, 2.8):
            builder.box((x, y, 1.9), (1.3, 0.1, 1.5), glass, 0.05)
    builder.box((width * 0.3, y - 0.02, 1.15), (1.05, 0.12, 2.2), pick(rng, [(90, 50, 34), (40, 60, 50), DARK]))
