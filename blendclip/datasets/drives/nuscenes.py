"""nuScenes, and anything in its format, by the rules of nuscenes-devkit."""

from __future__ import annotations

from nuscenes.eval.common import loaders
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.utils.splits import create_splits_scenes

from blendclip.datasets.drives.tables import Devkit

ADAPTER = Devkit(
    name="nuscenes-devkit",
    official_splits=create_splits_scenes,
    detection_name=category_to_detection_name,
    loaders=loaders,
    class_range_m=config_factory("detection_cvpr_2019").class_range,
    reference="LIDAR_TOP",
    pose_stream=False,
    point_times=False,
)
