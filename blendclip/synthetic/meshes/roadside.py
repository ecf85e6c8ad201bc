"""What a truck meets beside city traffic: signs, a farm tractor, deer, and the trailer it draws itself."""

from __future__ import annotations

import numpy as np

from blendclip.synthetic.meshes.mesh import Color, Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import AMBER, BLACK, DARK, GLASS, LAMP, RED, STEEL, WHITE, YELLOW, pick
from blendclip.synthetic.meshes.trucks import box_trailer

EGO_TRAILER_M = 11.5
SIGN_BLUE: Color = (24, 76, 170)


def ego_trailer(rng: np.random.Generator) -> Mesh:
    """The semi-trailer behind the ego truck, in box frame."""
    return box_trailer(rng, EGO_TRAILER_M)


def farm_tractor(rng: np.random.Generator) -> Mesh:
    """A farm tractor with a glazed cabin, in box frame."""
    builder = MeshBuilder()
    paint, length = pick(rng, [(40, 120, 50), (170, 34, 30), (30, 84, 160)]), rng.uniform(3.9, 4.4)
    builder.loft([(1.6, 0.42, 0.7, 1.55, 0.1), (length - 0.2, 0.38, 0.7, 1.45, 0.12), (length, 0.3, 0.75, 1.3, 0.2)],
                 paint)  # fmt: skip
    builder.box((0.9, 0, 0.85), (1.7, 0.9, 0.6), DARK)
    builder.box((0.85, 0, 1.85), (1.4, 1.35, 1.5), GLASS, 0.05)
    builder.box((0.85, 0, 2.65), (1.65, 1.5, 0.14), paint)
    for side in (-1, 1):
        builder.box((0.7, side * 0.85, 1.62), (1.5, 0.4, 0.08), paint)
        for x in (0.15, 1.55):
            builder.box((x, side * 0.67, 1.85), (0.08, 0.08, 1.5), DARK)
        builder.wheel((0.75, side * 0.85, 0.8), 0.8, 0.45, YELLOW)
        builder.wheel((length - 0.75, side * 0.78, 0.52), 0.52, 0.32, YELLOW)
        builder.box((length - 0.02, side * 0.2, 1.15), (0.06, 0.16, 0.14), LAMP, 0.8)
    builder.tube([(1.9, 0.36, 1.5), (1.9, 0.36, 2.5)], 0.05, STEEL, 8)
    builder.tube([(0.85, 0, 2.7), (0.85, 0, 2.85)], 0.08, AMBER, 8)
    return builder.build()


def pole_sign(rng: np.random.Generator) -> Mesh:
    """The plate of a road sign that faces along x, in box frame."""
    builder = MeshBuilder()
    if rng.random() < 0.5:
        rim, radius = pick(rng, [RED, SIGN_BLUE]), rng.uniform(0.34, 0.45)
        builder.tube([(-0.015, 0, 0), (0.015, 0, 0)], radius, rim, 18, 0.9)
        builder.tube([(0.015, 0, 0), (0.02, 0, 0)], radius * 0.75, WHITE, 18, 0.9)
        builder.box((0.022, 0, 0), (0.01, radius * 0.7, radius * 0.3), BLACK)
    else:
        width, height = rng.uniform(0.6, 1.1), rng.uniform(0.6, 0.9)
        builder.box((0, 0, 0), (0.03, width, height), pick(rng, [SIGN_BLUE, YELLOW, WHITE]), 0.9)
        builder.box((0.02, 0, 0.1 * height), (0.012, 0.7 * width, 0.16 * height), pick(rng, [WHITE, BLACK]))
    return builder.build()


def overhead_sign(rng: np.random.Generator) -> Mesh:
    """The panel of a sign above the lanes that faces along x, in box frame."""
    builder = MeshBuilder()
    width, height = rng.uniform(2.4, 3.2), rng.uniform(1.2, 1.6)
    builder.box((0, 0, 0), (0.08, width, height), SIGN_BLUE, 0.9)
    for z, share in ((0.28, 0.75), (-0.08, 0.55), (-0.34, 0.65)):
        builder.box((0.045, 0.06 * width, z * height), (0.012, share * width, 0.14 * height), WHITE, 0.95)
    return builder.build()


def temporary_sign(rng: np.random.Generator) -> Mesh:
    """A sign on a foot, put up for roadworks, that faces along x, in box frame."""
    builder = MeshBuilder()
    builder.box((0, 0, 0.06), (0.8, 0.4, 0.12), DARK)
    builder.tube([(0, 0, 0.1), (0, 0, 1.75)], 0.03, STEEL, 6)
    corners = [(0.9, -0.45), (0.9, 0.45), (1.68, 0.0)]
    for x, shrink, color in ((0.05, 1.0, RED), (0.066, 0.7, YELLOW)):
        triangle = [(y * shrink, 1.16 + (z - 1.16) * shrink) for z, y in corners]
        builder.prism(triangle, x - 0.015, x + 0.015, color, flip=True)
    builder.box((0.05, 0, 0.6), (0.03, rng.uniform(0.5, 0.8), 0.3), YELLOW, 0.9)
    return builder.build()


def deer(rng: np.random.Generator) -> Mesh:
    """A standing deer, in box frame."""
    builder = MeshBuilder()
    fur = pick(rng, [(140, 96, 60), (120, 80, 50), (162, 118, 78)])
    builder.tube([(-0.55, 0, 0.88), (-0.4, 0, 0.9), (0.2, 0, 0.86), (0.5, 0, 0.92)], [0.12, 0.19, 0.2, 0.15], fur, 10)
    builder.tube([(0.45, 0, 0.98), (0.68, 0, 1.38)], [0.12, 0.075], fur, 8)
    builder.ellipsoid((0.74, 0, 1.42), (0.13, 0.08, 0.09), fur, 9)
    builder.tube([(0.8, 0, 1.4), (0.97, 0, 1.33)], [0.06, 0.04], fur, 7)
    builder.ellipsoid((-0.6, 0, 0.92), (0.07, 0.06, 0.1), WHITE, 7)
    for side in (-1, 1):
        builder.tube([(0.68, side * 0.06, 1.48), (0.62, side * 0.17, 1.58)], [0.035, 0.015], fur, 5)
        builder.tube([(0.7, side * 0.04, 1.5), (0.64, side * 0.12, 1.75), (0.72, side * 0.16, 1.9)], 0.014, DARK, 5)
        for x in (0.36, -0.42):
            builder.tube([(x, side * 0.1, 0.85), (x + 0.03, side * 0.1, 0.45), (x, side * 0.1, 0.02)],
                         [0.075, 0.035, 0.03], fur, 6)  # fmt: skip
    return builder.build()
