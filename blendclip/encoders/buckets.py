"""Sequences of different lengths laid out for attention, in buckets of similar length or simply end to end.

A bucket is padded to its longest sequence, which any kernel for attention takes. Where there is one for sequences of
different lengths (`varlen`), they lie end to end and nothing is padded.

Letters in names: B sequences (clouds), T rows of all sequences together, padding included, P patches of all sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

# What a bucket costs by itself, in rows: a GPU does a thousand of them while it starts the work of a bucket.
_OVERHEAD_ROWS = {"cpu": 16}
_OVERHEAD_ROWS_ELSEWHERE = 1024


@dataclass(frozen=True)
class Bucket:
    """Sequences of similar length: rows `start` to `start + size * length` of the layout."""

    start: int
    """First row of the bucket in the layout."""
    size: int
    """Sequences of the bucket."""
    length: int
    """Tokens of its longest sequence, class token included."""
    real: Tensor | None
    """(size, length) bool: what is not padding; None where nothing is padding."""

    @property
    def rows(self) -> slice:
        """Rows of the bucket in the layout."""
        return slice(self.start, self.start + self.size * self.length)


@dataclass(frozen=True)
class Sequences:
    """Sequences end to end, without padding."""

    bounds: Tensor
    """(B + 1,) int32: sequence b has the rows bounds[b] to bounds[b + 1]."""
    counts: Tensor
    """(B,) int64: patches of each sequence, one less than its rows."""
    longest: int
    """Rows of the longest sequence."""


@dataclass(frozen=True)
class Layout:
    """The row of each token: a sequence is its class token, its patches, and padding.

    Sequences are numbered in the order in which `laid_out` got them.
    """

    spans: list[Bucket] | Sequences
    """Which rows attend to each other: buckets, from the longest sequences to the shortest, or sequences end to end."""
    rows: int
    """T."""
    class_rows: Tensor
    """(B,) int64: row of the class token of each sequence."""
    patch_rows: Tensor
    """(P,) int64: row of each patch, those of a sequence one after another."""
    owner: Tensor
    """(T,) int64: number of the sequence that each row belongs to."""
    index: Tensor
    """(B,) int64: position of each sequence among the rows, counted in sequences."""

    def moved(self, move: Callable[[Tensor], Tensor]) -> Layout:
        """The same layout with its tensors where `move` brings them."""
        if isinstance(self.spans, Sequences):
            spans: list[Bucket] | Sequences = replace(
                self.spans, bounds=move(self.spans.bounds), counts=move(self.spans.counts)
            )
        else:
            spans = [
                bucket if bucket.real is None else replace(bucket, real=move(bucket.real)) for bucket in self.spans
            ]
        tensors = (self.class_rows, self.patch_rows, self.owner, self.index)
        return Layout(spans, self.rows, *map(move, tensors))


def laid_end_to_end(counts: list[int]) -> Layout:
    """The layout of sequences of `counts` patches and a class token without padding, on the CPU."""
    lengths = np.asarray(counts) + 1
    bounds, owner = np.cumsum([0, *lengths]), np.repeat(np.arange(len(lengths)), lengths)
    patch_rows = np.arange(sum(counts)) + np.repeat(np.arange(1, len(lengths) + 1), counts)
    arrays = bounds[:-1], patch_rows, owner, np.arange(len(lengths))
    spans = Sequences(torch.from_numpy(bounds.astype(np.int32)), torch.tensor(counts), int(lengths.max()))
    return Layout(spans, int(bounds[-1]), *map(torch.from_numpy, arrays))


def laid_in_buckets(counts: list[int], width: int, device_type: str) -> Layout:
    """The layout in buckets that takes the least time for sequences of `counts` patches and a class token, on the CPU.

    Args:
        counts: patches of each of B sequences.
        width: of the transformer.
        device_type: where the tokens will be, such as cuda.
    """
    lengths = np.asarray(counts) + 1
    order = np.argsort(-lengths, kind="stable")
    starts, buckets, owner, row = np.empty(len(lengths), np.int64), [], [], 0
    for first, stop in _cuts(lengths[order], width, _OVERHEAD_ROWS.get(device_type, _OVERHEAD_ROWS_ELSEWHERE)):
        inside = order[first:stop]
        longest = int(lengths[inside[0]])
        starts[inside] = row + longest * np.arange(len(inside))
        real = np.arange(longest) < lengths[inside, None]
        buckets.append(Bucket(row, len(inside), longest, None if real.all() else torch.from_numpy(real)))
        owner.append(np.repeat(inside, longest))
        row += len(inside) * longest
    first_patch = np.cumsum([0, *counts])[:-1]
    patch_rows = np.arange(sum(counts)) + np.repeat(starts + 1 - first_patch, counts)
    arrays = starts, patch_rows, np.concatenate(owner), np.argsort(order)
    return Layout(buckets, row, *map(torch.from_numpy, arrays))


def _cuts(lengths: np.ndarray, width: int, overhead_rows: int) -> list[tuple[int, int]]:
    """Ranges (first, stop) of sequences, one for each bucket, that take the least time together.

    Dynamic programming over distinct lengths. In units of one row's linear layers, a bucket of n sequences padded to
    length l costs n l (1 + l / (6 width)) + `overhead_rows`: a row takes 12 width^2 multiplications in the linear
    layers of a block (4 for attention, 8 for the MLP) and 2 width l in attention itself.

    Args:
        lengths: (B,) of the sequences, falling.
        width: of the transformer.
        overhead_rows: what a bucket costs by itself, in rows.
    """
    longest, ends = np.unique(-lengths, return_index=True)
    longest, ends = -longest, np.append(ends, len(lengths))
    per_row = 1 + longest / (6 * width)
    # best[k]: least cost of the sequences of the k greatest lengths; their last bucket begins at length choice[k - 1].
    best, choice = np.zeros(len(longest) + 1), np.zeros(len(longest), np.int64)
    for stop in range(1, len(longest) + 1):
        cost = best[:stop] + (ends[stop] - ends[:stop]) * longest[:stop] * per_row[:stop] + overhead_rows
        choice[stop - 1] = cost.argmin()
        best[stop] = cost.min()
    cuts: list[tuple[int, int]] = []
    stop = len(longest)
    while stop > 0:
        first = int(choice[stop - 1])
        cuts.append((int(ends[first]), int(ends[stop])))
        stop = first
    return cuts[::-1]
