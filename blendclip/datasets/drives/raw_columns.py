"""How many float32 columns the raw sweeps of a dataset have."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from blendclip.raw_points import NUSCENES_COLUMNS, columns_told
from blendclip.sampling import spread

log = logging.getLogger(__name__)

RAW_SUFFIX = ".bin"
_READ = 16  # files that are looked into


def told_columns(root: Path, paths: Sequence[str]) -> int:
    """The columns of the raw sweeps at `paths` under `root`, as the sizes and values of some of them tell.

    They are those of nuScenes where these tell nothing; others are said in the log.
    """
    some = spread(np.array([path for path in paths if path.endswith(RAW_SUFFIX)]), _READ)
    files = [root / path for path in some.tolist()]
    told = columns_told([np.fromfile(file, np.float32) for file in files if file.is_file()])
    if told in (None, NUSCENES_COLUMNS):
        return NUSCENES_COLUMNS
    log.warning(
        "the sweeps under %s have %d float32 a point, by the looks of %d of them, not %d as in nuScenes: set "
        "`lidar_columns` of the dataset to %d to say so, or to what it is",
        *(root, told, len(files), NUSCENES_COLUMNS, told),
    )
    return told
