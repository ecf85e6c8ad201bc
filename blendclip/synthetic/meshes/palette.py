"""Colours that parts share, and random picks among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from blendclip.synthetic.meshes.mesh import Color

GLASS: Color = (38, 50, 62)
BLACK: Color = (28, 28, 30)
DARK: Color = (52, 54, 58)
STEEL: Color = (150, 154, 160)
WHITE: Color = (236, 236, 232)
LAMP: Color = (250, 246, 220)
RED: Color = (196, 24, 26)
BLUE: Color = (22, 66, 200)
AMBER: Color = (250, 160, 30)
ORANGE: Color = (244, 98, 20)
YELLOW: Color = (244, 190, 20)
LIME: Color = (196, 240, 40)
PLATE: Color = (232, 226, 190)

CAR_PAINTS: tuple[Color, ...] = (
    (232, 232, 230),
    (188, 192, 196),
    (112, 116, 122),
    (34, 36, 40),
    (160, 22, 26),
    (26, 62, 132),
    (34, 92, 66),
    (206, 176, 128),
    (214, 120, 30),
    (92, 26, 44),
    (112, 158, 196),
    (228, 196, 60),
)
SKINS: tuple[Color, ...] = ((240, 204, 176), (222, 176, 140), (176, 124, 88), (120, 80, 56), (86, 58, 44))
HAIRS: tuple[Color, ...] = ((30, 24, 20), (74, 48, 30), (120, 84, 48), (196, 160, 96), (150, 150, 152))
CLOTHES: tuple[Color, ...] = (
    (34, 52, 110),
    (172, 34, 42),
    (236, 232, 224),
    (46, 48, 54),
    (58, 122, 84),
    (224, 180, 50),
    (126, 70, 138),
    (98, 152, 206),
    (212, 116, 130),
    (128, 98, 70),
)
TROUSERS: tuple[Color, ...] = ((38, 50, 84), (30, 30, 34), (112, 104, 90), (70, 74, 80), (84, 64, 46), (150, 140, 118))


def shaded(color: Color, factor: float) -> Color:
    """Return a colour made darker (factor below 1) or brighter (above)."""
    red, green, blue = (min(int(part * factor), 255) for part in color)
    return red, green, blue


def pick(rng: np.random.Generator, colors: Sequence[Color]) -> Color:
    """Return one of the colours, a little varied."""
    base = np.asarray(colors[int(rng.integers(len(colors)))], float)
    varied = np.clip(base * rng.uniform(0.9, 1.1) + rng.uniform(-6, 6, 3), 8, 250).astype(int)
    return int(varied[0]), int(varied[1]), int(varied[2])
