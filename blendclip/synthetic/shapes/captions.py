"""Sentences about a generated shape: what it is, and what was measured on its mesh."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from blendclip.synthetic.meshes.catalog import Mesh
from blendclip.synthetic.shapes.classes import ShapeClass

COLORS: dict[str, tuple[int, int, int]] = {
    "white": (240, 240, 238),
    "light grey": (186, 188, 192),
    "grey": (124, 126, 130),
    "dark grey": (72, 74, 78),
    "black": (32, 32, 36),
    "red": (200, 40, 40),
    "dark red": (112, 32, 40),
    "orange": (238, 126, 34),
    "yellow": (242, 196, 44),
    "beige": (214, 184, 140),
    "light brown": (168, 120, 72),
    "brown": (98, 62, 38),
    "green": (60, 136, 68),
    "dark green": (38, 76, 54),
    "turquoise": (62, 140, 138),
    "light blue": (130, 178, 214),
    "blue": (40, 92, 180),
    "dark blue": (36, 52, 96),
    "purple": (116, 60, 140),
    "pink": (228, 146, 154),
}
_PATTERNS = (
    "{A} {colour} {noun}.",
    "{A} {noun} with {feature}.",
    "{A} {colour} {noun} with {feature}.",
    "A 3D model of {a} {noun}, mainly {colour}.",
    "{A} {noun} in {colours}, {size}.",
    "This is {a} {colour} {noun}, {size}.",
    "{A} {noun}, {size}, with {feature}.",
    "{A} {colour} {noun} seen on its own.",
    "{A} low-poly {noun} in {colours}.",
)


def captions_of(shape: ShapeClass, mesh: Mesh, count: int, rng: np.random.Generator) -> list[str]:
    """`count` different sentences about a mesh of a class, in random order."""
    first, second = main_colors(mesh)
    length, width, height = mesh.size_lwh_m
    said = {
        "colour": first,
        "colours": first if second is None else f"{first} and {second}",
        "size": _size("tall", height) if height >= max(length, width) else _size("long", max(length, width)),
    }
    captions: dict[str, None] = {}
    for pattern in rng.permutation(np.array(_PATTERNS)).tolist():
        noun, feature = (words[int(rng.integers(len(words)))] for words in (shape.nouns, shape.features))
        captions[_filled(pattern, said | {"noun": noun, "feature": feature})] = None
    return list(captions)[:count]


def main_colors(mesh: Mesh) -> tuple[str, str | None]:
    """Names of the colour that covers the most of a mesh, and of the next where it covers a fifth."""
    corners = mesh.vertices_m[mesh.triangles].astype(float)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    named = np.array(list(COLORS.values()), float)
    nearest = np.linalg.norm(mesh.colors[:, None].astype(float) - named, axis=2).argmin(axis=1)
    shares = np.bincount(nearest, area, len(named)) / area.sum()
    first, second = np.argsort(-shares, kind="stable")[:2]
    names = list(COLORS)
    return names[first], names[second] if shares[second] >= 0.2 else None


def _size(word: str, length_m: float) -> str:
    return f"{100 * length_m:.0f} cm {word}" if length_m < 1 else f"{length_m:.1f} m {word}"


def _filled(pattern: str, said: dict[str, str]) -> str:
    """Fill a pattern; `{a}` and `{A}` become the article that fits the word behind, none before scissors."""
    words: Sequence[str] = pattern.format(a="\0a", A="\0A", **said).split(" ")
    text = []
    for word, follower in zip(words, [*words[1:], ""], strict=True):
        if word[0] != "\0":
            text.append(word)
        else:
            text.append(word[1] + ("n" if follower[0] in "aeiou" else ""))
    return " ".join(text)
