import numpy as np

from blendclip.sampling import spread


def test_elements_are_the_middles_of_equal_stretches():
    elements = np.arange(100, 140)
    assert spread(elements[:3], 5).tolist() == [100, 101, 102]
    assert spread(elements[:10], 1).tolist() == [105]
    assert spread(elements[:10], 2).tolist() == [102, 107]
    assert spread(elements, 4).tolist() == [105, 115, 125, 135]
    assert spread(elements[:0], 4).tolist() == []


def test_the_middle_one_for_one():
    for size in range(1, 60, 2):
        assert spread(np.arange(size), 1).tolist() == [size // 2]


def test_gaps_differ_by_at_most_one_whatever_the_numbers():
    for size in range(1, 60):
        for count in range(1, size + 1):
            places = spread(np.arange(size), count)
            assert len(set(places.tolist())) == count and places[0] >= 0 and places[-1] < size
            assert np.ptp(np.diff(places)) <= 1 if count > 1 else True


def test_rows_of_a_table_stay_whole():
    rows = np.arange(20).reshape(10, 2)
    assert spread(rows, 2).tolist() == [[4, 5], [14, 15]]
