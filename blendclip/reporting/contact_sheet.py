"""Contact sheets: a grid of cells of one size, each drawn by the caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFont

GREY = (110, 110, 110)
_COLUMNS = 4

Item = TypeVar("Item")
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Cell:
    """The place of one item on a sheet; positions are pixels from its upper left corner."""

    sheet: Image.Image
    left: int
    upper: int
    font_px: int

    def paste(self, image: Image.Image, left: int, upper: int) -> None:
        """Paste an image with its upper left corner at (left, upper)."""
        self.sheet.paste(image, (self.left + left, self.upper + upper))

    def write(self, text: str, upper: float, color: Color) -> None:
        """Write text, its lines from `upper` down."""
        font = ImageFont.load_default(self.font_px)
        ImageDraw.Draw(self.sheet).text((self.left, self.upper + upper), text, color, font)


def contact_sheet(
    items: Sequence[Item], draw: Callable[[Cell, Item], None], cell_px: tuple[int, int], margin_px: int, font_px: int
) -> Image.Image:
    """A white sheet with a cell for each of at least one item, row by row, at most four in a row.

    Args:
        items: what to show.
        draw: draws an item into its cell.
        cell_px: width and height of a cell without margins.
        margin_px: space around cells.
        font_px: size of letters.
    """
    columns = min(_COLUMNS, len(items))
    rows = -(-len(items) // columns)
    width_px, height_px = (side + margin_px for side in cell_px)
    sheet = Image.new("RGB", (columns * width_px + margin_px, rows * height_px + margin_px), "white")
    for number, item in enumerate(items):
        row, column = divmod(number, columns)
        draw(Cell(sheet, margin_px + column * width_px, margin_px + row * height_px, font_px), item)
    return sheet
