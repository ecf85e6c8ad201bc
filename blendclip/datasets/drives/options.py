"""What config.yaml says of a driving dataset, besides its folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from blendclip.options import Options
from blendclip.ranges import Range, Text

MissingFiles = Literal["skip", "stop"]


@dataclass(frozen=True)
class DriveOptions(Options):
    """Which tables of a folder with driving recordings."""

    version: Text
    """Folder of the tables under root, such as v1.0-trainval."""


@dataclass(frozen=True)
class TableOptions(DriveOptions):
    """What is told of a folder in the format of nuScenes or MAN TruckScenes, and how much of it must be there."""

    missing_files: MissingFiles = "skip"
    """What to do with scenes none of whose files is there: skip them, with a warning, or stop."""
    lidar_columns: Annotated[int, Range(ge=3, le=64)] | None = None
    """Number of float32 a point in .bin sweeps, x, y, z and intensity first (nuScenes has 5); told from the files when
    not given."""
    classes: dict[Text, Text] = field(default_factory=dict)
    """Categories of your own and the class of the official benchmark that each is evaluated as, such as
    {pedestrian.adult: pedestrian}."""


@dataclass(frozen=True)
class Argoverse2Options(Options):
    """What is told of a folder of Argoverse 2's sensor dataset, with a folder of logs for each split."""

    keyframes_hz: Annotated[float, Range(gt=0, le=100)] = 2.0
    """Keyframes a second, of the 10 annotated sweeps that Argoverse 2 has; more give triplets that are nearly alike."""
    distorted_images: bool = False
    """Whether images are as the lens gave them, to be undistorted by k1 to k3 of the calibration; those that Argoverse
    2 released are undistorted already."""
    class_names: Literal["argoverse2", "nuscenes"] = "argoverse2"
    """Whose classes the categories get: the 26 of Argoverse 2's detection challenge, or the ten of nuScenes, so that a
    model is measured on both by the same names."""
    missing_files: MissingFiles = "skip"
    """What to do about logs and annotated timestamps without sweeps: skip them, with a warning, or stop."""
    classes: dict[Text, Text] = field(default_factory=dict)
    """Categories and the class of `class_names` that each is evaluated as, such as {CONSTRUCTION_BARREL: barrier}."""
