"""What config.yaml says of the generated CAD dataset."""

from __future__ import annotations

from dataclasses import dataclass, field

from blendclip.options import Options
from blendclip.ranges import Natural


@dataclass(frozen=True)
class Variants(Options):
    """Objects of each class."""

    train: Natural = 20
    """Objects of each class in split train."""
    test: Natural = 6
    """Objects of each class in split test."""


@dataclass(frozen=True)
class ShapesOptions(Options):
    """Which objects."""

    variants: Variants = field(default_factory=Variants)
    """Objects of each class to generate for each split."""
    seed: Natural = 0
    """Seed; another one makes other objects."""
