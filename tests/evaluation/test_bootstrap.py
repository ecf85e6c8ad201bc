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


@pytest.mark.parametrize(("objects", "end"), [(3, 0.5615), (5, 0.4345), (10, 0.2775), (100, 0.0370)])
def test_where_all_or_none_are_right_the_interval_is_wilson_s(objects, end):
    """Wilson's upper end for 0 of n, as tables of it have it; two clouds of an object are one trial."""
    names = [f"object {number // 2}" for number in range(2 * objects)]
    none, every = (Bootstrap.of(np.full((2 * objects, 1), right), names).estimate(0) for right in (0.0, 1.0))
    assert (none.value, none.low, none.high) == (0, 0, pytest.approx(end, abs=1e-4))
    assert (every.value, every.low, every.high) == (1, pytest.approx(1 - end, abs=1e-4), 1)


def test_a_mean_of_classes_that_are_all_right_or_all_wrong_is_no_point():
    """Ten classes of three objects each, two of them right: 0.5615 each, inwards alone, as a root of squares."""
    columns = np.full((30, 10), np.nan)
    for number in range(30):
        columns[number, number // 3] = float(number < 6)
    one = Bootstrap.of(columns, [str(number) for number in range(30)]).mean(range(10))
    assert one.value == pytest.approx(0.2)
    assert one.low <= 0.2 - 0.5615 * 2**0.5 / 10 + 1e-3 and one.high >= 0.2 + 0.5615 * 8**0.5 / 10 - 1e-3
    assert one.low > 0 and one.high < 0.5


def test_a_mean_of_classes_that_are_all_right_is_as_sure_as_they_are_together():
    columns = np.where(np.eye(2, dtype=bool)[[0] * 3 + [1] * 5], 1.0, np.nan)
    mean = Bootstrap.of(columns, [str(number) for number in range(8)]).mean([0, 1])
    assert (mean.value, mean.high) == (1, 1) and mean.low == pytest.approx(1 - np.hypot(0.5615, 0.4345) / 2, abs=1e-4)
