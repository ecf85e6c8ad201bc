import numpy as np
import pytest
import torch

from blendclip.encoders.clouds import Clouds
from blendclip.encoders.division import Division, num_patches
from blendclip.encoders.grouping import _triton_works, group_with_numba, group_with_torch, grouped

LENGTHS = [1, 2, 31, 32, 33, 100, 700, 3000, 5]


def ragged(lengths=LENGTHS, seed=0) -> Clouds:
    generator = torch.Generator().manual_seed(seed)
    return Clouds.of([torch.randn(length, 3, generator=generator) for length in lengths])


def naive_patches(points, count, size):
    """Centres and members of one cloud, straight from the definition; ties go to the earlier point."""
    points = np.asarray(points, np.float32)

    def distances(center):
        dx, dy, dz = (points - points[center]).T
        return dx * dx + dy * dy + dz * dz

    centers, from_nearest_center = [0], distances(0)
    while len(centers) < count:
        centers.append(int(np.argmax(from_nearest_center)))
        from_nearest_center = np.minimum(from_nearest_center, distances(centers[-1]))
    members = [np.argsort(distances(center), kind="stable")[:size].tolist() for center in centers]
    return centers, members


def counts_of(lengths):
    return [num_patches(length, 2 / 32, 512) for length in lengths]


@pytest.mark.parametrize(
    ("points", "patches"),
    [(1, 1), (16, 1), (31, 1), (32, 2), (47, 2), (48, 3), (100, 6), (8191, 511), (8192, 512), (20000, 512)],
)
def test_two_patches_for_32_points_within_bounds(points, patches):
    assert num_patches(points, 2 / 32, 512) == patches


def test_patches_on_a_line():
    line = Clouds.of([torch.tensor([[float(x), 0, 0] for x in (4, 0, 1, 9, 10, 5)])])
    patches = grouped(line, Division.of([6], [3], 2))
    assert patches.centers.tolist() == [0, 4, 1]  # from 4 furthest is 10, then 0, which is 4 from 4
    assert patches.members.tolist() == [[0, 5], [4, 3], [1, 2]]
    assert patches.repeated is None


@pytest.mark.parametrize("method", [group_with_numba, group_with_torch])
def test_patches_are_those_of_the_definition(method):
    clouds, counts = ragged(), counts_of(LENGTHS)
    centers, members = method(clouds.points, LENGTHS, counts, 32)
    offset = row = 0
    for length, count in zip(LENGTHS, counts, strict=True):
        cloud = clouds.points[offset : offset + length]
        expected_centers, expected_members = naive_patches(cloud, count, 32)
        assert (centers[row : row + count] - offset).tolist() == expected_centers
        real = members[row : row + count, : min(length, 32)]
        assert (real - offset).tolist() == expected_members
        offset, row = offset + length, row + count


@pytest.mark.parametrize("kind", ["lattice", "coincident", "twins"])
def test_both_ways_agree_where_distances_are_equal(kind):
    generator = torch.Generator().manual_seed(1)
    cloud = {
        "lattice": torch.randint(0, 6, (600, 3), generator=generator).float(),
        "coincident": torch.ones(200, 3),
        "twins": torch.randn(300, 3, generator=generator).repeat(2, 1),
    }[kind]
    lengths, counts = [len(cloud), 40], [num_patches(len(cloud), 2 / 32, 512), 2]
    points = torch.cat([cloud, torch.randn(40, 3, generator=generator)])
    for ours, theirs in zip(
        group_with_numba(points, lengths, counts, 32), group_with_torch(points, lengths, counts, 32), strict=True
    ):
        assert torch.equal(ours, theirs)
    assert (
        group_with_numba(points, lengths, counts, 32)[0][: counts[0]].tolist() == naive_patches(cloud, counts[0], 32)[0]
    )


def test_torch_looks_at_few_distances_at_once(monkeypatch):
    clouds, counts = ragged(), counts_of(LENGTHS)
    whole = group_with_torch(clouds.points, LENGTHS, counts, 32)
    monkeypatch.setattr("blendclip.encoders.grouping._DISTANCES_AT_ONCE", 7000)
    monkeypatch.setattr("blendclip.encoders.grouping._POINTS_AT_ONCE", 3000)
    for ours, theirs in zip(whole, group_with_torch(clouds.points, LENGTHS, counts, 32), strict=True):
        assert torch.equal(ours, theirs)


def test_a_triton_that_does_not_run_is_told_and_done_without(caplog):
    assert not _triton_works(torch.device("cpu"))
    assert "patches on cpu are made by torch, which is much slower: Triton does not run (" in caplog.text


def test_small_clouds_repeat_their_centre():
    patches = grouped(ragged([40, 3]), Division.of([40, 3], [2, 1], 8))
    assert patches.members[2, 3:].tolist() == [40] * 5
    assert sorted(patches.members[2, :3].tolist()) == [40, 41, 42]
    assert patches.repeated.tolist() == [19, 20, 21, 22, 23]
    assert (patches.members[:2] < 40).all()


def test_patches_do_not_depend_on_the_batch():
    clouds = ragged()
    patches = grouped(clouds, Division.of(LENGTHS, counts_of(LENGTHS), 32))
    first = sum(counts_of(LENGTHS)[:6])
    offset = sum(LENGTHS[:6])
    alone = grouped(Clouds.of([clouds.points[offset : offset + 700]]), Division.of([700], [43], 32))
    assert torch.equal(patches.members[first : first + 43] - offset, alone.members)
