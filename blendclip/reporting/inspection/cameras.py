"""The images of a keyframe with boxes and points over them, one by one and on a sheet."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from blendclip import storage
from blendclip.errors import DataFault
from blendclip.mining.images import ImageReader
from blendclip.plain_names import inside
from blendclip.reporting.inspection.moment import Moment
from blendclip.reporting.inspection.overlay import draw_overlay
from blendclip.reporting.inspection.style import WIDTH_PX, depth_colors, font

log = logging.getLogger(__name__)

_GAP_PX = 6
_AHEAD_DEG = 91.0  # cameras that look further to the side belong into the lower row of the sheet
_DEPTHS_M = (3, 5, 10, 20, 40, 80)  # that the legend names


def draw_cameras(moment: Moment, folder: Path) -> list[Path]:
    """Write `camera-{channel}.jpg` for each camera and the sheet `cameras.jpg`; return their paths.

    A broken image is left out, as the log says; without any image there is no sheet.
    """
    reader, rows = ImageReader(moment.root, moment.scene.images), _rows(moment)
    cell_px = (WIDTH_PX - _GAP_PX * (max(map(len, rows), default=1) - 1)) // max(map(len, rows), default=1)
    written: list[Path] = []
    cells: list[list[Image.Image]] = []
    for row in rows:
        cells.append([])
        for image in row:
            try:
                pixels = reader.read(image)
            except DataFault as fault:
                log.warning("%s: %s", moment.scene.images.path[image], fault)
                continue
            large, small = (draw_overlay(moment, image, pixels, width_px) for width_px in (WIDTH_PX, cell_px))
            path = inside(folder, *f"camera-{moment.scene.images.channel[image]}.jpg".split("/"))
            written.append(_save(titled(large, f"{moment.title}   {moment.camera_name(image)}"), path))
            cells[-1].append(titled(small, moment.camera_name(image), legend=False, letters_px=16))
    if not written:
        log.info("%s: keyframe %d has no image, so there is no overlay", moment.scene.name, moment.keyframe)
        return []
    return [*written, _save(titled(_sheet(cells), moment.title), folder / "cameras.jpg")]


def _rows(moment: Moment) -> list[list[int]]:
    """The images of a keyframe as two rows, from left to right: cameras that look ahead above, the others below."""
    azimuth_deg = {image: moment.azimuth_deg(image) for image in moment.images.tolist()}
    ahead = [image for image, angle in azimuth_deg.items() if abs(angle) <= _AHEAD_DEG]
    behind = [image for image in azimuth_deg if image not in ahead]
    rows = [sorted(ahead, key=lambda i: -azimuth_deg[i]), sorted(behind, key=lambda i: azimuth_deg[i] % 360)]
    return [row for row in rows if row]


def titled(image: Image.Image, title: str, *, legend: bool = True, letters_px: int = 20) -> Image.Image:
    """An image under a dark band with a title.

    Args:
        image: what is shown under the band.
        title: made smaller where it is too long.
        legend: whether the band says which colour is which depth.
        letters_px: height of the title's letters.
    """
    band_px = 2 * letters_px
    canvas = Image.new("RGB", (image.width, image.height + band_px), (24, 24, 24))
    canvas.paste(image, (0, band_px))
    draw, right = ImageDraw.Draw(canvas), image.width - 10.0
    if legend:
        for depth_m in reversed(_DEPTHS_M):
            text = f"{depth_m} m"
            right -= draw.textlength(text, font=font(16))
            draw.text((right, band_px // 2), text, fill="white", font=font(16), anchor="lm")
            color = tuple(depth_colors(np.array([depth_m], np.float64))[0].tolist())
            draw.rectangle((right - 20, band_px // 2 - 7, right - 6, band_px // 2 + 7), fill=color)
            right -= 32
    letters_px = min(letters_px, int(letters_px * (right - 20) / draw.textlength(title, font=font(letters_px))))
    draw.text((10, band_px // 2), title, fill="white", font=font(letters_px), anchor="lm")
    return canvas


def _sheet(cells: list[list[Image.Image]]) -> Image.Image:
    rows = [row for row in cells if row]
    heights = [max(cell.height for cell in row) for row in rows]
    sheet = Image.new("RGB", (WIDTH_PX, sum(heights) + _GAP_PX * (len(rows) - 1)), "black")
    upper = 0
    for row, height in zip(rows, heights, strict=True):
        left = (WIDTH_PX - sum(cell.width + _GAP_PX for cell in row) + _GAP_PX) // 2
        for cell in row:
            sheet.paste(cell, (left, upper))
            left += cell.width + _GAP_PX
        upper += height + _GAP_PX
    return sheet


def _save(image: Image.Image, path: Path) -> Path:
    with storage.replacing(path) as temporary:
        image.save(temporary, "JPEG", quality=90)
    return path
