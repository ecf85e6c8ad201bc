"""A contact sheet of some crops with their captions, to look at before many captions are paid for."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from blendclip import storage
from blendclip.errors import UserError
from blendclip.mining.captions.choice import sample_views
from blendclip.mining.captions.judge import Caption, NoCaption
from blendclip.mining.captions.stage import Captioner
from blendclip.reporting.contact_sheet import GREY, Cell, contact_sheet

_CROP_PX = 300
_TEXT_PX = 170
_MARGIN_PX = 12
_FONT_PX = 15
_LINE_CHARACTERS = 40
_BLACK, _RED = (0, 0, 0), (180, 0, 0)

CaptionedCrop = tuple[dict[str, Any], Caption | NoCaption]
"""`image` and `category` of a view, and its caption or why it has none."""


def preview(views: Sequence[Path], count: int, captioner: Captioner, output: Path) -> int:
    """Caption at most `count` views, evenly spaced over all files, and draw them; return their number.

    Captions go to the cache, so that a full run does not pay for them again.

    Args:
        views: Parquet files of views.
        count: views to show.
        captioner: writes the captions.
        output: PNG to draw.

    Raises:
        UserError: there is no view, or the captioner fails.
    """
    parts = sample_views(list(views), count)
    captioner.prepare(parts)
    shown: list[CaptionedCrop] = []
    for part in parts:
        rows = [row for table in part.tables(["image.bytes", "category"], count) for row in table.to_pylist()]
        shown += zip(rows, captioner.outcomes(part), strict=True)
    if not shown:
        raise UserError("there is no view to show: the files of views have no row")
    with storage.replacing(output) as temporary:
        caption_sheet(shown).save(temporary, "PNG")
    return len(shown)


def caption_sheet(shown: Sequence[CaptionedCrop]) -> Image.Image:
    """A sheet of crops, each with its annotated category in grey and its caption, or in red why it has none."""
    return contact_sheet(shown, _draw, (_CROP_PX, _CROP_PX + _TEXT_PX), _MARGIN_PX, _FONT_PX)


def _draw(cell: Cell, captioned: CaptionedCrop) -> None:
    view, outcome = captioned
    crop = _scaled(view["image"]["bytes"])
    cell.paste(crop, (_CROP_PX - crop.width) // 2, _CROP_PX - crop.height)
    cell.write(view["category"], _CROP_PX + 4, GREY)
    text = outcome.text if isinstance(outcome, Caption) else f"{outcome.rule}: {outcome.reason}"
    color = _BLACK if isinstance(outcome, Caption) else _RED
    cell.write(textwrap.fill(text, _LINE_CHARACTERS, max_lines=8), _CROP_PX + 4 + 1.3 * _FONT_PX, color)


def _scaled(jpeg: bytes) -> Image.Image:
    """An image whose longer side is `_CROP_PX`."""
    with Image.open(io.BytesIO(jpeg)) as crop:
        scale = _CROP_PX / max(crop.size)
        return crop.resize((max(1, round(crop.width * scale)), max(1, round(crop.height * scale))))
