"""Operations on all clouds of a batch at once.

Letters in names: N points of all clouds together, B clouds, K values of a point.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from blendclip.encoders.clouds import Clouds


def spread(values_B: Tensor, owner_N: Tensor) -> Tensor:
    """(N, ...) for each point the value of its cloud, from (B, ...) values; on a CPU far faster than indexing."""
    return values_B.index_select(0, owner_N)


def indices(clouds: Clouds) -> Tensor:
    """(N,) int64: index of each point within its cloud."""
    starts_B = clouds.lengths.cumsum(0) - clouds.lengths
    return torch.arange(len(clouds.points), device=clouds.points.device) - spread(starts_B, clouds.owners())


def reduced(values_NK: Tensor, clouds: Clouds, reduce: str) -> Tensor:
    """(B, K): the least (`reduce` is `min`) or greatest (`max`) values of each cloud's points."""
    return torch.segment_reduce(values_NK, reduce, lengths=clouds.lengths, unsafe=True)  # unsafe: lengths are right


def count_kept(clouds: Clouds, keep_N: Tensor) -> Tensor:
    """(B,) int64: number of points of each cloud that `keep_N`, bool, keeps."""
    return torch.zeros_like(clouds.lengths).index_add(0, clouds.owners(), keep_N.long())


def kept(clouds: Clouds, keep_N: Tensor) -> Clouds:
    """The clouds with the points that `keep_N`, bool, keeps: at least one of each cloud."""
    rgb = None if clouds.rgb is None else clouds.rgb[keep_N]
    return replace(clouds, points=clouds.points[keep_N], lengths=count_kept(clouds, keep_N), rgb=rgb)
