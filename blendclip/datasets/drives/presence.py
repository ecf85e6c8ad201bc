"""Which scenes of a dataset have files, where a part of it was downloaded."""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa

from blendclip.datasets.drives.loading import Tables
from blendclip.datasets.drives.options import MissingFiles
from blendclip.errors import UserError

log = logging.getLogger(__name__)


def scenes_with_files(tables: Tables, scenes: list[int], split: str, missing_files: MissingFiles) -> list[int]:
    """Those of the scenes, rows of `scene`, of whose keyframes a file is there; warn where some have none.

    Raises:
        UserError: none has, or one has none and `missing_files` is stop.
    """
    there = [
        scene
        for scene in scenes
        if any((tables.root / path).is_file() for path in _files(tables, scene, key_frames=True))
    ]
    if not there:
        such = "".join(f", such as {path}" for path in _files(tables, scenes[0], key_frames=True)[:1])
        raise UserError(
            f"{tables.root} has none of the files of the {len(scenes)} scenes of split {split}{such}: set `root` to "
            "the folder that holds them, or leave the split out"
        )
    if absent := sorted(set(scenes) - set(there), key=scenes.index):
        first = tables.scene.value("name", absent[0]) + (", ..." if len(absent) > 1 else "")
        found = f"{len(absent)} of {len(scenes)} scenes of split {split} have no files under {tables.root} ({first})"
        if missing_files == "stop":
            raise UserError(f"{found}: download the rest, or set `missing_files: skip` to mine those that have")
        log.warning("%s: mined are those that have", found)
    if missing := _missing_sweeps(tables, there):
        if missing_files == "stop":
            raise UserError(missing)
        log.warning("%s", missing)
    return there


def sweep_paths(tables: Tables, scenes: list[int]) -> list[str]:
    """Paths of the LiDAR sweeps of some scenes, relative to the root."""
    rows = np.concatenate([tables.readings_by_scene[scene] for scene in scenes])
    paths: list[str] = tables.sample_data.arrow("filename").take(pa.array(rows[tables.is_lidar[rows]])).to_pylist()
    return paths


def _missing_sweeps(tables: Tables, scenes: list[int]) -> str | None:
    """What to say where keyframes are there, and no sweep between them."""
    between = [path for scene in scenes for path in _files(tables, scene, key_frames=False)]
    if not between or any((tables.root / path).is_file() for path in between):
        return None
    return (
        f"{tables.root} has keyframes, and none of the {len(between)} sweeps between them, such as {between[0]}: set "
        "`clouds: {sweeps: 1}` to mine keyframes alone, or download the sweeps"
    )


def _files(tables: Tables, scene: int, *, key_frames: bool) -> list[str]:
    """Paths of a scene's readings, relative to the root."""
    rows = tables.readings_by_scene[scene]
    rows = rows[tables.sample_data.array("is_key_frame")[rows] == key_frames]
    paths: list[str] = tables.sample_data.arrow("filename").take(pa.array(rows)).to_pylist()
    return paths
