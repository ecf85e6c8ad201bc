"""What config.yaml says of a generated city."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from blendclip.options import Options
from blendclip.ranges import Natural, Range


@dataclass(frozen=True)
class CityScenes(Options):
    """Scenes of each split; what is not given suits the rig."""

    mini_train: Annotated[int, Range(ge=0, le=8)] | None = None
    """Scenes of split mini_train."""
    mini_val: Annotated[int, Range(ge=0, le=2)] | None = None
    """Scenes of split mini_val."""


@dataclass(frozen=True)
class CityOptions(Options):
    """Which city."""

    scenes: CityScenes = field(default_factory=CityScenes)
    """Scenes to generate for each split."""
    seed: Natural = 0
    """Seed; another one makes another city."""


@dataclass(frozen=True)
class Av2Scenes(Options):
    """Logs of each split; what is not given suits the rig."""

    train: Annotated[int, Range(ge=0, le=8)] | None = None
    """Logs of split train."""
    val: Annotated[int, Range(ge=0, le=2)] | None = None
    """Logs of split val."""


@dataclass(frozen=True)
class Av2Options(Options):
    """Which city, in Argoverse 2's layout."""

    scenes: Av2Scenes = field(default_factory=Av2Scenes)
    """Scenes to generate for each split."""
    seed: Natural = 0
    """Seed; another one makes another city."""
