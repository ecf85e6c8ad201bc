"""A batch of clouds of different sizes, laid end to end, so that no padding is stored or moved.

Letters in names: N points of all clouds together, B clouds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Clouds:
    """B clouds; cloud b is a run of `lengths[b]` rows."""

    points: Tensor
    """(N, 3) float32, z up; metres or normalised."""
    lengths: Tensor
    """(B,) int64, each at least 1; on the device of the points."""
    rgb: Tensor | None = None
    """(N, 3) float32, 0 to 1."""

    @classmethod
    def of(cls, points: Sequence[Tensor], rgb: Sequence[Tensor] | None = None) -> Clouds:
        """B clouds end to end, from the points (n, 3) and colours (n, 3) of each; n is at least 1."""
        lengths = torch.tensor([len(cloud) for cloud in points], device=points[0].device)
        return cls(torch.cat(list(points)), lengths, None if rgb is None else torch.cat(list(rgb)))

    def __len__(self) -> int:
        return len(self.lengths)

    def owners(self) -> Tensor:
        """(N,) int64: number of the cloud that each point belongs to."""
        return torch.repeat_interleave(self.lengths, output_size=len(self.points))

    def to(self, device: torch.device | str) -> Clouds:
        """The same clouds on another device."""
        return self._moved(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Clouds:
        """The same clouds in page-locked memory, from which copies to a GPU are asynchronous."""
        return self._moved(Tensor.pin_memory)

    def _moved(self, move: Callable[[Tensor], Tensor]) -> Clouds:
        tensors = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(self, **{name: move(tensor) for name, tensor in tensors.items() if tensor is not None})


def normalized(clouds: Clouds) -> Clouds:
    """Each cloud with its mean at the origin and its furthest point at distance 1, as PointBERT expects it.

    All points of a cloud lie at the origin where they coincide.
    """
    owner_N = clouds.owners()
    zeros_B3 = clouds.points.new_zeros(len(clouds), 3)
    mean_B3 = zeros_B3.index_add(0, owner_N, clouds.points) / clouds.lengths[:, None]
    centred_N3 = clouds.points - mean_B3[owner_N]
    radius_B = zeros_B3[:, 0].scatter_reduce(0, owner_N, centred_N3.norm(dim=1), "amax")
    return Clouds(centred_N3 / radius_B.clamp_min(1e-9)[owner_N, None], clouds.lengths, clouds.rgb)
