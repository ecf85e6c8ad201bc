"""Tools, and things to hold."""

from __future__ import annotations

import numpy as np

from blendclip.synthetic.meshes.mesh import Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import BLACK, DARK, pick
from blendclip.synthetic.shapes.palette import BRIGHTS, GOLD, METALS, WOODS

_BLADE = (196, 200, 206)


def _outline(points_xz: list[tuple[float, float]], half_y: float) -> np.ndarray:
    """Two rings of an outline in x and z, at -half_y and half_y."""
    return np.array([[(x, y, z) for x, z in points_xz] for y in (-half_y, half_y)])


def hammer(rng: np.random.Generator) -> Mesh:
    """A claw hammer on end: handle below, head above with its face ahead, in box frame."""
    builder = MeshBuilder()
    metal, handle, length = pick(rng, METALS), pick(rng, [*WOODS, *BRIGHTS[:4], BLACK]), rng.uniform(0.26, 0.34)
    builder.tube(
        [(0, 0, 0), (0, 0, 0.3 * length), (0, 0, 0.6 * length), (0, 0, length)],
        [0.016, 0.018, 0.012, 0.012],
        handle,
        10,
    )
    z, reach = length, rng.uniform(0.045, 0.06)
    builder.box((0, 0, z), (0.05, 0.03, 0.034), metal)
    builder.tube([(0.02, 0, z), (reach, 0, z)], 0.013, metal, 14)
    builder.tube([(reach, 0, z), (reach + 0.02, 0, z)], 0.02, metal, 16)
    for side in (-1, 1):
        claw = [(-0.02, side * 0.007, z + 0.004), (-0.055, side * 0.012, z), (-0.085, side * 0.02, z - 0.022)]
        builder.tube(claw, [0.012, 0.009, 0.003], metal, 8)
    return builder.build()


def screwdriver(rng: np.random.Generator) -> Mesh:
    """A screwdriver that lies along x, tip ahead, in box frame."""
    builder = MeshBuilder()
    color, length = pick(rng, BRIGHTS), rng.uniform(0.09, 0.16)
    r = rng.uniform(0.014, 0.019)
    builder.tube(
        [(-0.11, 0, 0), (-0.1, 0, 0), (-0.06, 0, 0), (-0.02, 0, 0), (-0.005, 0, 0), (0, 0, 0)],
        [0.7 * r, r, r, 0.85 * r, 0.6 * r, 0.8 * r],
        color,
        6,
    )
    builder.tube([(-0.085, 0, 0), (-0.075, 0, 0)], r * 1.06, BLACK, 6)
    builder.tube([(-0.055, 0, 0), (-0.045, 0, 0)], r * 1.06, BLACK, 6)
    builder.tube([(0, 0, 0), (length, 0, 0)], 0.0045, _BLADE, 10)
    builder.loft([(length, 0.004, -0.004, 0.004, 0.0), (length + 0.012, 0.006, -0.0015, 0.0015, 0.0)], _BLADE)
    return builder.build()


def saw(rng: np.random.Generator) -> Mesh:
    """A hand saw, teeth below, handle behind, in box frame."""
    builder = MeshBuilder()
    wood, length = pick(rng, [*WOODS, *BRIGHTS[:3]]), rng.uniform(0.38, 0.5)
    high, low = rng.uniform(0.1, 0.13), rng.uniform(0.045, 0.06)
    builder.rings(_outline([(0, 0), (length, 0), (length, low), (0, high)], 0.0015), _BLADE)
    teeth = int(rng.integers(24, 34))
    for k in range(teeth):
        x = length * k / teeth
        builder.rings(_outline([(x, 0), (x + length / teeth, 0), (x + 0.3 * length / teeth, -0.012)], 0.0015), _BLADE)
    grip = [
        (-0.005, 0.02),
        (-0.05, -0.005),
        (-0.095, 0.015),
        (-0.105, 0.06),
        (-0.08, 0.105),
        (-0.02, 0.12),
        (0.0, 0.1),
        (-0.005, 0.02),
    ]
    builder.tube([(x, 0, z) for x, z in grip], 0.014, wood, 8)
    builder.rings(_outline([(-0.02, 0.01), (0.05, 0.012), (0.04, high), (-0.02, high)], 0.009), wood)
    return builder.build()


