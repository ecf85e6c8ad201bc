"""Small things on the street: cones, barriers, debris, carts, animals."""

from __future__ import annotations

import numpy as np

from blendclip.synthetic.meshes.mesh import Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import (
    AMBER,
    BLACK,
    CLOTHES,
    DARK,
    ORANGE,
    RED,
    STEEL,
    WHITE,
    pick,
    shaded,
)

WOOD = (150, 108, 66)


def traffic_cone(rng: np.random.Generator) -> Mesh:
    """An orange cone with white stripes on a square foot, in box frame."""
    builder = MeshBuilder()
    height = rng.uniform(0.65, 0.95)
    foot, radius = 0.42 * height + 0.1, 0.17 * height + 0.04
    color = pick(rng, [ORANGE, (236, 70, 26)])
    builder.box((0, 0, 0.025), (foot, foot, 0.05), color if rng.random() < 0.6 else BLACK)
    edges = [0.05, 0.4, 0.55, 0.68, 0.8, 1.0]
    for k, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        r0, r1 = radius * (1 - 0.85 * low), radius * (1 - 0.85 * high)
        builder.lathe([(low * height, r0, r0), (high * height, r1, r1)], (0, 0, 0), WHITE if k % 2 else color, 14)
    return builder.build()


def delineator(rng: np.random.Generator) -> Mesh:
    """A traffic drum: an orange barrel with white bands, in box frame."""
    builder = MeshBuilder()
    edges = np.linspace(0.08, 1.0, 6) * rng.uniform(0.95, 1.1)
    builder.lathe([(0, 0.38, 0.38), (0.08, 0.38, 0.38)], (0, 0, 0), BLACK, 14)
    for k, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        r0, r1 = 0.3 - 0.08 * low, 0.3 - 0.08 * high
        builder.lathe([(low, r0, r0), (high, r1, r1)], (0, 0, 0), WHITE if k % 2 else ORANGE, 14)
    return builder.build()


def jersey_barrier(rng: np.random.Generator) -> Mesh:
    """A concrete or a red and white plastic road barrier, long side across x, in box frame."""
    builder = MeshBuilder()
    half, height = rng.uniform(0.7, 1.1), rng.uniform(0.8, 1.0)
    outline = [
        (-0.3, 0),
        (0.3, 0),
        (0.3, 0.1),
        (0.14, 0.35),
        (0.09, height),
        (-0.09, height),
        (-0.14, 0.35),
        (-0.3, 0.1),
    ]
    kind = rng.random()
    if kind < 0.4:
        builder.prism(outline, -half, half, (168, 166, 158))
        for side in (-1, 1):
            builder.box((side * 0.13, 0, 0.7 * height), (0.06, 0.3, 0.12), AMBER, 0.9)
        return builder.build()
    color = RED if kind < 0.75 else ORANGE
    edges = np.linspace(-half, half, 5)
    for k, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        builder.prism(outline, low, high, WHITE if k % 2 else color)
    return builder.build()


def striped_barrier(rng: np.random.Generator) -> Mesh:
    """A barricade: two striped boards on feet with warning lamps, long side across x, in box frame."""
    builder = MeshBuilder()
    half, color = rng.uniform(0.75, 1.15), pick(rng, [RED, ORANGE])
    for z in (0.55, 0.92):
        edges = np.linspace(-half, half, 9)
        for k, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
            slant = 0.08
            quad = [
                (low - slant, z - 0.11),
                (high - slant, z - 0.11),
                (high + slant, z + 0.11),
                (low + slant, z + 0.11),
            ]
            builder.prism(np.clip(quad, [-half, 0], [half, 2]), -0.02, 0.02, WHITE if k % 2 else color, flip=True)
    for side in (-1, 1):
        y = side * (half - 0.18)
        builder.tube([(0, y, 0.05), (0, y, 1.06)], 0.035, STEEL, 6)
        builder.box((0, y, 0.04), (0.7, 0.12, 0.08), DARK)
        builder.ellipsoid((0, y, 1.14), 0.09, AMBER, 8)
    return builder.build()


def fence_barrier(rng: np.random.Generator) -> Mesh:
    """A steel crowd-control fence, long side across x, in box frame."""
    builder = MeshBuilder()
    half = rng.uniform(0.95, 1.15)
    for z in (0.2, 1.05):
        builder.tube([(0, -half, z), (0, half, z)], 0.03, STEEL, 6)
    for y in np.linspace(-half, half, 13):
        builder.tube([(0, y, 0.2), (0, y, 1.05)], 0.014 if abs(y) < half else 0.03, STEEL, 5)
    for side in (-1, 1):
        builder.tube(
            [(-0.3, side * half * 0.8, 0.02), (0, side * half * 0.8, 0.22), (0.3, side * half * 0.8, 0.02)],
            0.025,
            STEEL,
            5,
        )
    builder.box((0, 0, 0.8), (0.02, half, 0.22), pick(rng, [RED, AMBER]))
    return builder.build()


