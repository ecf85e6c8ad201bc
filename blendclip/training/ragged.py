"""What augmentation does on every cloud of a batch at once. Letters in names: N points, B clouds, K values of each."""

from __future__ import annotations

import torch
from torch import Tensor

from blendclip.encoders.clouds import Clouds


def places(clouds: Clouds) -> Tensor:
    """(N,) int64: which point of its cloud each point is."""
    starts_B = clouds.lengths.cumsum(0) - clouds.lengths
    return torch.arange(len(clouds.points), device=clouds.points.device) - starts_B[clouds.owners()]


def of_clouds(values_NK: Tensor, clouds: Clouds, reduce: str) -> Tensor:
    """(B, K): the least (`amin`) or greatest (`amax`) value of each cloud's points."""
    owner_NK = clouds.owners()[:, None].expand_as(values_NK)
    empty_BK = values_NK.new_zeros(len(clouds), values_NK.shape[1])
    return empty_BK.scatter_reduce(0, owner_NK, values_NK, reduce, include_self=False)


def count_kept(clouds: Clouds, keep_N: Tensor) -> Tensor:
    """(B,) int64: how many of each cloud's points are kept."""
    return torch.zeros_like(clouds.lengths).index_add(0, clouds.owners(), keep_N.long())


def kept(clouds: Clouds, keep_N: Tensor) -> Clouds:
    """The clouds without the points that are not kept; every cloud must keep one."""
    rgb = None if clouds.rgb is None else clouds.rgb[keep_N]
    return Clouds(clouds.points[keep_N], count_kept(clouds, keep_N), rgb)
