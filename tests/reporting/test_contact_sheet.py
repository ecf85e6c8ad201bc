"""Where the cells of a contact sheet lie."""

import numpy as np
import pytest
from PIL import Image

from blendclip.reporting.contact_sheet import contact_sheet

RED, BLACK = (250, 0, 0), (0, 0, 0)


def sheet_of(count):
    """Cells of 30 x 20 px with margins of 5, each with a red square of 4 px at its (2, 3)."""
    square = Image.new("RGB", (4, 4), RED)
    return np.asarray(contact_sheet(range(count), lambda cell, _: cell.paste(square, 2, 3), (30, 20), 5, 10))


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (3, 1, 3), (4, 1, 4), (5, 2, 4), (9, 3, 4)])
def test_cells_fill_rows_of_four(count, rows, columns):
    sheet = sheet_of(count)
    assert sheet.shape == (5 + 25 * rows, 5 + 35 * columns, 3)
    expected = np.full_like(sheet, 255)
    for upper, left in [(5, 5), (5, 40), (5, 75), (5, 110), (30, 5), (30, 40), (30, 75), (30, 110), (55, 5)][:count]:
        expected[upper + 3 : upper + 7, left + 2 : left + 6] = RED
    assert (sheet == expected).all()


def test_text_begins_at_the_left_of_its_cell_and_below_its_line():
    sheet = np.asarray(contact_sheet(["a", "b"], lambda cell, name: cell.write(name, 8, BLACK), (30, 20), 5, 10))
    dark = np.argwhere((sheet < 128).all(axis=2))
    for left in (5, 40):
        own = dark[(dark[:, 1] >= left) & (dark[:, 1] < left + 10)]
        assert len(own) and own[:, 0].min() >= 5 + 8 and own[:, 0].max() < 5 + 8 + 13
    assert len(dark) == sum((dark[:, 1] >= left).sum() - (dark[:, 1] >= left + 10).sum() for left in (5, 40))
