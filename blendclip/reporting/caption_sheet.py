"""A contact sheet: some crops with their captions, to look at before many are paid for."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from blendclip import storage
from blendclip.errors import UserError
from blendclip.mining.captions.choice import sample_views
from blendclip.mining.captions.judge import Caption, NoCaption
from blendclip.mining.captions.stage import Captioner

_COLUMNS = 4
_CROP_PX = 300
_TEXT_PX = 170
_MARGIN_PX = 12
_FONT_PX = 15
_LINE_CHARACTERS = 40
_GREY, _BLACK, _RED = (110, 110, 110), (0, 0, 0), (180, 0, 0)


def preview(views: Sequence[Path], count: int, captioner: Captioner, output: Path) -> int:
    """Caption `count` views, spread evenly over all files, and draw them with their captions; return their number.

    Answers go to the cache, so that a full run does not pay for them again.

    Raises:
        UserError: there is no view, or the captioner fails.
    """
    parts = sample_views(list(views), count)
    captioner.prepare(parts)
    shown = []
    for part in parts:
        rows = [row for table in part.tables(["image.bytes", "category"], count) for row in table.to_pylist()]
        shown += zip(rows, captioner.outcomes(part), strict=True)
    if not shown:
        raise UserError("there is no view to show: the files of views have no row")
    with storage.replacing(output) as temporary:
        contact_sheet(shown).save(temporary, "PNG")
    return len(shown)


def contact_sheet(shown: Sequence[tuple[dict[str, Any], Caption | NoCaption]]) -> Image.Image:
    """Crops in rows, each with its annotated category in grey and its caption, or in red why it has none."""
    cell_px = (_CROP_PX + _MARGIN_PX, _CROP_PX + _TEXT_PX + _MARGIN_PX)
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    sheet = Image.new("RGB", (columns * cell_px[0] + _MARGIN_PX, rows * cell_px[1] + _MARGIN_PX), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
    for number, (view, outcome) in enumerate(shown):
        left, upper = (
            place * size + _MARGIN_PX
            for place, size in zip((number % columns, number // columns), cell_px, strict=True)
        )
        with Image.open(io.BytesIO(view["image"]["bytes"])) as crop:
            scale = _CROP_PX / max(crop.size)
            crop = crop.resize([max(1, round(side * scale)) for side in crop.size])
        sheet.paste(crop, (left + (_CROP_PX - crop.width) // 2, upper + _CROP_PX - crop.height))
        said = outcome.text if isinstance(outcome, Caption) else f"{outcome.rule}: {outcome.reason}"
        text = textwrap.fill(said, _LINE_CHARACTERS, max_lines=8)
        colour = _BLACK if isinstance(outcome, Caption) else _RED
        draw.text((left, upper + _CROP_PX + 4), view["category"], _GREY, font)
        draw.text((left, upper + _CROP_PX + 4 + 1.3 * _FONT_PX), text, colour, font)
    return sheet
