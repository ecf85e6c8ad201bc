"""Bounds by kind, against values worked out by hand."""

import numpy as np
import pytest

from blendclip import plausible

SECOND_US = 1_000_000


def test_a_vehicle_comes_100_m_a_second_and_jumps_5_m():
    assert plausible.reach_m(np.array([0, SECOND_US, -SECOND_US // 2])).tolist() == [5.0, 105.0, 55.0]


@pytest.mark.parametrize(
    ("x_m", "reached"),
    [
        ([0, 10, 20, 30], [True] * 4),
        ([0, 5000, 20, 30], [True, False, True, True]),
        ([0, 105, 205, 305], [True] * 4),
        ([0, 1e300, np.nan, 30, 40], [True, False, False, True, True]),
        ([0, 5000], [False, False]),  # one of two is wrong, and nobody knows which
        ([7], [True]),
        ([0, 10, 9000, 9010, 9020], [False, False, True, True, True]),
    ],
)
def test_places_are_those_that_most_others_reach(x_m, reached):
    place = np.stack([np.array(x_m, float), np.zeros(len(x_m)), np.zeros(len(x_m))], axis=1)
    assert plausible.are_reached(np.arange(len(x_m)) * SECOND_US, place).tolist() == reached


def test_boxes_have_sides_up_to_100_m():
    sizes = np.array([[4.5, 2, 1.5], [100, 2, 2], [100.1, 2, 2], [4, 0, 1], [4, -2, 1], [4, np.nan, 1], [np.inf, 1, 1]])
    assert plausible.are_boxes(sizes).tolist() == [True, True, False, False, False, False, False]


def test_cameras_of_1600_x_900_px():
    sizes = np.array([[1600, 900]] * 6)
    focal_px = [1200, 79, 90_001, 1e300, -1200, np.nan]  # 0.05 of 1600 is 80, 100 times 900 is 90,000
    k = np.array([[[f, 0, 800], [0, f, 450], [0, 0, 1]] for f in focal_px])
    assert plausible.are_focal_lengths(k, sizes).tolist() == [True, False, False, False, False, False]
    center_px = [[800, 450], [-799, -449], [-801, 450], [800, 1351], [2399, 1349], [1e300, 450]]
    k = np.array([[[1200, 0, x], [0, 1200, y], [0, 0, 1]] for x, y in center_px])
    assert plausible.are_centers(k, sizes).tolist() == [True, True, False, False, True, False]
    odd = np.array([[1, 1], [0, 0], [65_535, 1], [65_536, 1], [1600, -900]])
    assert plausible.are_image_sizes(odd).tolist() == [True, False, True, False, False]


def test_counts_are_whole_and_not_of_millions_of_points():
    points = np.array([0, 7, 7.5, -1, 1e7, 1e8, np.nan])
    assert plausible.are_counts(points).tolist() == [True, True, False, False, True, False, False]
