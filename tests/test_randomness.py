import numpy as np
import pytest
import torch

from blendclip.randomness import bits, key_of, mixed, permutation, subsample, subset, uniform


def test_mixing_is_that_of_splitmix64():
    # The generator's first outputs for the seed 1234567, as published with it: mixed(seed + k * golden ratio).
    golden = 0x9E3779B97F4A7C15
    states = [(1234567 + k * golden) % 2**64 for k in (1, 2, 3)]
    signed = np.array(states, np.uint64).astype(np.int64)
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert mixed(signed).astype(np.uint64).tolist() == expected


def test_torch_and_numpy_agree():
    seeds = np.array([0, 1, -1, 2**62, -(2**63)])
    index = np.arange(5)
    assert (bits(torch.tensor(seeds), "a", torch.tensor(index)).numpy() == bits(seeds, "a", index)).all()
    drawn = uniform(torch.tensor(seeds), "a")
    assert drawn.dtype == torch.float32
    assert (drawn.double().numpy() == uniform(seeds, "a")).all()


def test_numbers_are_uniform_and_independent_of_name_and_index():
    seeds = np.full(20000, key_of("some seed"))
    a, b = uniform(seeds, "a", np.arange(20000)), uniform(seeds, "b", np.arange(20000))
    counts, _ = np.histogram(a, bins=20, range=(0, 1))
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi squared of 19 degrees, 0.1 %
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03 and abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 0.03
    neighbours = uniform(np.arange(20000), "a")
    assert abs(np.corrcoef(neighbours[1:], neighbours[:-1])[0, 1]) < 0.03


def test_keys_depend_on_the_names_alone():
    assert key_of("shapes", 3) == 4563338430935711939  # the first 8 bytes that sha256sum gives for shapes/3
    assert key_of("shapes", 3) != key_of("shapes", 4)


def test_a_permutation_holds_all_and_differs_by_key():
    assert sorted(permutation(1000, 5)) == list(range(1000))
    assert permutation(6, 5).tolist() != permutation(6, 6).tolist()


def test_every_row_of_a_subset_is_equally_likely():
    counts = np.zeros(10)
    for seed in range(3000):
        chosen = subset(10, 4, seed)
        assert len(set(chosen)) == 4 and (np.diff(chosen) > 0).all()
        counts[chosen] += 1
    assert counts == pytest.approx(np.full(10, 1200), abs=4 * np.sqrt(3000 * 0.4 * 0.6))


def test_subsample_keeps_colours_with_their_points():
    points = np.arange(30.0).reshape(10, 3)
    chosen = subsample(points, 4, seed=9)
    assert chosen.shape == (4, 3) and (subsample(points[:, 0], 4, seed=9) == chosen[:, 0]).all()
    assert subsample(points, 10, seed=9) is points
