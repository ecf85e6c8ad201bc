"""Intervals against the binomial's, hand-computed cases, and clouds that depend on each other."""

import numpy as np
import pytest

from blendclip.evaluation.bootstrap import Bootstrap


def test_of_independent_clouds_it_is_the_binomial_s_interval():
    right = np.repeat([1.0, 0.0], [300, 100])
    one = Bootstrap.of(right[:, None], [str(number) for number in range(400)], draws=4000).estimate(0)
    deviation = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert one.value == 0.75
    assert one.low == pytest.approx(0.75 - deviation, abs=0.01) and one.high == pytest.approx(
        0.75 + deviation, abs=0.01
    )


def test_clouds_of_one_object_count_as_one_object():
    """16 objects of 25 clouds each that are all right or all wrong tell no more than 16 clouds."""
    right_I = np.repeat([1.0, 0.0], [12, 4])
    names = np.repeat(np.arange(16), 25).astype(str).tolist()
    many = Bootstrap.of(np.repeat(right_I, 25)[:, None], names).estimate(0)
    few = Bootstrap.of(right_I[:, None], [str(number) for number in range(16)]).estimate(0)
    assert many == few and few.high - few.low > 0.35


def test_clouds_that_do_not_count_are_left_out():
    columns = np.array([[1.0, np.nan], [1.0, 0.0], [0.0, 1.0], [np.nan, 1.0]])
    bootstrap = Bootstrap.of(columns, list("abcd"))
    assert bootstrap.values_K == pytest.approx([2 / 3, 2 / 3])
    assert bootstrap.mean([0, 1]).value == pytest.approx(2 / 3)


def test_the_order_of_clouds_does_not_matter():
    rng = np.random.default_rng(0)
    right, names = rng.integers(0, 2, (60, 1)).astype(float), rng.integers(0, 20, 60).astype(str)
    order = rng.permutation(60)
    assert Bootstrap.of(right, names.tolist()).estimate(0) == Bootstrap.of(
        right[order], names[order].tolist()
    ).estimate(0)


def test_where_all_are_right_the_interval_is_a_point():
    one = Bootstrap.of(np.ones((5, 1)), list("aabbc")).estimate(0)
    assert (one.value, one.low, one.high) == (1, 1, 1)
