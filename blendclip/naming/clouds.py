"""Clouds as users hand them over, made fit to be encoded: points that are numbers, in the axes of the encoder."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blendclip.datasets.cad.objects import box_R_source
from blendclip.errors import UserError
from blendclip.naming.cloud_files import read_cloud

log = logging.getLogger(__name__)

_FAR_M = 1e3  # from here on float32 is coarser than a tenth of a millimetre
_COLORED_COLUMNS = 6


@dataclass(frozen=True)
class CleanClouds:
    """The clouds of N that are not empty."""

    count: int
    """N, with empty ones."""
    rows: NDArray[np.int64]
    """(M,) places among the N of those that are not empty, rising."""
    points: list[NDArray[np.float32]]
    """(n, 3) of each of the M, all finite."""
    rgb: list[NDArray[np.float32]] | None
    """(n, 3) of each of the M, 0 to 1; None for an encoder without colors."""

    @property
    def num_points(self) -> NDArray[np.int64]:
        """(M,) points of each."""
        return np.array([len(points) for points in self.points], np.int64)

    def read(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Points and colors of one of the M."""
        return self.points[number], None if self.rgb is None else self.rgb[number]


def clean_clouds(clouds: Iterable[Any], *, colors: bool, up: str, unit_m: float | None = 1.0) -> CleanClouds:
    """The points of clouds that are finite, and their colors where an encoder wants them.

    Args:
        clouds: each (N, 3 or more) floats, an array, a tensor or a nested list, or the path of a file; None is an empty
            one. Columns beyond x, y, z are ignored, or are red, green and blue for an encoder with colors, from 0 to 1
            or, where one is above 1, from 0 to 255.
        colors: whether the encoder sees colors.
        up: axis that points up for the encoder; that of the clouds is z.
        unit_m: metres in a unit of the clouds, to which they are scaled; None leaves them as they are.

    Raises:
        UserError: no cloud is given, the unit is none, or a cloud is of a wrong shape or type, holds no finite point,
            or lacks colors.
    """
    given = _listed(clouds)
    if unit_m is not None and not 0 < unit_m < np.inf:
        raise UserError(f"unit_m is {unit_m}: give metres in a unit of the clouds, such as 0.001, or None")
    rows, points, rgb, dropped = [], [], [], 0
    for number, cloud in enumerate(given):
        if cloud is None:
            continue
        array = _array(cloud, number)
        finite = np.isfinite(array[:, :3]).all(axis=1)
        if not finite.any():
            raise UserError(f"cloud {number} holds no finite point of {len(array)}: leave it out, or give None for it")
        dropped += int((~finite).sum())
        array = array if finite.all() else array[finite]
        rows.append(number)
        points.append(_placed(array[:, :3], up) * np.float32(unit_m or 1.0))
        if colors:
            rgb.append(_colors(array, number))
    if dropped:
        log.warning("%d points are not finite and were dropped", dropped)
    return CleanClouds(len(given), np.array(rows, np.int64), points, rgb if colors else None)


def _listed(clouds: Iterable[Any]) -> list[Any]:
    if isinstance(clouds, str | Path):
        raise UserError(f"clouds is the single path {str(clouds)!r}: give a list of clouds, [cloud]")
    shape = tuple(getattr(clouds, "shape", ()))
    if len(shape) in (1, 2):
        raise UserError(f"clouds is one array of shape {shape}: give a list of clouds, [cloud]")
    given = list(clouds)
    if not given:
        raise UserError("there is no cloud: give a list of at least one")
    return given


def _array(cloud: Any, number: int) -> NDArray[np.floating]:
    if isinstance(cloud, str | Path):
        return read_cloud(cloud)
    if hasattr(cloud, "detach"):
        cloud = cloud.detach().cpu()
        cloud = cloud.float() if cloud.dtype.is_floating_point and cloud.element_size() < 4 else cloud
    try:
        array = np.asarray(cloud)
    except ValueError as error:
        raise UserError(f"cloud {number} is no array ({error}): give (N, 3) floats") from None
    if array.ndim != 2 or array.shape[1] < 3:
        raise UserError(f"cloud {number} has shape {array.shape}: give (N, 3) or wider, x, y, z first")
    if array.dtype.kind != "f":
        raise UserError(f"cloud {number} has numbers of type {array.dtype}: give floats, in metres")
    return array


def _placed(xyz: NDArray[np.floating], up: str) -> NDArray[np.float32]:
    """Coordinates in the axes of the encoder; those far from the origin are moved there before they lose digits."""
    if xyz.dtype.itemsize > 4 and np.abs(xyz).max() > _FAR_M:
        xyz = xyz - xyz.mean(axis=0)
    if up != "z":
        xyz = xyz @ box_R_source(up)
    return np.ascontiguousarray(xyz, np.float32)


def _colors(array: NDArray[np.floating], number: int) -> NDArray[np.float32]:
    if array.shape[1] < _COLORED_COLUMNS:
        raise UserError(
            f"the encoder needs colors and cloud {number} has {array.shape[1]} columns: "
            "give (N, 6), red, green and blue after x, y, z (0.4 for what no camera sees)"
        )
    rgb = array[:, 3:_COLORED_COLUMNS].astype(np.float32)
    if not np.isfinite(rgb).all() or rgb.min() < 0 or rgb.max() > 255:
        raise UserError(f"cloud {number} has colors outside of 0 to 255: give columns 4 to 6 from 0 to 1, or to 255")
    return rgb / 255 if rgb.max() > 1 else rgb
