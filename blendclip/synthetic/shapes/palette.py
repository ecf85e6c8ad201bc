"""Colours of things that stand in no street."""

from __future__ import annotations

from blendclip.synthetic.meshes.mesh import Colour

WOODS: tuple[Colour, ...] = ((168, 120, 72), (120, 78, 44), (204, 164, 112), (86, 54, 34), (188, 140, 88))
METALS: tuple[Colour, ...] = ((176, 180, 186), (140, 144, 150), (104, 108, 114))
FABRICS: tuple[Colour, ...] = (
    (150, 40, 44),
    (44, 70, 120),
    (88, 116, 78),
    (196, 176, 140),
    (110, 106, 108),
    (66, 58, 84),
    (206, 140, 60),
    (60, 120, 130),
)
GLAZES: tuple[Colour, ...] = (
    (236, 232, 222),
    (198, 60, 48),
    (52, 100, 168),
    (240, 196, 70),
    (70, 140, 100),
    (60, 62, 70),
    (226, 140, 150),
)
BRIGHTS: tuple[Colour, ...] = (
    (214, 44, 40),
    (36, 96, 190),
    (248, 194, 30),
    (52, 150, 74),
    (240, 120, 30),
    (130, 60, 150),
    (240, 240, 236),
)
HULLS: tuple[Colour, ...] = ((170, 40, 40), (36, 58, 96), (240, 240, 236), (40, 44, 50), (44, 110, 96))
IVORY: Colour = (240, 234, 214)
PORCELAIN: Colour = (244, 244, 240)
LEAVES: tuple[Colour, ...] = ((64, 128, 56), (46, 104, 60), (104, 148, 62))
TERRACOTTA: Colour = (186, 96, 60)
GOLD: Colour = (212, 172, 70)
