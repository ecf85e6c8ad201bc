"""Animals, heads ahead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blendclip.synthetic.meshes.mesh import Color, Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import BLACK, WHITE, pick, shaded
from blendclip.synthetic.shapes.palette import BRIGHTS, IVORY

Point = tuple[float, float, float]


@dataclass(frozen=True)
class _Build:
    """Measures of an animal on four legs, metres."""

    length: float
    """From chest to rump."""
    girth: float
    """Radius of the body."""
    leg: float
    """From the ground to the belly."""
    thick: float
    """Radius of a leg."""
    flat: float = 1.0
    """Width of the body as a share of its height."""


def _body(builder: MeshBuilder, build: _Build, coat: Color, hoof: Color) -> float:
    """Add body and legs, the chest at x = length / 2; return the height of the spine's axis."""
    z, half, r = build.leg + build.girth, build.length / 2, build.girth
    stations = [
        (-half, 0.55),
        (-0.86 * half, 0.88),
        (-0.4 * half, 1.0),
        (0.3 * half, 0.97),
        (0.84 * half, 0.95),
        (half, 0.6),
    ]
    angle = 2 * np.pi * np.arange(14) / 14
    rings = [[(x, build.flat * r * s * np.sin(a), z + r * s * np.cos(a)) for a in angle] for x, s in stations]
    builder.rings(np.array(rings), coat)
    for front in (-1, 1):
        for side in (-1, 1):
            x, y = front * half * 0.72, side * build.flat * r * 0.6
            step = 0.06 * build.length * side * front
            joints = [(x, y, z - 0.2 * r), (x + 0.3 * step, y, 0.5 * build.leg), (x + step, y, 0.06 * build.leg)]
            builder.tube(joints, [1.7 * build.thick, build.thick, 0.85 * build.thick], coat, 8)
            builder.tube(
                [joints[-1], (joints[-1][0] + 0.3 * build.thick, y, 0)],
                [0.95 * build.thick, 1.15 * build.thick],
                hoof,
                8,
            )
    return z


def _eyes(builder: MeshBuilder, at: Point, apart: float, radius: float) -> None:
    for side in (-1, 1):
        builder.ellipsoid((at[0], at[1] + side * apart, at[2]), radius, BLACK, 8)


def horse(rng: np.random.Generator) -> Mesh:
    """A horse with mane and tail, in box frame."""
    builder = MeshBuilder()
    coat, hair = (
        pick(rng, [(120, 74, 42), (70, 46, 32), (222, 216, 204), (160, 110, 64), (52, 46, 44)]),
        pick(rng, [(34, 26, 22), (210, 190, 150), (70, 44, 28)]),
    )
    build = _Build(rng.uniform(1.35, 1.55), rng.uniform(0.29, 0.33), rng.uniform(0.78, 0.9), 0.055, 0.8)
    z, half = _body(builder, build, coat, BLACK), build.length / 2
    top = z + rng.uniform(0.62, 0.75)
    builder.tube(
        [(half * 0.8, 0, z + 0.05), (half + 0.2, 0, z + 0.45), (half + 0.3, 0, top)], [0.21, 0.14, 0.1], coat, 12
    )
    builder.tube(
        [(half + 0.24, 0, top + 0.02), (half + 0.45, 0, top - 0.12), (half + 0.66, 0, top - 0.3)],
        [0.11, 0.095, 0.06],
        coat,
        12,
    )
    _eyes(builder, (half + 0.4, 0, top - 0.03), 0.08, 0.018)
    for side in (-1, 1):
        builder.tube(
            [(half + 0.25, side * 0.06, top + 0.06), (half + 0.27, side * 0.08, top + 0.2)], [0.035, 0.005], coat, 6
        )
    for share in np.linspace(0, 1, 7):
        x, h = half * 0.85 + share * (half * 0.15 + 0.22), z + 0.28 + share * (top - z - 0.2)
        builder.ellipsoid((x - 0.13 * (1 - share) - 0.05, 0, h), (0.09, 0.03, 0.1), hair, 8)
    builder.tube(
        [(-half, 0, z + 0.15), (-half - 0.16, 0, z + 0.02), (-half - 0.22, 0, z - 0.55)], [0.05, 0.08, 0.03], hair, 8
    )
    return builder.build()


