"""What a devkit says of its dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class DevkitRules:
    """What a dataset in nuScenes' schema has of its own, by the functions and tables of its devkit."""

    name: str
    """The package, for messages."""
    official_splits: Callable[[], Mapping[str, list[str]]]
    """Scene names of each official split."""
    detection_name: Callable[[str], str | None]
    """Category to class of the detection benchmark; None where it has none."""
    loaders: ModuleType
    """The evaluation's `add_center_dist`, `filter_eval_boxes`, `EvalBoxes` and `DetectionBox`."""
    class_range_m: Mapping[str, float]
    """How far away the benchmark evaluates each class."""
    reference: str
    """The LiDAR from whose ego pose the benchmark measures distance."""
    pose_stream: bool
    """Whether ego poses come at times of their own, to be interpolated; if not, each reading has its own pose."""
    point_times: bool
    """Whether sweep files say when each point was measured."""
