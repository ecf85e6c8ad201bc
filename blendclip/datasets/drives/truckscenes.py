"""MAN TruckScenes, v1.0 to v1.2, and anything in its format, read by truckscenes-devkit.

It differs from nuScenes in its many LiDARs, whose points have times of their own, and in ego poses that come as a
stream at times of their own, of which a reading names only one that is near.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from truckscenes import TruckScenes
from truckscenes.eval.common import loaders
from truckscenes.eval.common.config import config_factory
from truckscenes.eval.detection.utils import category_to_detection_name
from truckscenes.utils.splits import create_splits_scenes

from blendclip.datasets.drives.tables import Devkit

_DRAWING = "truckscenes.utils.visualization_utils"  # imports open3d and matplotlib, which take seconds, and libusb


def _open(version: str, root: str) -> TruckScenes:
    modules: dict[str, Any] = sys.modules
    missing = object()
    drawing = modules.get(_DRAWING, missing)
    modules[_DRAWING] = None  # as though it were not installed: the devkit then goes on without, and warns
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about that, and about v1.0, which has no weather_annotation.json
            return TruckScenes(version, root, verbose=False)
    finally:
        del modules[_DRAWING]
        if drawing is not missing:
            modules[_DRAWING] = drawing


ADAPTER = Devkit(
    name="truckscenes-devkit",
    open=_open,
    official_splits=create_splits_scenes,
    detection_name=category_to_detection_name,
    loaders=loaders,
    class_range_m=config_factory("detection_cvpr_2024").class_range,
    reference="LIDAR_LEFT",
    pose_stream=True,
    point_times=True,
)
