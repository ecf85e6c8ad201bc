"""Pedestrians of all kinds, and what they push or sit in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from blendclip.synthetic.meshes.mesh import Color, Mesh, MeshBuilder
from blendclip.synthetic.meshes.palette import (
    BLACK,
    BLUE,
    CAR_PAINTS,
    CLOTHES,
    DARK,
    HAIRS,
    LIME,
    ORANGE,
    SKINS,
    STEEL,
    TROUSERS,
    WHITE,
    YELLOW,
    pick,
)

NAVY: Color = (22, 30, 62)


@dataclass(frozen=True)
class Look:
    """Colours of one person and what is on the head."""

    skin: Color
    """Of face and hands."""
    hair: Color
    """Where no headgear hides it."""
    shirt: Color
    """Of trunk, arms and a bike helmet."""
    trousers: Color
    """Of hips, legs and a full helmet."""
    shoes: Color
    """On both feet."""
    headgear: str | None = None
    """hard_hat, bike_helmet, full_helmet or cap; None for bare heads."""
    long_hair: bool = False
    """Reaches down the neck."""


def random_look(rng: np.random.Generator, headgear: str | None = None) -> Look:
    """Return a person dressed at random."""
    shoes = pick(rng, [BLACK, (110, 70, 40), (220, 220, 220)])
    return Look(
        pick(rng, SKINS),
        pick(rng, HAIRS),
        pick(rng, CLOTHES),
        pick(rng, TROUSERS),
        shoes,
        headgear,
        bool(rng.random() < 0.4),
    )


def add_limb(builder: MeshBuilder, joints_m: Sequence[ArrayLike], radii_m: Sequence[float], color: Color) -> None:
    """Add an arm or a leg through (N, 3) joints, thinning from the first to the last."""
    builder.tube(np.asarray(joints_m, float), radii_m, color, 7)
    builder.ellipsoid(joints_m[0], radii_m[0], color, 6)


def add_torso(builder: MeshBuilder, look: Look, hip_m: ArrayLike, shoulder_m: ArrayLike) -> None:
    """Add pelvis, trunk and neck between the hip centre and the shoulder centre."""
    hip, shoulder = np.asarray(hip_m, float), np.asarray(shoulder_m, float)
    run = shoulder - hip
    rows = [(0.0, 0.115, 0.165), (0.25, 0.11, 0.155), (0.6, 0.125, 0.185), (0.9, 0.115, 0.205), (1.04, 0.05, 0.1)]
    profile = [(hip[2] + s * run[2], rx, ry, hip[0] + s * run[0]) for s, rx, ry in rows]
    builder.lathe(profile, (0, hip[1], 0), look.shirt, 10)
    builder.ellipsoid(hip, (0.13, 0.175, 0.11), look.trousers, 10)
    builder.tube([shoulder, shoulder + (0.03, 0, 0.14)], 0.055, look.skin, 7)


def add_head(builder: MeshBuilder, look: Look, center_m: Sequence[float], scale: float = 1.0) -> None:
    """Add a head with nose, eyes, hair, and a helmet or cap where the look has one."""
    x, y, z = center_m
    r = 0.115 * scale
    builder.ellipsoid((x, y, z), (r, r * 0.82, r * 1.2), look.skin, 10)
    builder.box((x + r, y, z - 0.01), (0.035, 0.03, 0.04), look.skin)
    for side in (-1, 1):
        builder.box((x + r * 0.9, y + side * r * 0.35, z + 0.025), (0.02, 0.03, 0.015), BLACK)
    if look.headgear is None or look.headgear == "cap":
        builder.ellipsoid((x - r * 0.22, y, z + r * 0.38), (r * 0.98, r * 0.95, r * 0.98), look.hair, 10)
        if look.long_hair:
            builder.ellipsoid((x - r * 0.65, y, z - r * 0.5), (r * 0.5, r * 0.85, r * 1.3), look.hair, 8)
    if look.headgear == "hard_hat":
        builder.ellipsoid((x, y, z + r * 0.5), (r * 1.22, r * 1.1, r * 0.95), YELLOW, 10)
        builder.lathe([(0, r * 1.5, r * 1.25), (0.02, r * 1.45, r * 1.2)], (x + 0.02, y, z + r * 0.5), YELLOW, 10)
    if look.headgear == "bike_helmet":
        builder.ellipsoid((x - 0.01, y, z + r * 0.55), (r * 1.3, r * 1.0, r * 0.85), look.shirt, 10)
    if look.headgear == "full_helmet":
        builder.ellipsoid((x, y, z + 0.01), (r * 1.3, r * 1.15, r * 1.35), look.trousers, 12)
        builder.ellipsoid((x + r * 0.45, y, z + 0.02), (r * 0.95, r * 0.95, r * 0.5), (60, 80, 100), 10)
    if look.headgear == "cap":
        builder.lathe(
            [(0, r * 1.15, r * 1.05), (r * 0.55, r * 1.3, r * 1.2), (r * 0.6, r * 0.4, r * 0.4)],
            (x, y, z + r * 0.55),
            NAVY,
            10,
        )
        builder.box((x + r * 1.15, y, z + r * 0.55), (0.1, r * 1.5, 0.02), BLACK)


def _add_person(builder: MeshBuilder, look: Look, height_m: float, stride_rad: float, arms: str = "swing") -> None:
    """Add a standing (stride 0) or walking person of the given height, feet on z = 0, looking along x."""
    own = MeshBuilder()
    hip, shoulder = (0.0, 0.0, 0.93), (0.02 + 0.04 * abs(stride_rad), 0.0, 1.42)
    add_torso(own, look, hip, shoulder)
    for side in (-1, 1):
        swing = side * stride_rad
        bend = 0.5 * abs(stride_rad) if swing < 0 else 0.08
        knee = (0.45 * np.sin(swing), side * 0.1, 0.93 - 0.43 * np.cos(swing))
        foot = (knee[0] + 0.43 * np.sin(swing - bend), side * 0.1, knee[2] - 0.43 * np.cos(swing - bend))
        add_limb(own, [(0, side * 0.1, 0.93), knee, foot], [0.095, 0.068, 0.05], look.trousers)
        own.box((foot[0] + 0.06, side * 0.1, foot[2] - 0.02), (0.27, 0.1, 0.09), look.shoes)
        top = (shoulder[0], side * 0.21, 1.38)
        if arms == "push":
            elbow, hand = (0.1, side * 0.25, 1.12), (0.42, side * 0.2, 1.05)
        else:
            elbow = (top[0] - 0.28 * np.sin(swing * 0.9), side * 0.25, 1.12)
            hand = (elbow[0] + 0.26 * np.sin(0.25 - swing * 0.9), side * 0.25, 0.87)
        add_limb(own, [top, elbow, hand], [0.06, 0.05, 0.038], look.shirt)
        own.ellipsoid(hand, 0.05, look.skin, 6)
    child = height_m < 1.4
    add_head(own, look, (shoulder[0] + 0.04, 0, 1.66), 1.3 if child else 1.0)
    mesh = own.build()
    scale = height_m / float(mesh.size_lwh_m[2])
    breadth = scale * (1.0 if child else 1.04)
    vertices = mesh.vertices_m * [breadth, breadth, scale] + [0, 0, height_m / 2]
    for red, green, blue in np.unique(mesh.colors, axis=0).tolist():
        faces = (mesh.colors == (red, green, blue)).all(axis=1)
        builder.add(vertices, mesh.triangles[faces], (red, green, blue), None)


def _stride(rng: np.random.Generator) -> float:
    """Return a walking pose: the angle of the legs, either foot in front."""
    return float(rng.choice([-1, 1]) * rng.uniform(0.32, 0.52))


def _adult(rng: np.random.Generator, stride_rad: float) -> Mesh:
    """Build an adult with perhaps a bag, a backpack or a skirt."""
    builder = MeshBuilder()
    look = random_look(rng)
    height = rng.uniform(1.55, 1.9)
    _add_person(builder, look, height, stride_rad)
    extra = rng.random()
    if extra < 0.25:
        builder.box((-0.2, 0, 0.72 * height), (0.2, 0.32, 0.45), pick(rng, CLOTHES))
    elif extra < 0.45:
        builder.box((0.05, 0.3, 0.4 * height), (0.34, 0.1, 0.28), pick(rng, [(120, 80, 50), BLACK, (160, 40, 60)]))
    elif extra < 0.65:
        rows = [(0.3 * height, 0.24, 0.26), (0.55 * height, 0.15, 0.18), (0.6 * height, 0.12, 0.165)]
        builder.lathe(rows, (0, 0, 0), look.shirt, 10)
    return builder.build()


def walking_adult(rng: np.random.Generator) -> Mesh:
    """An adult in mid-stride, in box frame."""
    return _adult(rng, _stride(rng))


def standing_adult(rng: np.random.Generator) -> Mesh:
    """An adult who stands, in box frame."""
    return _adult(rng, rng.uniform(-0.06, 0.06))


def child(rng: np.random.Generator) -> Mesh:
    """A walking child with a school bag, in box frame."""
    builder = MeshBuilder()
    height = rng.uniform(1.0, 1.32)
    _add_person(builder, random_look(rng), height, _stride(rng))
    if rng.random() < 0.6:
        builder.box((-0.15, 0, 0.68 * height), (0.14, 0.24, 0.28), pick(rng, CLOTHES))
    return builder.build()


def construction_worker(rng: np.random.Generator) -> Mesh:
    """A worker with a hard hat and a high-visibility vest, in box frame."""
    builder = MeshBuilder()
    vest = pick(rng, [ORANGE, LIME])
    look = Look(pick(rng, SKINS), BLACK, vest, pick(rng, [(50, 60, 90), vest]), (90, 62, 36), "hard_hat")
    height = rng.uniform(1.68, 1.9)
    _add_person(builder, look, height, rng.uniform(-0.3, 0.3))
    for z in (0.6, 0.7):
        builder.lathe(
            [(z * height, 0.15, 0.205), ((z + 0.025) * height, 0.15, 0.21)], (0.02, 0, 0), (235, 235, 225), 10
        )
    if rng.random() < 0.5:
        builder.tube([(0.25, -0.3, 0.02), (0.18, -0.3, 1.5)], 0.025, (150, 110, 70), 6)
        builder.box((0.27, -0.3, 0.15), (0.06, 0.24, 0.3), DARK)
    return builder.build()


def police_officer(rng: np.random.Generator) -> Mesh:
    """An officer in dark blue with a cap, a belt and a badge, in box frame."""
    builder = MeshBuilder()
    shirt = NAVY if rng.random() < 0.6 else (120, 160, 210)
    look = Look(pick(rng, SKINS), BLACK, shirt, NAVY, BLACK, "cap")
    height = rng.uniform(1.7, 1.9)
    _add_person(builder, look, height, rng.choice([0.05, 0.35]))
    builder.lathe([(0.53 * height, 0.15, 0.2), (0.56 * height, 0.15, 0.2)], (0, 0, 0), BLACK, 10)
    builder.box((0.15, 0.09, 0.74 * height), (0.03, 0.07, 0.09), (240, 200, 60), 0.9)
    builder.box((0, -0.21, 0.52 * height), (0.14, 0.06, 0.16), BLACK)
    builder.box((-0.14, 0, 0.72 * height), (0.03, 0.28, 0.09), WHITE)
    return builder.build()


def pusher(rng: np.random.Generator) -> Mesh:
    """An adult walking with both hands held forward, in box frame."""
    builder = MeshBuilder()
    _add_person(builder, random_look(rng), rng.uniform(1.6, 1.82), _stride(rng), arms="push")
    return builder.build()


def stroller(rng: np.random.Generator) -> Mesh:
    """A child's pushchair with a hood and four wheels, in box frame."""
    builder = MeshBuilder()
    cloth = pick(rng, CLOTHES)
    builder.loft([(-0.3, 0.22, 0.5, 0.82, 0.04), (0.1, 0.24, 0.42, 0.62, 0.04), (0.45, 0.2, 0.42, 0.52, 0.04)], cloth)
    angle = np.linspace(0.15, np.pi * 0.75, 7)
    for low, high in zip(angle[:-1], angle[1:], strict=True):
        ends = [(-0.12 - 0.36 * np.cos(np.pi - a) * -1 * -1, 0.62 + 0.42 * np.sin(a)) for a in (low, high)]
        builder.prism([*ends, (-0.1, 0.66)], -0.25, 0.25, cloth)
    builder.ellipsoid((0.0, 0, 0.75), (0.1, 0.09, 0.11), pick(rng, SKINS), 8)
    for side in (-1, 1):
        builder.tube(
            [(0.42, side * 0.24, 0.12), (-0.35, side * 0.24, 0.75), (-0.65, side * 0.24, 1.05)], 0.02, STEEL, 5
        )
        builder.tube([(-0.4, side * 0.24, 0.14), (0.15, side * 0.24, 0.48)], 0.02, STEEL, 5)
        for x in (-0.4, 0.42):
            builder.wheel((x, side * 0.24, 0.13), 0.13, 0.05)
    builder.tube([(-0.65, -0.24, 1.05), (-0.65, 0.24, 1.05)], 0.028, BLACK, 6)
    return builder.build()


