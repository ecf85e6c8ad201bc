"""Things about the house: to cook and drink with, to look at, to carry."""

from __future__ import annotations

import numpy as np

from blendclip.synthetic.meshes.mesh import Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import BLACK, DARK, STEEL, WHITE, pick, shaded
from blendclip.synthetic.shapes.palette import BRIGHTS, FABRICS, GLAZES, LEAVES, METALS, TERRACOTTA, WOODS


def _arc(center: tuple[float, float], radius: float, start: float, stop: float, count: int = 9) -> list[tuple]:
    """Points (x, 0, z) on an arc about `centre` in the plane of x and z, angles from x towards z."""
    return [
        (center[0] + radius * np.cos(a), 0.0, center[1] + radius * np.sin(a)) for a in np.linspace(start, stop, count)
    ]


def mug(rng: np.random.Generator) -> Mesh:
    """A mug full of coffee or tea with a handle behind, in box frame."""
    builder = MeshBuilder()
    glaze, radius, height = pick(rng, GLAZES), rng.uniform(0.036, 0.046), rng.uniform(0.085, 0.11)
    flare = rng.uniform(0.9, 1.12)
    top = radius * flare
    builder.lathe([(0, 0.9 * radius, 0.9 * radius), (0.006, radius, radius), (height, top, top)], (0, 0, 0), glaze, 28)
    builder.lathe([(height, 0.9 * top, 0.9 * top), (height + 0.001, 0.9 * top, 0.9 * top)], (0, 0, 0), (84, 50, 30), 28)
    grip = height * rng.uniform(0.26, 0.34)
    middle = (-(radius + top) / 2, height * 0.52)
    builder.tube([(x * 1.0, y, z) for x, y, z in _arc(middle, grip, np.pi / 2, 1.5 * np.pi, 11)], 0.006, glaze, 8)
    if rng.random() < 0.5:
        r = radius + (top - radius) * 0.5 + 0.0006
        builder.lathe([(0.4 * height, r, r), (0.6 * height, r * 1.01, r * 1.01)], (0, 0, 0), pick(rng, BRIGHTS), 28)
    return builder.build()


def bottle(rng: np.random.Generator) -> Mesh:
    """A bottle of wine, water or beer with label and cap, in box frame."""
    builder = MeshBuilder()
    glass = pick(rng, [(40, 92, 56), (104, 60, 26), (70, 140, 190), (28, 40, 36), (190, 40, 50)])
    radius, height = rng.uniform(0.032, 0.042), rng.uniform(0.24, 0.32)
    shoulder, neck = height * rng.uniform(0.52, 0.64), rng.uniform(0.012, 0.016)
    slope = height * rng.uniform(0.1, 0.2)
    profile = [(0, 0.92 * radius), (0.008, radius), (shoulder, radius), (shoulder + slope * 0.55, 0.62 * radius)]
    profile += [(shoulder + slope, neck), (height - 0.02, neck)]
    builder.lathe([(z, r, r) for z, r in profile], (0, 0, 0), glass, 24)
    label = radius * 1.015
    low = shoulder * rng.uniform(0.2, 0.35)
    builder.lathe([(low, label, label), (shoulder * 0.85, label, label)], (0, 0, 0), pick(rng, [WHITE, *BRIGHTS]), 24)
    cap = neck * 1.25
    builder.lathe([(height - 0.035, cap, cap), (height, cap, cap)], (0, 0, 0), pick(rng, BRIGHTS + METALS), 16)
    return builder.build()


