"""Instruments, toys and sport."""

from __future__ import annotations

import numpy as np

from blendclip.synthetic.meshes.mesh import Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import BLACK, DARK, ORANGE, WHITE, pick
from blendclip.synthetic.shapes.palette import BRIGHTS, FABRICS, GOLD, METALS, WOODS


def guitar(rng: np.random.Generator) -> Mesh:
    """A guitar on end, strings ahead, in box frame."""
    builder = MeshBuilder()
    wood, side = pick(rng, [*WOODS, (190, 60, 40), (40, 42, 48), (226, 180, 90)]), pick(rng, WOODS[1:2] + WOODS[3:4])
    lower, upper, waist = rng.uniform(0.18, 0.21), rng.uniform(0.135, 0.155), rng.uniform(0.1, 0.12)
    heights = np.array([0.0, 0.06, 0.16, 0.27, 0.34, 0.42, 0.48])
    halves = np.array([0.08, 0.92 * lower, lower, waist * 1.02, waist, upper, 0.07])
    z = np.linspace(0, 0.48, 22)
    half = np.interp(z, heights, halves)
    half = np.convolve(np.pad(half, 1, "edge"), [0.25, 0.5, 0.25], "valid")
    for x, thick, color in ((-0.045, 0.088, side), (0.044, 0.004, wood)):
        for k in range(len(z) - 1):
            quad = [(half[k], z[k]), (half[k + 1], z[k + 1]), (-half[k + 1], z[k + 1]), (-half[k], z[k])]
            builder.rings(np.array([[(x, y, h) for y, h in quad], [(x + thick, y, h) for y, h in quad]]), color)
    builder.tube([(0.047, 0, 0.31), (0.051, 0, 0.31)], 0.05, BLACK, 24)
    builder.box((0.054, 0, 0.13), (0.012, 0.13, 0.02), DARK)
    neck = rng.uniform(0.42, 0.48)
    builder.box((0.035, 0, 0.42 + neck / 2), (0.035, 0.052, neck + 0.06), side)
    builder.box((0.055, 0, 0.36 + neck / 2), (0.008, 0.05, neck + 0.1), (50, 34, 26))
    builder.box((0.03, 0, 0.49 + neck), (0.025, 0.075, 0.14), side)
    for k in range(6):
        builder.tube([(0.062, (k - 2.5) * 0.008, 0.13), (0.062, (k - 2.5) * 0.008, 0.44 + neck)], 0.0012, METALS[0], 4)
        y, height = (-1 if k < 3 else 1), 0.45 + neck + 0.04 * (k % 3)
        builder.tube([(0.03, y * 0.035, height), (0.03, y * 0.06, height)], 0.009, WHITE, 8)
    return builder.build()


def piano(rng: np.random.Generator) -> Mesh:
    """An upright piano with keys ahead and pedals, in box frame."""
    builder = MeshBuilder()
    wood, width, height = pick(rng, [BLACK, BLACK, WHITE, *WOODS[:4]]), rng.uniform(1.4, 1.52), rng.uniform(1.1, 1.3)
    builder.box((-0.15, 0, height / 2), (0.34, width, height), wood)
    builder.box((-0.15, 0, height), (0.4, width + 0.04, 0.03), wood)
    builder.box((0.14, 0, 0.66), (0.3, width, 0.1), wood)
    builder.box((0.16, 0, 0.725), (0.2, width - 0.12, 0.03), WHITE)
    keys = 36
    for key in range(keys):
        y = (key + 0.5 - keys / 2) * (width - 0.14) / keys
        builder.box((0.26, y + (width - 0.14) / keys / 2, 0.742), (0.004, 0.003, 0.004), DARK)
        if key % 7 not in (2, 6):
            builder.box((0.11, y + (width - 0.14) / keys / 2, 0.75), (0.1, 0.016, 0.025), BLACK)
    for side in (-1, 1):
        builder.box((0.16, side * (width / 2 - 0.03), 0.72), (0.28, 0.06, 0.08), wood)
        builder.tube(
            [(0.24, side * (width / 2 - 0.05), 0), (0.24, side * (width / 2 - 0.05), 0.62)], [0.05, 0.035], wood, 10
        )
    builder.box((0.03, 0, 0.98), (0.04, 0.5, 0.22), (230, 226, 214))
    for y in (-0.08, 0, 0.08):
        builder.box((0.08, y, 0.06), (0.14, 0.03, 0.015), GOLD)
    return builder.build()