def axe(rng: np.random.Generator) -> Mesh:
    """An axe on end, its blade above and ahead, in box frame."""
    builder = MeshBuilder()
    length, wood = rng.uniform(0.5, 0.75), pick(rng, WOODS)
    bow = rng.uniform(0.0, 0.03)
    builder.tube(
        [(0.02, 0, 0), (-bow, 0, 0.35 * length), (0, 0, 0.75 * length), (0, 0, length)],
        [0.022, 0.016, 0.016, 0.016],
        wood,
        8,
    )
    z, head = length - 0.05, pick(rng, [DARK, (150, 40, 36), *METALS])
    reach, tall = rng.uniform(0.12, 0.15), rng.uniform(0.09, 0.12)
    for outline, half, color in (
        ([(-0.035, z - 0.03), (0.03, z - 0.03), (0.03, z + 0.035), (-0.035, z + 0.035)], 0.018, head),
        (
            [(0.03, z - 0.028), (reach - 0.03, z - 0.8 * tall), (reach - 0.03, z + 0.6 * tall), (0.03, z + 0.033)],
            0.011,
            head,
        ),
        (
            [
                (reach - 0.03, z - 0.8 * tall),
                (reach, z - tall),
                (reach + 0.012, z),
                (reach, z + 0.72 * tall),
                (reach - 0.03, z + 0.6 * tall),
            ],
            0.004,
            _BLADE,
        ),
    ):
        builder.rings(_outline(outline, half), color)
    return builder.build()


def sword(rng: np.random.Generator) -> Mesh:
    """A sword on end, point up, with guard, grip and pommel, in box frame."""
    builder = MeshBuilder()
    length, half = rng.uniform(0.65, 0.95), rng.uniform(0.02, 0.03)
    brass = pick(rng, [GOLD, *METALS, (150, 110, 50)])
    builder.tube([(0, 0, 0.03), (0, 0, 0.16)], 0.013, pick(rng, [BLACK, *WOODS, (120, 30, 30)]), 10)
    builder.ellipsoid((0, 0, 0.015), 0.022, brass, 12)
    guard = rng.uniform(0.08, 0.12)
    lift = rng.choice([0.0, 0.025])
    builder.tube(
        [(0, -guard, 0.165 + lift), (0, -0.02, 0.165), (0, 0.02, 0.165), (0, guard, 0.165 + lift)], 0.01, brass, 8
    )
    rings = []
    for z, share in ((0.17, 1.0), (0.17 + 0.85 * length, 0.72), (0.17 + length, 0.02)):
        rings.append([(0.006, 0, z), (0, half * share, z), (-0.006, 0, z), (0, -half * share, z)])
    builder.rings(np.array(rings), _BLADE)
    return builder.build()


def scissors(rng: np.random.Generator) -> Mesh:
    """Open scissors that lie flat, points ahead, in box frame."""
    builder = MeshBuilder()
    color, length, open_rad = pick(rng, BRIGHTS), rng.uniform(0.09, 0.13), rng.uniform(0.2, 0.45)
    for side in (-1, 1):
        cos, sin = np.cos(open_rad / 2), side * np.sin(open_rad / 2)
        z = 0.002 * side

        def turned(x: float, y: float, cos: float = cos, sin: float = sin, z: float = z) -> tuple[float, float, float]:
            return x * cos - y * sin, x * sin + y * cos, z

        corners = [
            turned(-0.02, -0.007 * side),
            turned(0.3 * length, -0.009 * side),
            turned(length, 0.004 * side),
            turned(-0.02, 0.006 * side),
        ]
        builder.rings(np.array([corners, [(x, y, h + 0.0018) for x, y, h in corners]]), _BLADE)
        shaft = [turned(-0.015, 0), turned(-0.04, -0.004 * side)]
        builder.tube(shaft, 0.005, color, 8)
        ring = [
            turned(-0.066 + 0.027 * np.cos(a), -0.01 * side + 0.02 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 21)
        ]
        builder.tube(ring, 0.0055, color, 8)
    builder.tube([(0, 0, -0.005), (0, 0, 0.006)], 0.005, METALS[2], 10)
    return builder.build()
