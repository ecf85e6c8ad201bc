"""A sheet of the clouds that a search found: each from its side and from above, coloured by height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from blendclip.storage import replacing

_TILE_PX, _TEXT_PX, _MARGIN_PX, _FONT_PX = 170, 34, 12, 13
_GAP_PX = 2  # between the two sides of a cloud
_COLUMNS = 4
_BACK, _INK, _MUTED = (16, 21, 27), (30, 34, 40), (110, 118, 128)
_RAMP = np.array([[74, 128, 255], [41, 204, 199], [255, 219, 89], [255, 102, 69]], np.float64)  # low to high
_SIDES = ((0, 2), (0, 1))  # what points right and up in a tile: x and z, x and y
_FILL = 0.86  # of a tile


@dataclass(frozen=True)
class Shown:
    """A cloud on the sheet."""

    points: NDArray[np.floating]
    """(n, 3), z up."""
    title: str
    detail: str


def write_sheet(rows: Sequence[tuple[str, Sequence[Shown]]], output: Path) -> None:
    """Draw the hits of each query under its own heading, as a PNG."""
    cell = 2 * _TILE_PX + _GAP_PX + _MARGIN_PX, _TILE_PX + _TEXT_PX + _MARGIN_PX
    heights = [_TEXT_PX + -(-len(shown) // _COLUMNS) * cell[1] for _, shown in rows]
    columns = min(_COLUMNS, max(len(shown) for _, shown in rows))
    sheet = Image.new("RGB", (columns * cell[0] + _MARGIN_PX, sum(heights) + _MARGIN_PX), "white")
    draw, upper = ImageDraw.Draw(sheet), _MARGIN_PX
    for (heading, shown), height in zip(rows, heights, strict=True):
        draw.text((_MARGIN_PX, upper), heading, _INK, ImageFont.load_default(_FONT_PX + 4))
        for number, one in enumerate(shown):
            line, column = divmod(number, _COLUMNS)
            _draw(sheet, one, _MARGIN_PX + column * cell[0], upper + _TEXT_PX + line * cell[1])
        upper += height
    with replacing(output) as temporary:
        sheet.save(temporary, "PNG")


def _draw(sheet: Image.Image, one: Shown, left: int, upper: int) -> None:
    for number, side in enumerate(_SIDES):
        sheet.paste(Image.fromarray(_tile(one.points[:, :3], *side)), (left + number * (_TILE_PX + _GAP_PX), upper))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
    draw.text((left, upper + _TILE_PX + 2), one.title, _INK, font)
    draw.text((left, upper + _TILE_PX + 4 + _FONT_PX), one.detail, _MUTED, font)


def _tile(points: NDArray[np.floating], right: int, up: int) -> NDArray[np.uint8]:
    """A picture (_TILE_PX, _TILE_PX, 3) of points, without perspective; higher ones are drawn over lower ones."""
    tile = np.full((_TILE_PX, _TILE_PX, 3), _BACK, np.uint8)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = _FILL * _TILE_PX / max(float((high - low).max()), 1e-6)
    order = np.argsort(points[:, 2], kind="stable")
    placed = (points[order] - (low + high) / 2) * scale
    column, line = (_TILE_PX / 2 + placed[:, right]).astype(int), (_TILE_PX / 2 - placed[:, up]).astype(int)
    share = (points[order, 2] - low[2]) / max(float(high[2] - low[2]), 1e-6) * (len(_RAMP) - 1)
    shades = np.stack([np.interp(share, np.arange(len(_RAMP)), _RAMP[:, part]) for part in range(3)], axis=1)
    dot = range(2 if len(points) > 400 else 3 if len(points) > 80 else 5)
    for down in dot:
        for across in dot:
            tile[np.clip(line + down, 0, _TILE_PX - 1), np.clip(column + across, 0, _TILE_PX - 1)] = shades
    return tile