def teapot(rng: np.random.Generator) -> Mesh:
    """A round teapot, its spout ahead and its handle behind, in box frame."""
    builder = MeshBuilder()
    glaze, radius = pick(rng, GLAZES), rng.uniform(0.085, 0.105)
    squash = rng.uniform(0.75, 0.95)
    builder.ellipsoid((0, 0, squash * radius), (radius, radius, squash * radius), glaze, 24)
    top = 2 * squash * radius
    builder.lathe([(0, 0.5 * radius, 0.5 * radius), (0.02, 0.55 * radius, 0.55 * radius)], (0, 0, -0.006), glaze, 20)
    lid = pick(rng, GLAZES) if rng.random() < 0.4 else glaze
    builder.lathe(
        [(top - 0.012, 0.5 * radius, 0.5 * radius), (top + 0.006, 0.34 * radius, 0.34 * radius)], (0, 0, 0), lid, 20
    )
    builder.ellipsoid((0, 0, top + 0.018), 0.014, lid, 12)
    spout = [
        (0.8 * radius, 0, 0.5 * top),
        (1.2 * radius, 0, 0.62 * top),
        (1.42 * radius, 0, 0.85 * top),
        (1.66 * radius, 0, top),
    ]
    builder.tube(spout, [0.026, 0.019, 0.014, 0.011], glaze, 12)
    builder.tube(_arc((-0.86 * radius, 0.55 * top), 0.62 * radius, 0.45 * np.pi, 1.55 * np.pi, 13), 0.009, glaze, 8)
    return builder.build()


def frying_pan(rng: np.random.Generator) -> Mesh:
    """A frying pan with a long handle behind, in some of them a fried egg, in box frame."""
    builder = MeshBuilder()
    metal, radius, height = (
        pick(rng, [BLACK, DARK, *METALS, (150, 50, 40)]),
        rng.uniform(0.11, 0.15),
        rng.uniform(0.035, 0.05),
    )
    builder.lathe([(0, 0.8 * radius, 0.8 * radius), (height, radius, radius)], (0, 0, 0), metal, 32)
    builder.lathe(
        [(height, 0.94 * radius, 0.94 * radius), (height + 0.001, 0.94 * radius, 0.94 * radius)],
        (0, 0, 0),
        (58, 58, 62),
        32,
    )
    builder.tube(
        [(radius * np.cos(a), radius * np.sin(a), height) for a in np.linspace(0, 2 * np.pi, 33)], 0.003, metal, 6
    )
    reach = radius + rng.uniform(0.16, 0.22)
    builder.tube(
        [(-0.95 * radius, 0, height - 0.01), (-1.3 * radius, 0, height + 0.012), (-reach, 0, height + 0.03)],
        [0.009, 0.011, 0.013],
        pick(rng, [BLACK, *WOODS[:2]]),
        8,
    )
    if rng.random() < 0.5:
        builder.lathe([(height + 0.002, 0.055, 0.048), (height + 0.006, 0.05, 0.042)], (0.01, 0.01, 0), WHITE, 16)
        builder.ellipsoid((0.015, 0.005, height + 0.008), (0.02, 0.02, 0.011), (250, 180, 30), 12)
    return builder.build()


def umbrella(rng: np.random.Generator) -> Mesh:
    """An open umbrella with panels of one or two colours and a crook, in box frame."""
    builder = MeshBuilder()
    first, second = pick(rng, BRIGHTS), pick(rng, BRIGHTS)
    second = second if rng.random() < 0.6 else first
    radius, drop, top = rng.uniform(0.45, 0.55), rng.uniform(0.2, 0.3), rng.uniform(0.85, 0.95)
    panels = 8
    for panel in range(panels):
        a, b = 2 * np.pi * panel / panels, 2 * np.pi * (panel + 1) / panels
        rows = []
        for share in np.linspace(0.02, 1, 6):
            z = top - drop * share**2
            r = radius * share
            middle = (a + b) / 2
            sag = 1 - 0.1 * share
            rows.append(
                [
                    (r * np.cos(a), r * np.sin(a), z),
                    (sag * r * np.cos(middle), sag * r * np.sin(middle), z + 0.012),
                    (r * np.cos(b), r * np.sin(b), z),
                ]
            )
        grid = np.array(rows)
        index = np.arange(18).reshape(6, 3)
        low, right, up, far = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
        faces = np.concatenate(
            [np.stack([low, right, far], -1).reshape(-1, 3), np.stack([low, far, up], -1).reshape(-1, 3)]
        )
        builder.add(grid.reshape(-1, 3), faces, second if panel % 2 else first, None)
    builder.tube([(0, 0, 0.06), (0, 0, top + 0.06)], 0.009, STEEL, 8)
    hook = [
        (0, 0, 0.06),
        *[(0.05 + 0.05 * np.cos(a), 0, 0.06 + 0.05 * np.sin(a)) for a in np.linspace(np.pi, 2 * np.pi, 8)],
    ]
    builder.tube(hook, 0.014, pick(rng, WOODS), 8)
    return builder.build()


