"""LiDAR sweep files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import feather

from blendclip.errors import DataFault
from blendclip.mining import rules
from blendclip.mining.options import Motion
from blendclip.mining.pcd import Columns, read_pcd
from blendclip.mining.scene import Scene
from blendclip.plain_files import check_plain
from blendclip.raw_points import NUSCENES_COLUMNS, columns_told, is_plausible

_FIELDS = ("x", "y", "z", "intensity")  # of a PCD or a feather file
_OFFSET_NS = "offset_ns"  # of a feather file: nanoseconds of a point after its sweep's time stamp
_BROKEN_FRACTION = 0.5  # a few NaN are rays without an echo; more than this is a broken file
_MAX_TIME_OFF_US = 300_000  # a sweep takes 0.05 to 0.2 s: what is further off has another clock or unit
_UNITS = {1e-6: "seconds", 1e-3: "milliseconds", 1e3: "nanoseconds"}


@dataclass(frozen=True)
class Sweep:
    """What one LiDAR measured in one turn, in the sensor's frame."""

    points: NDArray[np.float32]
    """(N, 4 or more): x, y, z in metres, intensity as the sensor gives it, NaN where the file has none."""
    timestamp_us: NDArray[np.int64] | None
    """(N,) when each point was measured, where the file says so."""


def read_sweep_of(scene: Scene, root: Path, sweep: int, motion: Motion) -> Sweep:
    """Sweep number `sweep` of a scene; its points have times where `motion` asks for them and the index promises them.

    Raises:
        DataFault: as `read_sweep`, or where the sensor was is not known.
    """
    sweeps = scene.sweeps
    if sweep in sweeps.faults:
        raise DataFault(sweeps.faults[sweep])
    point_times = motion == "per_point" and bool(sweeps.point_times[sweep])
    columns, time_us = int(sweeps.point_columns[sweep]), int(sweeps.timestamp_us[sweep])
    return read_sweep(root / sweeps.path[sweep], time_us, point_times=point_times, columns=columns)


def read_sweep(path: Path, timestamp_us: int, *, point_times: bool, columns: int = NUSCENES_COLUMNS) -> Sweep:
    """The sweep in a `.pcd` or `.feather` file, or in a `.bin` file of `columns` float32 a point.

    Its points must have times of their own where `point_times` says so. A point whose time is not within a second of
    the sweep's `timestamp_us` gets that and the coordinates NaN: it is in no box.

    Raises:
        DataFault: the file is missing, a pipe or a device, empty, cut off or of another kind, lacks a field, has
            another number of columns, or most of its points are not numbers or were not measured near `timestamp_us`.
    """
    try:
        size = check_plain(path)
        if path.suffix == ".bin":
            points, times = _raw_points(path, size, columns), None
        elif path.suffix == ".pcd":
            points, times = _pcd_points(path, point_times)
        elif path.suffix == ".feather":
            points, times = _feather_points(path, timestamp_us if point_times else None)
        else:
            raise DataFault(rules.NO_KIND_OF_SWEEP.format(suffix=path.suffix or "a file without a suffix"))
    except FileNotFoundError:
        raise DataFault(rules.NO_FILE) from None
    except OSError as error:
        raise DataFault(rules.UNREADABLE.format(error=error.strerror)) from None
    if point_times:
        if times is None:
            raise DataFault(rules.NO_POINT_TIMES)
        times = _checked_times(times, timestamp_us, points)
    _check_finite(points)
    if points.shape[1] < len(_FIELDS):
        points = np.pad(points, [(0, 0), (0, 1)], constant_values=np.nan)
    return Sweep(points, times)


def _raw_points(path: Path, size: int, columns: int) -> NDArray[np.float32]:
    """Points of a file of `size` bytes."""
    values = np.fromfile(path, dtype=np.float32)
    is_whole = size > 0 and size % (4 * columns) == 0
    if is_whole and is_plausible(points := values.reshape(-1, columns)):
        return points
    told = None if size % 4 else columns_told([values])
    if told not in (None, columns):
        raise DataFault(rules.WRONG_COLUMNS.format(told=told, columns=columns))
    if not is_whole:
        raise DataFault(rules.SWEEP_CUT_OFF.format(size=size, point=4 * columns))
    return values.reshape(-1, columns)


