"""A contact sheet of triplets: view, cloud from two sides with its axes, category and caption.

It shows at a glance whether what should be up is up, and whether colours and captions belong to the shape.

Letters in names: N points of a cloud.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from blendclip import storage
from blendclip.errors import UserError
from blendclip.reporting.contact_sheet import GREY, Cell, contact_sheet

_TILE_PX = 180
_TEXT_PX = 76
_MARGIN_PX = 14
_FONT_PX = 13
_LINE_CHARACTERS = 84
_AXIS_PX = 34
# The axis that points right, its coordinate, that of the depth, and 1 where larger depths are nearer, else -1.
_SIDES = (("x", 0, 1, -1.0), ("y", 1, 0, 1.0))
_PLAIN, _BEHIND = (90, 110, 140), (206, 212, 220)
_READ = ["category", "caption", "image", "points", "rgb", "triplet_id"]


def draw_sheet(triplets: Sequence[Path], count: int, output: Path, *, per_category: int | None = None) -> int:
    """Draw at most `count` triplets; return their number.

    Args:
        triplets: Parquet files of triplets.
        count: triplets to show, evenly spaced over all files.
        output: PNG to draw.
        per_category: show the first triplets of each category instead, at most this many.

    Raises:
        UserError: a file is missing, or there is no triplet.
    """
    categories = [
        (path, row, category)
        for path in triplets
        for row, category in enumerate(storage.read_parquet(path, ["category"])["category"].to_pylist())
    ]
    chosen = _chosen([category for *_, category in categories], count, per_category)
    if not chosen:
        raise UserError("there is no triplet to show: the files of triplets have no row")
    shown = list(_rows([categories[index][:2] for index in chosen]))
    with storage.replacing(output) as temporary:
        triplet_sheet(shown).save(temporary, "PNG")
    return len(shown)


def triplet_sheet(rows: Sequence[dict[str, Any]]) -> Image.Image:
    """A sheet of rows of `schemas.TRIPLETS`, of which the columns `_READ` are needed."""
    return contact_sheet(rows, _draw, (3 * _TILE_PX, _TILE_PX + _TEXT_PX), _MARGIN_PX, _FONT_PX)


def _draw(cell: Cell, row: dict[str, Any]) -> None:
    for column, tile in enumerate([_view(row), *(_cloud(row, *side) for side in _SIDES)]):
        cell.paste(tile, column * _TILE_PX, 0)
    cell.write(f"{row['category']}   {row['triplet_id']}", _TILE_PX + 2, GREY)
    caption = textwrap.fill(row["caption"] or "(no caption)", _LINE_CHARACTERS, max_lines=3)
    cell.write(caption, _TILE_PX + 6 + _FONT_PX, (0, 0, 0))


def _chosen(categories: list[str], count: int, per_category: int | None) -> list[int]:
    """Indices of the triplets to show, from the categories of all."""
    if per_category is None:
        return sorted({int((k + 0.5) * len(categories) / count) for k in range(count)}) if categories else []
    seen: dict[str, list[int]] = {}
    for index, category in enumerate(categories):
        seen.setdefault(category, []).append(index)
    return [index for category in sorted(seen, key=str) for index in seen[category][:per_category]][:count]


def _rows(chosen: Sequence[tuple[Path, int]]) -> Iterator[dict[str, Any]]:
    """Rows by file and number in the file, each file read one row group at a time."""
    for path in dict.fromkeys(path for path, _ in chosen):
        wanted, start, file = {row for other, row in chosen if other == path}, 0, storage.open_parquet(path)
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            inside = sorted(row - start for row in wanted if start <= row < stop)
            if inside:
                yield from file.read_row_group(group, columns=_READ).take(inside).to_pylist()
            start = stop


def _view(row: dict[str, Any]) -> Image.Image:
    """A tile of the view, or of words where there is none."""
    tile = Image.new("RGB", (_TILE_PX, _TILE_PX), (230, 230, 230))
    if row["image"] is None or row["image"]["bytes"] is None:
        ImageDraw.Draw(tile).text((12, 12), "no image,\nonly its features", GREY, ImageFont.load_default(_FONT_PX))
        return tile
    with Image.open(io.BytesIO(row["image"]["bytes"])) as image:
        image.thumbnail((_TILE_PX, _TILE_PX))
        tile.paste(image, ((_TILE_PX - image.width) // 2, (_TILE_PX - image.height) // 2))
    return tile


def _cloud(row: dict[str, Any], name: str, across: int, depth: int, nearer: float) -> Image.Image:
    """A tile of the cloud without perspective: one horizontal axis to the right, z up; see `_SIDES`."""
    points = np.asarray(row["points"], np.float64).reshape(-1, 3)
    rgb = [_PLAIN if colour is None else colour for colour in row["rgb"] or [None] * len(points)]
    order = np.argsort(nearer * points[:, depth], kind="stable")  # far ones first
    scale = 0.8 * _TILE_PX / max(np.ptp(points, axis=0).max(), 1e-9)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    column = _TILE_PX / 2 + (points[order, across] - middle[across]) * scale
    line = _TILE_PX / 2 - (points[order, 2] - middle[2]) * scale
    tile = Image.fromarray(_dots(column, line, np.asarray(rgb, np.uint8).reshape(-1, 3)[order]))
    draw, font = ImageDraw.Draw(tile), ImageFont.load_default(_FONT_PX)
    origin = (10, _TILE_PX - 10)
    draw.line([origin, (origin[0] + _AXIS_PX, origin[1])], (200, 40, 40) if name == "x" else (30, 140, 50), 2)
    draw.line([origin, (origin[0], origin[1] - _AXIS_PX)], (30, 60, 200), 2)
    draw.text((origin[0] + _AXIS_PX + 2, origin[1] - 9), name, "black", font)
    draw.text((origin[0] - 4, origin[1] - _AXIS_PX - 16), "z", "black", font)
    return tile


def _dots(column: NDArray[np.float64], line: NDArray[np.float64], rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A tile (_TILE_PX, _TILE_PX, 3) with a dot of two by two pixels for each point, later ones over earlier ones.

    Args:
        column: (N,) pixels from the left.
        line: (N,) pixels from the top.
        rgb: (N, 3) colours.
    """
    tile = np.full((_TILE_PX, _TILE_PX, 3), _BEHIND, np.uint8)
    for down in (0, 1):
        for right in (0, 1):
            at = np.clip(line.astype(int) + down, 0, _TILE_PX - 1), np.clip(column.astype(int) + right, 0, _TILE_PX - 1)
            tile[at] = rgb
    return tile
