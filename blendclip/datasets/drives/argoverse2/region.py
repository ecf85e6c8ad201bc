"""The region of interest of a log: within five metres of the drivable area, on the raster of the challenge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.spatial import cKDTree

from blendclip.errors import UserError

_CELLS_PER_M = 10
_REACH_CELLS = 5 * _CELLS_PER_M


class RegionOfInterest:
    """Where Argoverse 2 annotates, as its detection challenge draws it.

    The drivable areas are filled on a raster of 0.1 m that ends with their bounds, and a place is inside when a filled
    cell is at most 50 cells from its own.
    """

    def __init__(self, polygons: list[NDArray[np.float64]]) -> None:
        """Draw drivable areas, corners (C, 2) each, city frame, metres."""
        corners = np.concatenate(polygons)
        self._low = np.floor(corners.min(axis=0))
        width, height = ((np.ceil(corners.max(axis=0)) - self._low + 1) * _CELLS_PER_M).astype(int).tolist()
        image = Image.new("L", (width, height))
        for polygon in polygons:
            cells = np.round((polygon - self._low) * _CELLS_PER_M).astype(int)
            ImageDraw.Draw(image).polygon([(x, y) for x, y in cells.tolist()], outline=1, fill=1)
        self._filled = np.array(image, bool)
        padded = np.pad(self._filled, 1)
        inner = padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
        self._edge = cKDTree(np.argwhere(self._filled & ~inner)[:, ::-1])  # a cell outside is nearest to one of these

    @classmethod
    def read(cls, path: Path) -> RegionOfInterest | None:
        """That of a map; None where it has no drivable area.

        Raises:
            UserError: the file is no map.
        """
        try:
            areas = json.loads(path.read_text())["drivable_areas"].values()
            polygons = [np.array([[one["x"], one["y"]] for one in area["area_boundary"]], float) for area in areas]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is no map of Argoverse 2 ({error!r:.80}): unpack the log again") from None
        polygons = [polygon for polygon in polygons if len(polygon) > 1 and np.isfinite(polygon).all()]
        return cls(polygons) if polygons else None

    def holds(self, places: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether places (N, 2) of the city frame, metres, are inside (N,)."""
        cells = np.trunc((places - self._low) * _CELLS_PER_M)
        height, width = self._filled.shape
        on_raster = ((cells >= 0) & (cells < [width, height])).all(axis=1)
        inside = np.zeros(len(places), bool)
        x, y = cells[on_raster].astype(np.int64).T
        distance, _ = self._edge.query(cells[on_raster], distance_upper_bound=_REACH_CELLS + 0.5)
        inside[on_raster] = self._filled[y, x] | (distance <= _REACH_CELLS)
        return inside


def region_of(folder: Path, pattern: str) -> RegionOfInterest | None:
    """The region of interest of a log's folder; None where it has no map."""
    maps = sorted(folder.glob(pattern))
    return RegionOfInterest.read(maps[0]) if maps else None
