"""What config.yaml says of a driving dataset, besides its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from blendclip.options import Options
from blendclip.ranges import Text

MissingFiles = Literal["skip", "stop"]


@dataclass(frozen=True)
class DriveOptions(Options):
    """Which tables of a folder with driving recordings."""

    version: Text
    """Folder of the tables under root, such as v1.0-trainval."""


@dataclass(frozen=True)
class TableOptions(DriveOptions):
    """Which tables of a folder in the format of nuScenes or MAN TruckScenes, and how much of it must be there."""

    missing_files: MissingFiles = "skip"
    """What to do with scenes none of whose files is there: skip them, with a warning, or stop."""
