"""nuScenes, and anything in its format, read by nuscenes-devkit."""

from __future__ import annotations

from nuscenes.eval.common import loaders
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.splits import create_splits_scenes

from blendclip.datasets.drives.tables import Devkit


def _open(version: str, root: str) -> NuScenes:
    return NuScenes(version, root, verbose=False)


ADAPTER = Devkit(
    name="nuscenes-devkit",
    open=_open,
    official_splits=create_splits_scenes,
    detection_name=category_to_detection_name,
    loaders=loaders,
    class_range_m=config_factory("detection_cvpr_2019").class_range,
    reference="LIDAR_TOP",
    pose_stream=False,
    point_times=False,
)
