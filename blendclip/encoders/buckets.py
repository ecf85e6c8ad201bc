"""Sequences of different lengths laid out for attention: buckets of similar length, each padded to its longest.

Letters in names: B sequences (clouds), T rows of all buckets together, padding included, P tokens without padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_OVERHEAD_ROWS = {"cpu": 16}
_OVERHEAD_ROWS_ELSEWHERE = 1024  # a GPU does a thousand rows while it starts the work of a bucket


@dataclass(frozen=True)
class Bucket:
    """Sequences of similar length: rows `start` to `start + size * length` of the layout."""

    start: int
    size: int
    length: int
    """Of the longest, class token included."""
    real: Tensor | None
    """(size, length) bool: what is not padding; None where nothing is."""

    @property
    def rows(self) -> slice:
        """Its rows."""
        return slice(self.start, self.start + self.size * self.length)


@dataclass(frozen=True)
class Layout:
    """Where each token lies: a sequence is its class token, its patches, and padding."""

    buckets: list[Bucket]
    rows: int
    """T."""
    class_rows: Tensor
    """(B,) int64, in the order of the sequences, as all that follows."""
    patch_rows: Tensor
    """(P,) int64."""
    owner: Tensor
    """(T,) int64: the sequence of each row."""
    place: Tensor
    """(B,) int64: which sequence each is, counted over the buckets."""


def laid_out(counts: list[int], width: int, device: torch.device) -> Layout:
    """A layout for sequences of `counts` patches and a class token, for a transformer of some width.

    Which buckets there are is chosen to take the least time.
    """
    lengths = np.asarray(counts) + 1
    order = np.argsort(-lengths, kind="stable")
    starts, buckets, owner, row = np.empty(len(lengths), np.int64), [], [], 0
    for first, stop in _cuts(lengths[order], width, _OVERHEAD_ROWS.get(device.type, _OVERHEAD_ROWS_ELSEWHERE)):
        inside = order[first:stop]
        longest = int(lengths[inside[0]])
        starts[inside] = row + longest * np.arange(len(inside))
        real = np.arange(longest) < lengths[inside, None]
        buckets.append(Bucket(row, len(inside), longest, None if real.all() else torch.as_tensor(real, device=device)))
        owner.append(np.repeat(inside, longest))
        row += len(inside) * longest
    first_patch = np.cumsum([0, *counts])[:-1]
    patch_rows = np.arange(sum(counts)) + np.repeat(starts + 1 - first_patch, counts)
    arrays = starts, patch_rows, np.concatenate(owner), np.argsort(order)
    return Layout(buckets, row, *(torch.as_tensor(array, device=device) for array in arrays))


def _cuts(lengths: np.ndarray, width: int, overhead_rows: int) -> list[tuple[int, int]]:
    """Runs of falling lengths that take the least time together, by dynamic programming over distinct lengths.

    A run takes as long as its padded rows, each with 12 width^2 multiplications for linear layers and 2 width times its
    length for attention, and as `overhead_rows` rows more.
    """
    longest, ends = np.unique(-lengths, return_index=True)
    longest, ends = -longest, np.append(ends, len(lengths))
    per_row = 1 + longest / (6 * width)
    best, choice = np.zeros(len(longest) + 1), np.zeros(len(longest), np.int64)
    for stop in range(1, len(longest) + 1):
        cost = best[:stop] + (ends[stop] - ends[:stop]) * longest[:stop] * per_row[:stop] + overhead_rows
        choice[stop - 1] = cost.argmin()
        best[stop] = cost.min()
    cuts, stop = [], len(longest)
    while stop > 0:
        first = int(choice[stop - 1])
        cuts.append((int(ends[first]), int(ends[stop])))
        stop = first
    return cuts[::-1]
