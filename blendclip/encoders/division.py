"""How clouds are divided into patches: what grouping needs to know beforehand, from numbers of points alone.

Letters in names: N points of all clouds together, B clouds, P patches of all clouds together, K points of a patch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


def num_patches(length: int, per_point: float, most: int) -> int:
    """Patches of a cloud of `length` points: floor(per_point * length), at least 1 and no more than `most`."""
    return max(1, min(int(per_point * length), most))


@dataclass(frozen=True)
class Division:
    """Where points and patches of B clouds lie among those of all clouds.

    The lists are for the process, the tensors, with the same numbers, for the device: none asks the other.
    """

    lengths: list[int]
    """Points of each cloud, at least 1."""
    counts: list[int]
    """Patches of each cloud, at least 1 and at most its points."""
    patch_points: int
    """K."""
    offsets: Tensor
    """(B + 1,) int64: cloud b has the points offsets[b] to offsets[b + 1]."""
    starts: Tensor
    """(B + 1,) int64: cloud b has the patches starts[b] to starts[b + 1]."""
    repeated: Tensor | None
    """(X,) int64: which of the P * K members of patches repeat a centre, as their cloud has too few points; None where
    none does."""

    @classmethod
    def of(cls, lengths: list[int], counts: list[int], patch_points: int) -> Division:
        """The division of B clouds of `lengths` points into `counts` patches of `patch_points`, on the CPU."""
        assert len(counts) == len(lengths)
        assert all(1 <= count <= length for count, length in zip(counts, lengths, strict=True))
        offsets, starts = (torch.from_numpy(np.cumsum([0, *numbers])) for numbers in (lengths, counts))
        repeated = None
        if min(lengths) < patch_points:
            missing_PK = np.arange(patch_points) >= np.repeat(lengths, counts)[:, None]
            repeated = torch.from_numpy(np.flatnonzero(missing_PK))
        return cls(lengths, counts, patch_points, offsets, starts, repeated)

    def moved(self, move: Callable[[Tensor], Tensor]) -> Division:
        """The same division with its tensors where `move` brings them."""
        repeated = None if self.repeated is None else move(self.repeated)
        return replace(self, offsets=move(self.offsets), starts=move(self.starts), repeated=repeated)
