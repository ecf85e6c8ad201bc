"""What config.yaml says of a driving dataset, besides its folder."""

from __future__ import annotations

from dataclasses import dataclass

from blendclip.options import Options
from blendclip.ranges import Text


@dataclass(frozen=True)
class DriveOptions(Options):
    """Which tables of a folder in the format of nuScenes or MAN TruckScenes."""

    version: Text
    """Folder of the tables under root, such as v1.0-trainval."""