def debris_branch(rng: np.random.Generator) -> Mesh:
    """A broken leafy branch lying on the road, in box frame."""
    builder = MeshBuilder()
    length = rng.uniform(1.2, 2.0)
    builder.tube([(0, 0, 0.1), (length * 0.5, 0.1, 0.2), (length, 0, 0.15)], [0.07, 0.05, 0.02], (92, 66, 42), 6)
    for _ in range(9):
        x = rng.uniform(0.3, 1.0) * length
        tip = (x + rng.uniform(0.1, 0.4), rng.uniform(-0.45, 0.45), rng.uniform(0.1, 0.5))
        builder.tube([(x, 0.05, 0.18), tip], [0.025, 0.01], (92, 66, 42), 4)
        builder.ellipsoid(tip, rng.uniform(0.08, 0.16, 3), pick(rng, [(66, 120, 48), (96, 130, 50)]), 7)
    return builder.build()


def debris_bags(rng: np.random.Generator) -> Mesh:
    """A heap of full rubbish bags and a box, in box frame."""
    builder = MeshBuilder()
    for _ in range(int(rng.integers(3, 6))):
        x, y, r = rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.4), rng.uniform(0.22, 0.32)
        shade = pick(rng, [(30, 32, 36), (40, 44, 60), (220, 220, 224)])
        builder.ellipsoid((x, y, r * 0.8), (r, r * 0.9, r * 0.8), shade, 9)
        builder.tube([(x, y, r * 1.45), (x + 0.03, y, r * 1.9)], [0.03, 0.08], shade, 6)
    builder.box((rng.uniform(-0.6, 0.6), 0.45, 0.18), (0.45, 0.38, 0.36), (178, 140, 92))
    return builder.build()


def debris_tyre(rng: np.random.Generator) -> Mesh:
    """Two lost tyres and a plank, in box frame."""
    builder = MeshBuilder()
    angle = np.linspace(0, 2 * np.pi, 17)
    for k, (x, y) in enumerate(((0, 0), (0.1, 0.05), (0.75, 0.3))[: int(rng.integers(2, 4))]):
        z = 0.11 + 0.22 * (k == 1)
        ring = np.column_stack([x + 0.25 * np.cos(angle), y + 0.25 * np.sin(angle), np.full(17, z)])
        builder.tube(ring, 0.11, (32, 32, 34), 8, 0.06)
    builder.box((0.3, -0.5, 0.05), (rng.uniform(1.2, 2.0), 0.18, 0.08), WOOD)
    return builder.build()


def shopping_cart(rng: np.random.Generator) -> Mesh:
    """A wire shopping cart on four castors, in box frame."""
    builder = MeshBuilder()
    color = pick(rng, [RED, (40, 90, 180), (40, 130, 70)])
    for z, front, back, half in ((0.5, 0.4, -0.35, 0.22), (0.72, 0.47, -0.38, 0.26), (0.95, 0.54, -0.4, 0.29)):
        builder.tube(
            [(back, -half, z), (front, -half, z), (front, half, z), (back, half, z), (back, -half, z)], 0.016, STEEL, 4
        )
    for s in np.linspace(0, 1, 8):
        for side in (-1, 1):
            low, high = (-0.35 + 0.75 * s, side * 0.22, 0.5), (-0.4 + 0.94 * s, side * 0.29, 0.95)
            builder.tube([low, high], 0.009, STEEL, 4)
        y = -0.22 + 0.44 * s
        builder.tube([(-0.35, y, 0.5), (0.4, y, 0.5), (0.54, y * 1.3, 0.95)], 0.009, STEEL, 4)
    builder.tube([(-0.55, -0.28, 1.02), (-0.55, 0.28, 1.02)], 0.025, color, 6)
    for side in (-1, 1):
        builder.tube(
            [(-0.55, side * 0.26, 1.02), (-0.38, side * 0.24, 0.9), (-0.38, side * 0.22, 0.15)], 0.018, STEEL, 5
        )
        builder.tube([(-0.4, side * 0.22, 0.18), (0.4, side * 0.2, 0.18)], 0.018, STEEL, 5)
        for x in (-0.38, 0.38):
            builder.wheel((x, side * 0.21, 0.07), 0.07, 0.04)
    builder.box((0.05, 0, 0.68), (0.5, 0.3, 0.3), pick(rng, CLOTHES))
    return builder.build()


