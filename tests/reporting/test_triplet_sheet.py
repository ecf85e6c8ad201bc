"""The sheet shows which way is up, and what is in front."""

import numpy as np
import pytest

from blendclip.errors import UserError
from blendclip.reporting.triplet_sheet import draw_sheet, triplet_sheet

RED, BLUE, GREEN = (250, 0, 0), (0, 0, 250), (0, 250, 0)
TILE = 180


def tiles(points, rgb):
    """The view and the two clouds of a sheet of one triplet, each (180, 180, 3)."""
    row = {"points": points, "rgb": rgb, "image": None, "category": "thing", "caption": None, "triplet_id": "a/b"}
    sheet = np.asarray(triplet_sheet([row]))[14 : 14 + TILE]
    return [sheet[:, 14 + k * TILE : 14 + (k + 1) * TILE] for k in range(3)]


def place(tile, rgb):
    """Mean row and column of a colour."""
    return np.argwhere((tile == rgb).all(axis=2)).mean(axis=0)


def test_z_is_up_and_the_named_axis_points_right():
    _, side, front = tiles([(0, 0, 1), (1, 0, 0), (0, 1, 0)], [RED, BLUE, GREEN])
    assert place(side, RED)[0] < place(side, BLUE)[0] - 60 and place(front, RED)[0] < place(front, GREEN)[0] - 60
    assert place(side, BLUE)[1] > place(side, RED)[1] + 60, "x to the right"
    assert place(front, GREEN)[1] > place(front, RED)[1] + 60, "y to the right"


def test_what_is_nearer_hides_what_is_behind():
    _, _, front = tiles([(1, 0, 0), (-1, 0, 0), (0, 0, 1)], [RED, BLUE, GREEN])
    assert (front == RED).all(axis=2).any() and not (front == BLUE).all(axis=2).any(), "from ahead, x = 1 is nearer"
    _, side, _ = tiles([(0, 1, 0), (0, -1, 0), (0, 0, 1)], [RED, BLUE, GREEN])
    assert (side == BLUE).all(axis=2).any() and not (side == RED).all(axis=2).any(), "with x to the right, y = -1 is"


def test_points_without_colours_are_drawn():
    _, side, _ = tiles([(0, 0, 1), (1, 0, 0)], None)
    assert (side == (90, 110, 140)).all(axis=2).any()


def test_no_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        draw_sheet([tmp_path / "none.parquet"], 3, tmp_path / "sheet.png")