def wheelchair(rng: np.random.Generator) -> Mesh:
    """A person sitting in a wheelchair, in box frame."""
    builder = MeshBuilder()
    look = random_look(rng)
    for side in (-1, 1):
        angle = np.linspace(0, 2 * np.pi, 19)
        rim = np.column_stack([-0.1 + 0.29 * np.cos(angle), np.full(19, side * 0.31), 0.31 + 0.29 * np.sin(angle)])
        builder.tube(rim, 0.022, BLACK, 5)
        for a in angle[:18:3]:
            builder.tube(
                [(-0.1, side * 0.31, 0.31), (-0.1 + 0.28 * np.cos(a), side * 0.31, 0.31 + 0.28 * np.sin(a))],
                0.008,
                STEEL,
                3,
            )
        builder.wheel((0.38, side * 0.24, 0.09), 0.09, 0.05)
        builder.tube(
            [(-0.28, side * 0.25, 0.35), (-0.3, side * 0.25, 0.95), (-0.42, side * 0.25, 0.97)], 0.022, STEEL, 6
        )
        builder.tube([(0.3, side * 0.25, 0.5), (0.5, side * 0.2, 0.12)], 0.022, STEEL, 6)
        builder.box((0.02, side * 0.27, 0.72), (0.4, 0.06, 0.05), BLACK)
        add_limb(
            builder,
            [(-0.1, side * 0.1, 0.58), (0.35, side * 0.1, 0.58), (0.46, side * 0.1, 0.18)],
            [0.095, 0.075, 0.05],
            look.trousers,
        )
        builder.box((0.52, side * 0.1, 0.13), (0.26, 0.1, 0.09), look.shoes)
        add_limb(
            builder,
            [(-0.12, side * 0.2, 1.02), (-0.14, side * 0.31, 0.8), (0.1, side * 0.29, 0.76)],
            [0.06, 0.05, 0.04],
            look.shirt,
        )
    builder.box((0.02, 0, 0.47), (0.5, 0.48, 0.07), pick(rng, [BLUE, BLACK, *CAR_PAINTS[4:7]]))
    builder.box((-0.28, 0, 0.72), (0.05, 0.5, 0.5), BLACK)
    add_torso(builder, look, (-0.12, 0, 0.58), (-0.12, 0, 1.06))
    add_head(builder, look, (-0.08, 0, 1.3))
    return builder.build()
