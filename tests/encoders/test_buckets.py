import itertools

import numpy as np
import pytest
import torch

from blendclip.encoders.buckets import _cuts, laid_end_to_end, laid_in_buckets


@pytest.mark.parametrize("counts", [[5], [512] * 3, [1, 60, 2, 512, 61, 512, 1], list(range(1, 40))])
def test_every_token_has_a_row_of_its_own(counts):
    layout = laid_in_buckets(counts, 384, "cpu")
    rows = torch.cat([layout.class_rows, layout.patch_rows])
    assert len(rows.unique()) == len(rows) == sum(counts) + len(counts)
    assert layout.owner[layout.class_rows].tolist() == list(range(len(counts)))
    assert layout.owner[layout.patch_rows].tolist() == np.repeat(np.arange(len(counts)), counts).tolist()
    real = torch.cat(
        [
            torch.ones(b.size, b.length, dtype=bool).flatten() if b.real is None else b.real.flatten()
            for b in layout.spans
        ]
    )
    assert real.nonzero()[:, 0].tolist() == sorted(rows.tolist())


def test_a_cloud_is_its_class_token_then_its_patches():
    layout = laid_in_buckets([2, 3, 2], 384, "cpu")
    first = layout.class_rows[1]
    assert layout.patch_rows[2:5].tolist() == [first + 1, first + 2, first + 3]


def test_the_index_counts_over_buckets():
    layout = laid_in_buckets([2, 300, 4, 300], 384, "cpu")
    order = torch.cat([layout.owner[b.rows].view(b.size, b.length)[:, 0] for b in layout.spans])
    assert order[layout.index].tolist() == [0, 1, 2, 3]


def test_equal_lengths_need_no_mask_and_lidar_does_not_pad_to_cad():
    layout = laid_in_buckets([512] * 4 + [30, 28, 29], 384, "cpu")
    assert [(b.size, b.length, b.real is None) for b in layout.spans] == [(4, 513, True), (3, 31, False)]


def test_end_to_end_each_sequence_is_its_class_token_and_its_patches():
    layout = laid_end_to_end([2, 1, 3])
    assert layout.rows == 9 and layout.spans.longest == 4
    assert layout.spans.bounds.tolist() == [0, 3, 5, 9] and layout.spans.bounds.dtype == torch.int32
    assert layout.class_rows.tolist() == [0, 3, 5]
    assert layout.patch_rows.tolist() == [1, 2, 4, 6, 7, 8]
    assert layout.owner.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert layout.spans.counts.tolist() == [2, 1, 3] and layout.index.tolist() == [0, 1, 2]


def test_cuts_are_the_best_of_all():
    lengths, width, overhead = np.array([70, 64, 40, 39, 39, 20, 9, 3]), 16, 20

    def cost(cuts):
        return sum(
            (stop - first) * lengths[first] * (1 + lengths[first] / (6 * width)) + overhead for first, stop in cuts
        )

    every = []
    for number in range(len(lengths)):
        for inner in itertools.combinations(range(1, len(lengths)), number):
            edges = [0, *inner, len(lengths)]
            every.append(cost(list(itertools.pairwise(edges))))
    assert cost(_cuts(lengths, width, overhead)) == pytest.approx(min(every))
