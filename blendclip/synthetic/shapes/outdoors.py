"""Buildings and plants that stand alone."""

from __future__ import annotations

import numpy as np

from blendclip.synthetic.meshes.mesh import Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import BLACK, DARK, GLASS, LAMP, RED, WHITE, pick, shaded
from blendclip.synthetic.shapes.palette import BRIGHTS, FABRICS, LEAVES, WOODS


def windmill(rng: np.random.Generator) -> Mesh:
    """A tower mill with four sails ahead, in box frame."""
    builder = MeshBuilder()
    wall, height, r = (
        pick(rng, [WHITE, (214, 200, 172), (150, 100, 74), (190, 186, 178)]),
        rng.uniform(8, 11),
        rng.uniform(2.4, 3.0),
    )
    builder.lathe([(0, r, r), (height, 0.62 * r, 0.62 * r)], (0, 0, 0), wall, 12)
    cap = pick(rng, [(110, 50, 40), (70, 74, 80), (96, 70, 46)])
    builder.lathe(
        [(height, 0.72 * r, 0.72 * r), (height + 1.2, 0.5 * r, 0.5 * r), (height + 1.9, 0.05, 0.05)], (0, 0, 0), cap, 16
    )
    builder.box((0.97 * r, 0, 1.1), (0.2, 1.1, 2.2), WOODS[1])
    for z in (0.42, 0.7):
        builder.box((r * (1 - 0.38 * z) - 0.02, 0, z * height), (0.16, 0.7, 0.9), GLASS)
    hub, turn, reach = np.array([0.62 * r + 0.9, 0, height + 0.3]), rng.uniform(0, np.pi / 2), rng.uniform(4.6, 5.8)
    builder.tube(np.array([(0, 0, hub[2]), hub + [0.3, 0, 0]]), 0.2, DARK)
    cloth = pick(rng, [WHITE, (236, 226, 200), *FABRICS[:2]])
    for sail in range(4):
        a = turn + sail * np.pi / 2
        along, across = np.array([0, np.cos(a), np.sin(a)]), np.array([0, -np.sin(a), np.cos(a)])
        builder.tube([hub, hub + reach * along], 0.1, WOODS[1], 6)
        corners = [hub + s * reach * along + w * across for s, w in ((0.2, 0.05), (1, 0.05), (1, 1.25), (0.2, 1.0))]
        builder.rings(np.array([corners, [corner + [0.05, 0, 0] for corner in corners]]), cloth)
        for s in np.linspace(0.2, 1, 6):
            builder.tube(
                [hub + s * reach * along + [0.06, 0, 0], hub + s * reach * along + 1.2 * across + [0.06, 0, 0]],
                0.05,
                WOODS[1],
                4,
            )
    return builder.build()


def lighthouse(rng: np.random.Generator) -> Mesh:
    """A striped lighthouse with gallery and lantern on a rock, in box frame."""
    builder = MeshBuilder()
    height, r, bands, color = (
        rng.uniform(14, 20),
        rng.uniform(2.0, 2.6),
        int(rng.integers(4, 7)),
        pick(rng, [RED, RED, (30, 60, 130), BLACK]),
    )
    edges = np.linspace(0, 1, bands + 1)
    for k, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        q0, q1 = r * (1 - 0.4 * low), r * (1 - 0.4 * high)
        builder.lathe([(low * height, q0, q0), (high * height, q1, q1)], (0, 0, 0), WHITE if k % 2 else color, 24)
    top = 0.6 * r
    builder.lathe([(height, 1.5 * top, 1.5 * top), (height + 0.25, 1.5 * top, 1.5 * top)], (0, 0, 0), DARK, 24)
    for a in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        builder.tube([(1.42 * top * np.cos(a), 1.42 * top * np.sin(a), height + z) for z in (0.2, 1.1)], 0.05, DARK, 5)
    builder.tube(
        [(1.42 * top * np.cos(a), 1.42 * top * np.sin(a), height + 1.1) for a in np.linspace(0, 2 * np.pi, 25)],
        0.05,
        DARK,
        5,
    )
    builder.lathe([(height + 0.25, 0.8 * top, 0.8 * top), (height + 2.2, 0.8 * top, 0.8 * top)], (0, 0, 0), LAMP, 10)
    builder.lathe(
        [(height + 2.2, top, top), (height + 3.2, 0.4 * top, 0.4 * top), (height + 3.7, 0.05, 0.05)],
        (0, 0, 0),
        color,
        20,
    )
    builder.box((0.98 * r, 0, 1.0), (0.3, 0.9, 2.0), WOODS[1])
    for share in (0.4, 0.66):
        builder.box((r * (1 - 0.4 * share), 0, share * height), (0.2, 0.5, 0.9), GLASS)
    builder.lathe(
        [(-1.4, 2.1 * r, 1.9 * r), (-0.4, 1.6 * r, 1.5 * r), (0, 1.2 * r, 1.2 * r)], (0, 0, 0), (120, 116, 108), 11
    )
    return builder.build()