def elephant(rng: np.random.Generator) -> Mesh:
    """An elephant with trunk, tusks and wide ears, in box frame."""
    builder = MeshBuilder()
    gray = pick(rng, [(132, 130, 130), (112, 110, 114), (146, 138, 130)])
    build = _Build(rng.uniform(2.2, 2.6), rng.uniform(0.72, 0.82), rng.uniform(0.85, 1.05), 0.2, 0.85)
    z, half = _body(builder, build, gray, (96, 94, 94)), build.length / 2
    head = (half + 0.35, 0.0, z + 0.35)
    builder.ellipsoid(head, (0.55, 0.45, 0.55), gray, 18)
    curl = rng.uniform(0.0, 0.5)
    trunk = [
        (half + 0.7, 0, z + 0.2),
        (half + 1.0, 0, z - 0.35),
        (half + 1.05, 0, z - 0.85),
        (half + 1.2 + curl, 0, z - 1.15 + curl * 0.6),
    ]
    builder.tube(trunk, [0.26, 0.18, 0.13, 0.1], gray, 12)
    for side in (-1, 1):
        builder.tube(
            [
                (half + 0.7, side * 0.2, z + 0.02),
                (half + 1.05, side * 0.26, z - 0.2),
                (half + 1.35, side * 0.26, z - 0.1),
            ],
            [0.07, 0.055, 0.01],
            IVORY,
            8,
        )
        ear = np.array(
            [
                [
                    (half + 0.18 + dx - 0.35 * abs(t), side * (0.4 + 0.42 * np.cos(a)), z + 0.35 + 0.62 * np.sin(a))
                    for a in np.linspace(0, 2 * np.pi, 16, endpoint=False)
                    for t in [np.cos(a)]
                ]
                for dx in (-0.04, 0.04)
            ]
        )
        builder.rings(ear, shaded(gray, 0.9))
    _eyes(builder, (half + 0.72, 0, z + 0.48), 0.34, 0.035)
    builder.tube(
        [(-half, 0, z + 0.2), (-half - 0.12, 0, z - 0.2), (-half - 0.1, 0, z - 0.6)], [0.05, 0.03, 0.04], gray, 6
    )
    return builder.build()


def giraffe(rng: np.random.Generator) -> Mesh:
    """A giraffe, spotted, with a long neck, in box frame."""
    builder = MeshBuilder()
    coat, spot = pick(rng, [(226, 190, 120), (236, 204, 140)]), pick(rng, [(140, 84, 40), (110, 62, 32)])
    build = _Build(rng.uniform(1.5, 1.7), rng.uniform(0.36, 0.42), rng.uniform(1.6, 1.9), 0.07, 0.75)
    z, half = _body(builder, build, coat, (80, 56, 36)), build.length / 2
    neck = rng.uniform(1.6, 2.0)
    foot, top = np.array([half * 0.75, 0, z + 0.1]), np.array([half + 0.75, 0, z + neck])
    builder.tube([foot, (foot + top) / 2 + [0.02, 0, 0], top], [0.28, 0.16, 0.12], coat, 12)
    builder.tube([top + [-0.08, 0, 0.02], top + [0.2, 0, -0.02], top + [0.46, 0, -0.18]], [0.14, 0.12, 0.06], coat, 10)
    for side in (-1, 1):
        builder.tube([top + [-0.02, side * 0.05, 0.1], top + [-0.05, side * 0.07, 0.3]], [0.022, 0.03], spot, 6)
        builder.tube([top + [-0.08, side * 0.1, 0.06], top + [-0.14, side * 0.28, 0.12]], [0.05, 0.01], coat, 6)
    _eyes(builder, (top[0] + 0.16, 0, top[2] + 0.04), 0.11, 0.022)
    for _ in range(70):
        a, share = rng.uniform(0, 2 * np.pi), rng.uniform(-0.85, 0.9)
        place = (share * half, build.flat * build.girth * 0.965 * np.sin(a), z + build.girth * 0.965 * np.cos(a))
        builder.ellipsoid(place, rng.uniform(0.06, 0.1), spot, 6)
    for _ in range(34):
        share, a = rng.uniform(0.05, 0.95), rng.uniform(0, 2 * np.pi)
        axis, radius = foot + share * (top - foot), 0.275 - 0.155 * min(share * 1.6, 1)
        builder.ellipsoid(
            (axis[0] + radius * np.cos(a), radius * np.sin(a), axis[2]), rng.uniform(0.045, 0.07), spot, 6
        )
    builder.tube([(-half, 0, z + 0.2), (-half - 0.1, 0, z - 0.5)], [0.03, 0.02], coat, 6)
    builder.ellipsoid((-half - 0.11, 0, z - 0.58), (0.04, 0.04, 0.12), BLACK, 8)
    return builder.build()