def wheelbarrow(rng: np.random.Generator) -> Mesh:
    """A wheelbarrow with a heap of sand, in box frame."""
    builder = MeshBuilder()
    tray = pick(rng, [(40, 110, 70), (180, 60, 40), (90, 96, 104)])
    builder.rings(
        np.array(
            [
                [(-0.3, -0.2, 0.35), (0.35, -0.15, 0.35), (0.35, 0.15, 0.35), (-0.3, 0.2, 0.35)],
                [(-0.5, -0.34, 0.66), (0.6, -0.28, 0.7), (0.6, 0.28, 0.7), (-0.5, 0.34, 0.66)],
            ]
        ),
        tray,
    )
    builder.ellipsoid((0.05, 0, 0.66), (0.45, 0.24, 0.16), (196, 168, 116), 10)
    builder.wheel((0.62, 0, 0.2), 0.2, 0.1, hub=tray)
    for side in (-1, 1):
        builder.tube([(0.62, side * 0.08, 0.2), (-0.3, side * 0.24, 0.42), (-0.9, side * 0.3, 0.62)], 0.024, STEEL, 6)
        builder.tube([(-0.9, side * 0.3, 0.62), (-1.05, side * 0.3, 0.64)], 0.032, BLACK, 6)
        builder.tube([(-0.3, side * 0.22, 0.4), (-0.42, side * 0.26, 0.02)], 0.022, STEEL, 6)
    return builder.build()


def rubbish_bin(rng: np.random.Generator) -> Mesh:
    """A two-wheeled household bin, in box frame."""
    builder = MeshBuilder()
    color = pick(rng, [(40, 96, 60), (40, 66, 120), (70, 74, 80), (200, 170, 40)])
    builder.rings(
        np.array(
            [
                [(-0.2, -0.2, 0.05), (0.2, -0.2, 0.05), (0.2, 0.2, 0.05), (-0.2, 0.2, 0.05)],
                [(-0.3, -0.28, 0.95), (0.28, -0.28, 0.95), (0.28, 0.28, 0.95), (-0.3, 0.28, 0.95)],
            ]
        ),
        color,
    )
    builder.box((0, 0, 0.99), (0.66, 0.6, 0.08), shaded(color, 0.75))
    builder.tube([(-0.36, -0.25, 0.97), (-0.36, 0.25, 0.97)], 0.025, BLACK, 6)
    for side in (-1, 1):
        builder.wheel((-0.22, side * 0.25, 0.11), 0.11, 0.06)
    builder.box((0.27, 0, 0.7), (0.02, 0.22, 0.16), WHITE)
    return builder.build()


def dog(rng: np.random.Generator) -> Mesh:
    """A walking dog, in box frame."""
    builder = MeshBuilder()
    fur = pick(rng, [(130, 90, 54), (40, 36, 34), (210, 190, 150), (232, 228, 220), (160, 110, 60)])
    paws = shaded(fur, 0.8)
    builder.tube([(-0.4, 0, 0.5), (-0.28, 0, 0.52), (0.1, 0, 0.5), (0.32, 0, 0.54)], [0.09, 0.13, 0.16, 0.12], fur, 9)
    builder.tube([(0.28, 0, 0.58), (0.46, 0, 0.78)], [0.1, 0.08], fur, 8)
    builder.ellipsoid((0.5, 0, 0.82), (0.13, 0.095, 0.1), fur, 9)
    builder.tube([(0.56, 0, 0.8), (0.72, 0, 0.77)], [0.065, 0.045], fur, 7)
    builder.ellipsoid((0.73, 0, 0.785), 0.028, BLACK, 6)
    for side in (-1, 1):
        builder.prism([(0.4, 0.86), (0.48, 0.86), (0.43, 1.0)], side * 0.06 - 0.02, side * 0.06 + 0.02, paws)
        builder.box((0.6, side * 0.055, 0.85), (0.03, 0.02, 0.025), BLACK)
        for x, swing in ((0.26, 0.12 * side), (-0.32, -0.12 * side)):
            builder.tube(
                [(x, side * 0.08, 0.5), (x + swing * 0.3 - 0.02, side * 0.08, 0.26), (x + swing, side * 0.08, 0.03)],
                [0.07, 0.045, 0.035],
                fur,
                6,
            )
            builder.ellipsoid((x + swing + 0.03, side * 0.08, 0.03), (0.06, 0.04, 0.03), paws, 6)
    builder.tube([(-0.38, 0, 0.54), (-0.55, 0, 0.68), (-0.58, 0, 0.85)], [0.05, 0.035, 0.02], fur, 6)
    builder.tube([(0.33, 0, 0.62), (0.36, 0, 0.66)], 0.105, RED, 8)
    return builder.build()