def laptop(rng: np.random.Generator) -> Mesh:
    """An open laptop with a lit screen and keys, in box frame."""
    builder = MeshBuilder()
    case, width = pick(rng, [*METALS, (40, 42, 46), (230, 230, 228), (200, 150, 140)]), rng.uniform(0.3, 0.38)
    depth = width * 0.68
    builder.box((0, 0, 0.008), (depth, width, 0.016), case)
    for row in range(5):
        for key in range(12):
            y = (key + 0.5 - 6) * width * 0.9 / 12
            builder.box(
                (-0.06 * depth - (row - 1.5) * 0.11 * depth, y, 0.018),
                (0.085 * depth, width * 0.06, 0.004),
                (38, 38, 42),
            )
    builder.box((0.36 * depth, 0, 0.0168), (0.2 * depth, 0.3 * width, 0.002), (120, 122, 126))
    lean = rng.uniform(0.05, 0.5)
    up = np.array([-np.sin(lean), 0, np.cos(lean)])
    ahead = np.array([np.cos(lean), 0, np.sin(lean)])
    hinge = np.array([-depth / 2, 0, 0.014])
    for share, thick, color, inset in (
        (0, 0.006, case, 0),
        (0.0065, 0.0015, pick(rng, [(60, 120, 200), (90, 60, 150), (30, 140, 130), (230, 150, 90)]), 0.014),
    ):
        corners = [
            hinge + ahead * share + up * h + np.array([0, y, 0])
            for h, y in (
                (inset, -width / 2 + inset),
                (inset, width / 2 - inset),
                (depth - inset, width / 2 - inset),
                (depth - inset, -width / 2 + inset),
            )
        ]
        builder.rings(np.array([corners, [corner + ahead * thick for corner in corners]]), color)
    return builder.build()


def television(rng: np.random.Generator) -> Mesh:
    """A television set: a flat screen on a foot, or an old box with aerials, facing ahead, in box frame."""
    builder = MeshBuilder()
    picture = pick(rng, [(60, 130, 200), (120, 180, 90), (200, 110, 70), (70, 70, 120)])
    if rng.random() < 0.6:
        width = rng.uniform(0.9, 1.4)
        height = width * 0.57
        builder.box((0, 0, 0.1 + height / 2), (0.04, width, height), BLACK)
        builder.box((0.021, 0, 0.1 + height / 2), (0.004, width - 0.04, height - 0.04), picture)
        builder.box((0, 0, 0.06), (0.03, 0.12, 0.1), DARK)
        builder.box((0, 0, 0.01), (0.22, 0.4 * width, 0.02), DARK)
        return builder.build()
    wood, width = pick(rng, WOODS), rng.uniform(0.5, 0.65)
    height = width * 0.8
    builder.box((0, 0, height / 2 + 0.06), (0.4, width, height), wood)
    builder.box((0.2, 0.1 * width, height / 2 + 0.06), (0.02, 0.68 * width, 0.78 * height), picture)
    for z in (0.55, 0.72):
        builder.tube([(0.2, -0.38 * width, z * height), (0.23, -0.38 * width, z * height)], 0.03, BLACK, 12)
    for side in (-1, 1):
        builder.tube([(0, 0, height + 0.06), (0, side * 0.22, height + 0.42)], 0.006, STEEL, 6)
        for x in (-0.15, 0.15):
            builder.tube([(x, side * width * 0.42, 0), (x, side * width * 0.38, 0.07)], 0.018, DARK)
    return builder.build()