def drum(rng: np.random.Generator) -> Mesh:
    """A drum with laced sides and two sticks on its skin, in box frame."""
    builder = MeshBuilder()
    r, height, shell = rng.uniform(0.16, 0.22), rng.uniform(0.2, 0.34), pick(rng, BRIGHTS[:6] + FABRICS[:2])
    builder.lathe([(0, r, r), (height, r, r)], (0, 0, 0), shell, 32)
    rim = pick(rng, [GOLD, *METALS, WHITE])
    for z in (0, height - 0.03):
        builder.lathe([(z, 1.04 * r, 1.04 * r), (z + 0.03, 1.04 * r, 1.04 * r)], (0, 0, 0), rim, 32)
    builder.lathe([(height, 0.98 * r, 0.98 * r), (height + 0.004, 0.98 * r, 0.98 * r)], (0, 0, 0), (240, 234, 220), 32)
    turns = 8
    for k in range(turns):
        a, b = 2 * np.pi * k / turns, 2 * np.pi * (k + 0.5) / turns
        for start, end in ((a, b), (b, 2 * a - b + 4 * np.pi / turns)):
            low, high = (0.03, height - 0.03) if start == a else (height - 0.03, 0.03)
            builder.tube(
                [
                    (1.02 * r * np.cos(start), 1.02 * r * np.sin(start), low),
                    (1.02 * r * np.cos(end), 1.02 * r * np.sin(end), high),
                ],
                0.004,
                WHITE,
                5,
            )
    for side in (-1, 1):
        tip = (0.3 * r, side * 0.1 * r, height + 0.02)
        builder.tube([tip, (-0.9 * r, side * (0.45 * r + 0.05), height + 0.05)], 0.007, WOODS[2], 8)
        builder.ellipsoid(tip, 0.014, WOODS[2], 8)
    return builder.build()


def skateboard(rng: np.random.Generator) -> Mesh:
    """A skateboard on four wheels, both ends turned up, in box frame."""
    builder = MeshBuilder()
    length, half = rng.uniform(0.74, 0.84), rng.uniform(0.095, 0.11)
    deck, wheels = pick(rng, BRIGHTS + WOODS), pick(rng, BRIGHTS)
    rows = []
    for share in np.linspace(-1, 1, 17):
        width = half * (1 - max(abs(share) - 0.72, 0) ** 2 * 10)
        z = 0.105 + max(abs(share) - 0.62, 0) * 0.14
        rows.append(
            [
                (share * length / 2, -width, z),
                (share * length / 2, width, z),
                (share * length / 2, width, z + 0.014),
                (share * length / 2, -width, z + 0.014),
            ]
        )
    rings = np.array(rows)
    builder.rings(rings, deck)
    builder.rings(rings + [0, 0, 0.013], (44, 44, 46))
    for x in (-0.3 * length, 0.3 * length):
        builder.box((x, 0, 0.085), (0.08, 0.06, 0.04), METALS[1])
        builder.tube([(x, -half, 0.04), (x, half, 0.04)], 0.01, METALS[1])
        builder.box((x, 0, 0.06), (0.03, 0.05, 0.05), METALS[1])
        for y in (-0.85 * half, 0.85 * half):
            builder.tube([(x, y - 0.018, 0.035), (x, y + 0.018, 0.035)], 0.035, wheels, 16)
    return builder.build()


