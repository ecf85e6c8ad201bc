"""MAN TruckScenes, v1.0 to v1.2, and anything in its format, by the rules of truckscenes-devkit.

It differs from nuScenes in its many LiDARs, whose points have times of their own, and in ego poses that come as a
stream at times of their own, of which a reading names only one that is near.
"""

from __future__ import annotations

from truckscenes.eval.common import loaders
from truckscenes.eval.common.config import config_factory
from truckscenes.eval.detection.utils import category_to_detection_name
from truckscenes.utils.splits import create_splits_scenes

from blendclip.datasets.drives.tables import Devkit

ADAPTER = Devkit(
    name="truckscenes-devkit",
    official_splits=create_splits_scenes,
    detection_name=category_to_detection_name,
    loaders=loaders,
    class_range_m=config_factory("detection_cvpr_2024").class_range,
    reference="LIDAR_LEFT",
    pose_stream=True,
    point_times=True,
)
