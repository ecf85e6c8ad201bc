"""A recording vehicle: its sensors, its drives, the format it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from blendclip.synthetic.city.tables import Row, Tables


@dataclass(frozen=True)
class SceneJob:
    """What a worker needs to record one scene."""

    root: Path
    """Folder that the dataset is written to."""
    name: str
    """Official name of the scene."""
    split: str
    """That it belongs to."""
    kind: str
    """Kind of drive."""
    order: int
    """Position among all scenes: sets the scene's date."""
    seed: int
    """Of the dataset."""
    duration_s: float
    """Length of the scene."""
    image_size_px: tuple[int, int]
    """Width and height."""


@dataclass
class SceneRecord:
    """What a worker returns."""

    tables: Tables
    """Rows of the scene, by table."""
    instances: list[Row]
    """Token, category, name of every thing of the plan, annotated or not."""
    truth_files: list[str] = field(default_factory=list)
    """Names of the files in truth/, one for each sweep."""


@dataclass(frozen=True)
class SharedTables:
    """The tables that all scenes of a dataset share."""

    version: str
    """Folder of the tables."""
    names: tuple[str, ...]
    """Tables of the format, in the order in which they are written."""
    of_no_scene: Callable[[Path, Tables], Tables]
    """Returns the tables that belong to no scene, given the root and the scenes' rows."""


@dataclass(frozen=True)
class Rig:
    """A recording vehicle, and the dataset it makes."""

    dataset: str
    """Name of the dataset, also of its stage version."""
    official_scenes: Callable[[], Mapping[str, list[str]]]
    """The devkit's names of the scenes of each split."""
    scenes: Mapping[str, int]
    """How many scenes of each split by default."""
    kinds: tuple[str, ...]
    """The drives, which take turns within a split."""
    duration_s: float
    """Length of a scene by default."""
    image_size_px: tuple[int, int]
    """Width and height of images by default."""
    record_scene: Callable[[SceneJob], SceneRecord]
    """Plans and records one scene below the job's root; runs in a worker process."""
    tables: SharedTables | None = None
    """None where each scene has files of its own."""