def cow(rng: np.random.Generator) -> Mesh:
    """A cow with patches, horns and udder, in box frame."""
    builder = MeshBuilder()
    coat, patch = (WHITE, BLACK) if rng.random() < 0.6 else ((236, 228, 214), (140, 84, 50))
    build = _Build(rng.uniform(1.5, 1.7), rng.uniform(0.36, 0.41), rng.uniform(0.55, 0.65), 0.075, 0.85)
    z, half = _body(builder, build, coat, (60, 50, 44)), build.length / 2
    builder.tube([(half * 0.8, 0, z + 0.1), (half + 0.22, 0, z + 0.26)], [0.26, 0.18], coat, 12)
    builder.tube(
        [(half + 0.12, 0, z + 0.34), (half + 0.36, 0, z + 0.24), (half + 0.6, 0, z + 0.08)],
        [0.17, 0.16, 0.12],
        patch,
        12,
    )
    builder.ellipsoid((half + 0.64, 0, z + 0.06), (0.09, 0.13, 0.1), (226, 160, 150), 12)
    for side in (-1, 1):
        builder.tube(
            [
                (half + 0.16, side * 0.12, z + 0.44),
                (half + 0.16, side * 0.26, z + 0.5),
                (half + 0.24, side * 0.3, z + 0.64),
            ],
            [0.04, 0.03, 0.006],
            IVORY,
            8,
        )
        builder.ellipsoid((half + 0.12, side * 0.27, z + 0.34), (0.05, 0.13, 0.07), patch, 8)
    _eyes(builder, (half + 0.36, 0, z + 0.32), 0.13, 0.025)
    for _ in range(7):
        a, share = rng.uniform(0.35, 2.0) * rng.choice([-1, 1]), rng.uniform(-0.75, 0.6)
        place = (share * half, 0.88 * build.flat * build.girth * np.sin(a), z + 0.88 * build.girth * np.cos(a))
        builder.ellipsoid(place, (rng.uniform(0.12, 0.26), 0.12, rng.uniform(0.1, 0.2)), patch, 10)
    builder.ellipsoid((-half * 0.5, 0, build.leg + 0.02), (0.17, 0.14, 0.13), (232, 170, 160), 10)
    builder.tube([(-half, 0, z + 0.25), (-half - 0.1, 0, z), (-half - 0.08, 0, z - 0.5)], [0.03, 0.02, 0.02], coat, 6)
    builder.ellipsoid((-half - 0.08, 0, z - 0.55), (0.04, 0.04, 0.1), patch, 8)
    return builder.build()