def cactus(rng: np.random.Generator) -> Mesh:
    """A tall cactus with ribs and arms that bend upwards, in box frame."""
    builder = MeshBuilder()
    green, height, r = pick(rng, LEAVES), rng.uniform(1.8, 3.0), rng.uniform(0.18, 0.24)

    def column(points: list[tuple[float, float, float]], radius: float) -> None:
        builder.tube(points, [radius] * (len(points) - 1) + [0.5 * radius], green, 10)
        builder.ellipsoid(points[-1], (0.6 * radius, 0.6 * radius, 0.5 * radius), green, 10)

    column([(0, 0, 0), (0, 0, 0.5 * height), (0, 0, 0.95 * height), (0, 0, height)], r)
    turn = rng.uniform(-0.5, 0.5)
    for arm in range(int(rng.integers(2, 4))):
        a, low, tall = turn + np.pi / 2 + arm * np.pi, rng.uniform(0.3, 0.55) * height, rng.uniform(0.5, 0.9)
        cos, sin = np.cos(a), np.sin(a)
        if arm == 2:
            cos, sin = np.cos(turn), np.sin(turn)
        out = r + rng.uniform(0.25, 0.35)
        column(
            [
                (0, 0, low),
                (0.8 * out * cos, 0.8 * out * sin, low + 0.03),
                (out * cos, out * sin, low + 0.2),
                (out * cos, out * sin, low + tall),
            ],
            0.7 * r,
        )
    paler = shaded(green, 1.4)
    for a in np.linspace(0, 2 * np.pi, 10, endpoint=False):
        builder.tube(
            [(r * np.cos(a), r * np.sin(a), 0.02), (r * np.cos(a), r * np.sin(a), 0.93 * height)], 0.018, paler, 4
        )
    if rng.random() < 0.5:
        builder.ellipsoid((0, 0, height + 0.08), (0.09, 0.09, 0.07), pick(rng, BRIGHTS[:3]), 8)
    return builder.build()


def tent(rng: np.random.Generator) -> Mesh:
    """A ridge tent with an open door ahead, poles and ropes, in box frame."""
    builder = MeshBuilder()
    cloth, length, half, height = (
        pick(rng, BRIGHTS[:5] + FABRICS),
        rng.uniform(2.0, 2.8),
        rng.uniform(0.8, 1.1),
        rng.uniform(1.1, 1.5),
    )
    a, b = -length / 2, length / 2
    for side in (-1, 1):
        corners = [(a, side * half, 0), (b, side * half, 0), (b, 0, height), (a, 0, height)]
        builder.rings(np.array([corners, [(x, y * 0.99, z - 0.01) for x, y, z in corners]]), cloth)
        flap = [(b, side * half, 0), (b + 0.3, side * half * 0.75, 0.1), (b, side * 0.04, height)]
        builder.add(np.array(flap), np.array([[0, 1, 2]]), shaded(cloth, 0.8), None)
        for x, out in ((a, -0.5), (b, 0.5)):
            builder.tube([(x, 0, height), (x + 2 * out, side * 0.3, 0)], 0.01, WHITE, 4)
    builder.add(np.array([(a, half, 0), (a, -half, 0), (a, 0, height)]), np.array([[0, 1, 2]]), cloth, None)
    builder.add(
        np.array([(b - 0.04, 0.9 * half, 0), (b - 0.04, -0.9 * half, 0), (b - 0.04, 0, 0.92 * height)]),
        np.array([[0, 1, 2]]),
        (40, 38, 40),
        None,
    )
    builder.box((0, 0, 0.01), (length, 2 * half, 0.02), (90, 90, 84))
    for x in (a, b):
        builder.tube([(x, 0, 0), (x, 0, height + 0.1)], 0.02, WOODS[2], 6)
    return builder.build()