def tennis_racket(rng: np.random.Generator) -> Mesh:
    """A tennis racket on end with strings and a taped grip, in box frame."""
    builder = MeshBuilder()
    frame, grip, a, b = (
        pick(rng, BRIGHTS),
        pick(rng, [BLACK, WHITE, (120, 80, 50)]),
        rng.uniform(0.125, 0.14),
        rng.uniform(0.16, 0.18),
    )
    center = 0.52
    builder.tube([(0, a * np.cos(t), center + b * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 41)], 0.011, frame, 8)
    builder.tube([(0, 0, 0), (0, 0, 0.2)], 0.017, grip, 8)
    builder.tube([(0, 0, 0.2), (0, 0, 0.28)], 0.014, frame, 8)
    for side in (-1, 1):
        builder.tube([(0, 0, 0.25), (0, side * 0.62 * a, center - 0.8 * b)], 0.011, frame, 8)
    for share in np.linspace(-0.88, 0.88, 15):
        reach = np.sqrt(1 - share**2)
        builder.tube(
            [(0, share * a, center - reach * b), (0, share * a, center + reach * b)], 0.0022, (240, 240, 220), 4
        )
        builder.tube(
            [(0, -reach * a, center + share * b), (0, reach * a, center + share * b)], 0.0022, (240, 240, 220), 4
        )
    return builder.build()


def snowman(rng: np.random.Generator) -> Mesh:
    """A snowman with hat, scarf, arms of twigs and a carrot for a nose, in box frame."""
    builder = MeshBuilder()
    snow, r = (240, 244, 250), rng.uniform(0.42, 0.5)
    middle, head = 0.72 * r, rng.uniform(0.46, 0.54) * r
    z1, z2 = 1.55 * r + 0.4 * middle, 1.55 * r + 1.15 * middle + 0.8 * head
    for z, radius in ((0.9 * r, r), (z1, middle), (z2, head)):
        builder.ellipsoid((0, 0, z), radius, snow, 22)
    builder.tube([(0.9 * head, 0, z2), (1.9 * head, 0, z2 - 0.02)], [0.05, 0.006], ORANGE, 10)
    for side in (-1, 1):
        builder.ellipsoid((0.85 * head, side * 0.36 * head, z2 + 0.32 * head), 0.032, BLACK, 8)
        hand = (0.1, side * (middle + 0.45), z1 + rng.uniform(0.15, 0.4))
        builder.tube([(0, side * 0.8 * middle, z1 + 0.05), hand], [0.022, 0.012], WOODS[1], 6)
        for turn in (-0.1, 0.1):
            builder.tube([hand, (hand[0] + turn, hand[1] + side * 0.1, hand[2] + 0.1)], 0.009, WOODS[1], 5)
    for k in range(3):
        builder.ellipsoid((0.97 * middle, 0, z1 + (k - 1) * 0.33 * middle), 0.03, BLACK, 8)
    top, brim = z2 + 0.75 * head, pick(rng, [BLACK, DARK, *BRIGHTS[:4]])
    builder.lathe([(top, 1.2 * head, 1.2 * head), (top + 0.03, 1.2 * head, 1.2 * head)], (0, 0, 0), brim, 22)
    builder.lathe([(top, 0.72 * head, 0.72 * head), (top + 1.1 * head, 0.66 * head, 0.66 * head)], (0, 0, 0), brim, 22)
    scarf = pick(rng, BRIGHTS)
    neck = z2 - 0.82 * head
    builder.tube(
        [(0.78 * head * np.cos(a), 0.78 * head * np.sin(a), neck) for a in np.linspace(0, 2 * np.pi, 21)],
        0.065,
        scarf,
        8,
    )
    builder.box((0.8 * head + 0.1, 0.12, neck - 0.18), (0.05, 0.11, 0.34), scarf)
    return builder.build()
