"""Logs of Argoverse 2: the folders of a split, each with its tables and sensor files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blendclip.datasets.drives.argoverse2.feather import FeatherTable
from blendclip.datasets.drives.options import MissingFiles
from blendclip.datasets.drives.poses import known_poses, path_of
from blendclip.errors import UserError
from blendclip.geometry import EgoPoses

log = logging.getLogger(__name__)

NS_PER_US = 1000
ANNOTATIONS, POSES, CALIBRATION = "annotations.feather", "city_SE3_egovehicle.feather", "calibration"
LIDAR, CAMERAS = "sensors/lidar", "sensors/cameras"
_DIGITS = 18  # of a time in nanoseconds, at most
MAP = "map/log_map_archive_*.json"
QUATERNION, TRANSLATION, SIZE = ("qw", "qx", "qy", "qz"), ("tx_m", "ty_m", "tz_m"), ("length_m", "width_m", "height_m")


@dataclass(frozen=True)
class Camera:
    """A calibrated camera."""

    ego_SE3_camera: NDArray[np.float64]  # noqa: N815
    """(3, 4), NaN where it is no pose."""
    intrinsic: NDArray[np.float64]
    """(3, 3) pixels."""
    distortion: NDArray[np.float64]
    """(5,) k1, k2, 0, 0, k3 of its lens."""
    size_wh_px: tuple[int, int]


@dataclass(frozen=True)
class Log:
    """One recording: `root`/`split`/`name`."""

    root: Path
    split: str
    name: str

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.root / self.split / self.name

    def files_of(self, folder: str, suffix: str) -> tuple[NDArray[np.int64], list[str]]:
        """Times (M,) in nanoseconds, ascending, of the files of a sensor, and their paths relative to the root."""
        paths = (self.folder / folder).glob(f"*{suffix}")
        timed = (path for path in paths if path.stem.isdecimal() and len(path.stem) <= _DIGITS)
        found = sorted((int(path.stem), path.name) for path in timed)
        relative = f"{self.split}/{self.name}/{folder}"
        return np.array([time_ns for time_ns, _ in found], np.int64), [f"{relative}/{name}" for _, name in found]

    @cached_property
    def annotations(self) -> FeatherTable:
        """The table of boxes, in the ego frame of their own time."""
        numbers, texts = (*SIZE, *QUATERNION, *TRANSLATION, "num_interior_pts"), ("track_uuid", "category")
        return FeatherTable(self.folder / ANNOTATIONS, numbers=numbers, whole=("timestamp_ns",), texts=texts)

    @cached_property
    def ego_poses(self) -> EgoPoses:
        """The path of the vehicle, in microseconds.

        Raises:
            UserError: the table is missing or broken, or has two different poses at one time.
        """
        table = FeatherTable(self.folder / POSES, numbers=(*QUATERNION, *TRANSLATION), whole=("timestamp_ns",))
        order = np.argsort(table["timestamp_ns"], kind="stable")

        def named(*numbers: int) -> str:
            rows = " and ".join(str(order[number]) for number in numbers)
            return f"row{'s' if len(numbers) > 1 else ''} {rows} of {table.path}"

        poses = known_poses(table.vectors(*QUATERNION)[order], table.vectors(*TRANSLATION)[order], named)
        times_us = table["timestamp_ns"][order] // NS_PER_US
        return path_of(times_us, poses, self.name, named, "remove the wrong one, or unpack the log again")

    @cached_property
    def cameras(self) -> dict[str, Camera]:
        """Those that are calibrated, by channel.

        Raises:
            UserError: a table of the calibration is missing or broken.
        """
        folder = self.folder / CALIBRATION
        mounted = FeatherTable(
            folder / "egovehicle_SE3_sensor.feather", numbers=(*QUATERNION, *TRANSLATION), texts=("sensor_name",)
        )
        lenses = FeatherTable(
            folder / "intrinsics.feather",
            numbers=("fx_px", "fy_px", "cx_px", "cy_px", "k1", "k2", "k3"),
            whole=("height_px", "width_px"),
            texts=("sensor_name",),
        )
        poses = known_poses(
            mounted.vectors(*QUATERNION), mounted.vectors(*TRANSLATION), lambda row: f"row {row} of {mounted.path}"
        )
        pose_of = dict(zip(mounted.text("sensor_name").to_pylist(), poses, strict=True))
        names = lenses.text("sensor_name").to_pylist()
        return {name: _camera(lenses, row, pose_of[name]) for row, name in enumerate(names) if name in pose_of}

    def camera_folders(self) -> list[str]:
        """Channels of which there are images."""
        folder = self.folder / CAMERAS
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _camera(lenses: FeatherTable, row: int, ego_SE3_camera: NDArray[np.float64]) -> Camera:
    fx, fy, cx, cy, k1, k2, k3 = (float(lenses[name][row]) for name in ("fx_px", "fy_px", "cx_px", "cy_px", *_K))
    intrinsic = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    size_wh_px = int(lenses["width_px"][row]), int(lenses["height_px"][row])
    return Camera(ego_SE3_camera, intrinsic, np.array([k1, k2, 0.0, 0.0, k3]), size_wh_px)


_K = ("k1", "k2", "k3")


def split_logs(root: Path, split: str, missing_files: MissingFiles) -> list[Log]:
    """The logs of a split that are annotated and have LiDAR sweeps, by name; warn where others have not.

    Raises:
        UserError: there is no such folder, none of its logs can be mined, or one cannot and `missing_files` is stop.
    """
    folder = root / split
    if not folder.is_dir():
        found = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
        raise UserError(
            f"there is no folder {folder}: set `root` to the folder that holds train, val and test, and `splits` to "
            f"some of them (here are {', '.join(found) or 'no folders'})"
        )
    parts = (ANNOTATIONS, POSES, CALIBRATION, "sensors")
    names = sorted(path.name for path in folder.iterdir() if any((path / part).exists() for part in parts))
    logs = [Log(root, split, name) for name in names]
    if not logs:
        raise UserError(f"{folder} holds no log: unpack those of split {split} into it, or leave the split out")
    annotated = [one for one in logs if (one.folder / ANNOTATIONS).is_file()]
    if not annotated:
        raise UserError(
            f"none of the {len(logs)} logs of split {split} has {ANNOTATIONS}, which Argoverse 2 does not give for "
            "test: there is nothing to mine, leave the split out"
        )
    _left_out(logs, annotated, f"have no {ANNOTATIONS}", split, missing_files)
    swept = [one for one in annotated if len(one.files_of(LIDAR, ".feather")[0])]
    if not swept:
        raise UserError(
            f"{folder} has no sweep of its {len(annotated)} logs, such as {annotated[0].name}/{LIDAR}/*.feather: set "
            "`root` to the folder that holds them, or leave the split out"
        )
    _left_out(annotated, swept, f"have no sweep in {LIDAR}", split, missing_files)
    if mapless := [one for one in swept if not any(one.folder.glob(MAP))]:
        log.warning(
            "%d of %d logs of split %s have no map (%s): boxes outside of the region of interest count as evaluated "
            "there, such as in %s",
            *(len(mapless), len(swept), split, MAP, mapless[0].name),
        )
    return swept


def _left_out(logs: Sequence[Log], there: Sequence[Log], what: str, split: str, missing_files: MissingFiles) -> None:
    """Say of how many of the logs something is not there."""
    kept = {one.name for one in there}
    absent = [one.name for one in logs if one.name not in kept]
    if absent:
        found = f"{len(absent)} of {len(logs)} logs of split {split} {what} ({absent[0]}{', ...' * (len(absent) > 1)})"
        if missing_files == "stop":
            raise UserError(f"{found}: download the rest, or set `missing_files: skip` to mine those that have")
        log.warning("%s: mined are those that have", found)