def duck(rng: np.random.Generator) -> Mesh:
    """A swimming or toy duck with a flat beak, in box frame."""
    builder = MeshBuilder()
    feather = pick(rng, [(250, 206, 40), (244, 244, 240), (134, 104, 72)])
    head = (40, 110, 70) if feather[0] < 180 and rng.random() < 0.7 else feather
    length, width = rng.uniform(0.17, 0.22), rng.uniform(0.095, 0.12)
    builder.ellipsoid((0, 0, 0.09), (length, width, 0.095), feather, 18)
    builder.tube(
        [(-0.6 * length, 0, 0.11), (-length, 0, 0.16), (-1.15 * length, 0, 0.21)], [0.07, 0.045, 0.008], feather, 10
    )
    top = rng.uniform(0.25, 0.3)
    builder.tube(
        [(0.55 * length, 0, 0.12), (0.68 * length, 0, 0.19), (0.7 * length, 0, top)], [0.07, 0.045, 0.05], head, 12
    )
    builder.ellipsoid((0.74 * length, 0, top + 0.015), (0.072, 0.06, 0.06), head, 14)
    builder.ellipsoid((0.74 * length + 0.085, 0, top), (0.055, 0.036, 0.013), (240, 130, 30), 12)
    _eyes(builder, (0.74 * length + 0.045, 0, top + 0.035), 0.043, 0.011)
    for side in (-1, 1):
        builder.ellipsoid(
            (-0.12 * length, side * width * 0.93, 0.115),
            (0.6 * length, 0.022, 0.05),
            shaded(feather, 0.88),
            12,
        )
    return builder.build()


def fish(rng: np.random.Generator) -> Mesh:
    """A fish with fins and a forked tail, in box frame."""
    builder = MeshBuilder()
    scale, stripe = (
        pick(rng, [(240, 130, 30), (80, 140, 190), (190, 196, 200), (230, 190, 50), (200, 70, 60)]),
        pick(rng, [WHITE, *BRIGHTS]),
    )
    tall, wide = rng.uniform(0.07, 0.1), rng.uniform(0.03, 0.04)
    angle = 2 * np.pi * np.arange(16) / 16
    stations = [(0.2, 0.12), (0.17, 0.5), (0.1, 0.85), (0.02, 1.0), (-0.06, 0.85), (-0.13, 0.5), (-0.18, 0.26)]
    rings = [np.array([(x, wide * s * np.sin(a), tall * s * np.cos(a)) for a in angle]) for x, s in stations]
    striped = rng.random() < 0.6
    for k in range(len(rings) - 1):
        builder.rings(np.array(rings[k : k + 2]), stripe if striped and k in (2, 4) else scale)
    fin = shaded(scale, 0.8)
    for z in (-1, 1):
        builder.rings(
            np.array(
                [
                    [(-0.17, y, 0.0), (-0.19, y, 0.02 * z), (-0.28, y, 0.09 * z), (-0.24, y, 0.0)]
                    for y in (-0.004, 0.004)
                ]
            ),
            fin,
        )
    builder.rings(
        np.array(
            [
                [(0.08, y, 0.8 * tall), (0.0, y, 1.6 * tall), (-0.1, y, 1.25 * tall), (-0.1, y, 0.6 * tall)]
                for y in (-0.004, 0.004)
            ]
        ),
        fin,
    )
    builder.rings(
        np.array([[(0.0, y, -0.9 * tall), (-0.05, y, -1.45 * tall), (-0.09, y, -0.6 * tall)] for y in (-0.004, 0.004)]),
        fin,
    )
    for side in (-1, 1):
        builder.rings(
            np.array(
                [
                    [
                        (0.07, side * wide * 0.9, z),
                        (0.0, side * (wide + 0.05), z - 0.03),
                        (0.02, side * wide * 0.9, z - 0.02),
                    ]
                    for z in (-0.01, -0.004)
                ]
            ),
            fin,
        )
        builder.ellipsoid((0.15, side * wide * 0.62, 0.02), 0.013, WHITE, 10)
        builder.ellipsoid((0.153, side * (wide * 0.62 + 0.007), 0.02), 0.008, BLACK, 8)
    return builder.build()