def _pcd_points(path: Path, point_times: bool) -> tuple[NDArray[np.float32], NDArray[Any] | None]:
    columns = read_pcd(path)
    return _points_of(columns), columns.get("timestamp") if point_times else None


def _feather_points(path: Path, timestamp_us: int | None) -> tuple[NDArray[np.float32], NDArray[Any] | None]:
    """Points, and their times on the clock of `timestamp_us`; no times where that is None or the file has none."""
    try:
        table = feather.read_table(path, use_threads=False, memory_map=False)
        names = [name for name in (*_FIELDS, _OFFSET_NS) if name in table.column_names]
        columns = {name: table.column(table.column_names.index(name)).to_numpy() for name in names}
    except (pa.ArrowException, OSError) as error:
        raise DataFault(rules.NO_FEATHER.format(error=str(error).partition("\n")[0])) from None
    strange = [name for name, values in columns.items() if values.dtype.kind not in "fiu"]
    if strange:
        raise DataFault(rules.NO_NUMBERS.format(fields=", ".join(strange)))
    points = _points_of(columns)
    if timestamp_us is None or _OFFSET_NS not in columns:
        return points, None
    late_us = columns[_OFFSET_NS] // 1000  # floats, a hundred times as slow, only where some are null
    return points, timestamp_us + late_us.astype(np.float64 if late_us.dtype.kind == "f" else np.int64)


def _points_of(columns: Columns) -> NDArray[np.float32]:
    """Points (N, 4) of a file's columns by name."""
    missing = [name for name in _FIELDS if name not in columns or columns[name].ndim != 1]
    if missing:
        raise DataFault(rules.NO_FIELD.format(missing=", ".join(missing), fields=", ".join(columns)))
    points = np.empty((len(columns["x"]), len(_FIELDS)), np.float32)
    if not len(points):
        raise DataFault(rules.NO_POINTS)
    for number, name in enumerate(_FIELDS):
        points[:, number] = columns[name]
    return points


def _checked_times(times: NDArray[Any], timestamp_us: int, points: NDArray[np.float32]) -> NDArray[np.int64]:
    """The points' times in whole microseconds; what lies far from `timestamp_us` is put right as `read_sweep` says."""
    if timestamp_us - _MAX_TIME_OFF_US <= times.min() and times.max() <= timestamp_us + _MAX_TIME_OFF_US:
        return times.astype(np.int64)
    off = ~(np.abs(times.astype(np.float64) - timestamp_us) <= _MAX_TIME_OFF_US)
    if off.mean() > _BROKEN_FRACTION:
        raise DataFault(_wrong_times(times, timestamp_us, float(off.mean())))
    points[off, :3] = np.nan
    times = times.copy()
    times[off] = timestamp_us
    return times.astype(np.int64)


def _wrong_times(times: NDArray[Any], timestamp_us: int, off: float) -> str:
    middle = float(np.median(times))
    units = [unit for scale, unit in _UNITS.items() if abs(middle / scale - timestamp_us) <= 2 * _MAX_TIME_OFF_US]
    if times.dtype == np.float32:
        guess = "float32 cannot hold microseconds since 1970, write them as unsigned integers of 8 bytes"
    elif units:
        guess = f"they seem to be {units[0]}, and must be microseconds since 1970"
    elif abs(middle) < 2 * _MAX_TIME_OFF_US:
        guess = "they seem to count from the sweep, and must count from 1970"
    else:
        guess = "they seem to come from another clock"
    return rules.WRONG_POINT_TIMES.format(share=off, timestamp_us=timestamp_us, middle=middle, guess=guess)


def _check_finite(points: NDArray[np.float32]) -> None:
    if not np.isfinite(points.sum()):  # one quick look; the slow one only where something may be wrong
        broken = 1 - np.isfinite(points[:, :3]).all(axis=1).mean()
        if broken > _BROKEN_FRACTION:
            raise DataFault(rules.NOT_FINITE.format(share=broken))