def plant(rng: np.random.Generator) -> Mesh:
    """A house plant with long leaves, and in some flowers, in a pot, in box frame."""
    builder = MeshBuilder()
    height, radius = rng.uniform(0.16, 0.22), rng.uniform(0.1, 0.13)
    pot = pick(rng, [TERRACOTTA, TERRACOTTA, *GLAZES])
    builder.lathe([(0, 0.7 * radius, 0.7 * radius), (height, radius, radius)], (0, 0, 0), pot, 20)
    builder.lathe(
        [(height - 0.03, 1.12 * radius, 1.12 * radius), (height, 1.14 * radius, 1.14 * radius)], (0, 0, 0), pot, 20
    )
    builder.lathe([(height, radius, radius), (height + 0.004, radius, radius)], (0, 0, 0), (70, 50, 36), 20)
    leaf, bloom = pick(rng, LEAVES), pick(rng, BRIGHTS) if rng.random() < 0.5 else None
    for number in range(int(rng.integers(9, 15))):
        turn, reach, tall = number * 2.4 + rng.uniform(-0.2, 0.2), rng.uniform(0.1, 0.3), rng.uniform(0.2, 0.45)
        cos, sin = np.cos(turn), np.sin(turn)
        spine = [
            (reach * s**1.5 * cos, reach * s**1.5 * sin, height + tall * (s - 0.35 * s**3))
            for s in np.linspace(0, 1, 6)
        ]
        builder.tube(spine, [0.006, 0.02, 0.03, 0.03, 0.02, 0.003], leaf, 5)
        if bloom and number % 2:
            builder.ellipsoid(spine[-1], 0.032, bloom, 8)
    return builder.build()


def suitcase(rng: np.random.Generator) -> Mesh:
    """An upright suitcase with ribs, wheels and a drawn-out handle, in box frame."""
    builder = MeshBuilder()
    shell, width, height, depth = (
        pick(rng, BRIGHTS + FABRICS),
        rng.uniform(0.36, 0.48),
        rng.uniform(0.52, 0.68),
        rng.uniform(0.2, 0.26),
    )
    builder.box((0, 0, 0.05 + height / 2), (depth, width, height), shell)
    darker = shaded(shell, 0.72)
    for share in np.linspace(-0.36, 0.36, 5):
        builder.box((0, share * width, 0.05 + height / 2), (depth + 0.02, 0.025, 0.92 * height), darker)
    builder.box((0, 0, 0.05 + height / 2), (0.02, width + 0.01, height + 0.01), DARK)
    reach = rng.uniform(0.12, 0.4)
    for y in (-0.1, 0.1):
        builder.tube([(-depth / 2 + 0.04, y, height), (-depth / 2 + 0.04, y, height + 0.05 + reach)], 0.009, STEEL)
    builder.tube(
        [(-depth / 2 + 0.04, -0.12, height + 0.06 + reach), (-depth / 2 + 0.04, 0.12, height + 0.06 + reach)],
        0.018,
        BLACK,
    )
    for x in (-depth / 2 + 0.04, depth / 2 - 0.04):
        for y in (-width / 2 + 0.05, width / 2 - 0.05):
            builder.wheel((x, y, 0.025), 0.025, 0.03)
    return builder.build()


def ladder(rng: np.random.Generator) -> Mesh:
    """A step ladder that stands astride, in box frame."""
    builder = MeshBuilder()
    color, height, spread = (
        pick(rng, [*METALS, *WOODS[:3], (240, 190, 30), (200, 60, 40)]),
        rng.uniform(1.3, 2.2),
        rng.uniform(0.35, 0.5),
    )
    steps = int(height / 0.28)
    for side in (-1, 1):
        y = side * 0.22
        builder.tube([(spread, y * 1.25, 0), (0.05, y, height)], 0.028, color, 4)
        builder.tube([(-spread, y * 1.25, 0), (-0.05, y, height)], 0.022, color, 4)
        builder.tube(
            [(spread * 0.55, y * 1.1, height * 0.45), (-spread * 0.55, y * 1.1, height * 0.45)], 0.008, DARK, 6
        )
    for step in range(1, steps):
        share = step / steps
        builder.box((spread * (1 - share) + 0.05 * share, 0, share * height), (0.1, 0.5 - 0.06 * share, 0.025), color)
    builder.box((0, 0, height), (0.16, 0.5, 0.04), pick(rng, [BLACK, DARK, color]))
    return builder.build()
