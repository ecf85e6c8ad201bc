"""A batch of clouds of different sizes, laid end to end, so that no padding is stored or moved.

Letters in names: N points of all clouds together, B clouds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from blendclip.encoders.numpy_grouping import LEAST_M


@dataclass(frozen=True)
class Clouds:
    """B clouds; cloud b is a run of `lengths[b]` rows."""

    points: Tensor
    """(N, 3) float32, z up; metres or normalised."""
    lengths: Tensor
    """(B,) int64, each at least 1; on the device of the points."""
    rgb: Tensor | None = None
    """(N, 3) float32, 0 to 1."""
    in_metres: Tensor | None = None
    """(B,) bool: whose unit is the metre; None where nobody asks for sizes."""
    size: Tensor | None = None
    """(B, 3) float32, natural logarithms of metres, as `normalized` measured them; NaN where the unit is not known.

    The radius about the mean, the height, and the radius as seen from above.
    """

    @classmethod
    def of(
        cls, points: Sequence[Tensor], rgb: Sequence[Tensor] | None = None, in_metres: Sequence[bool] | None = None
    ) -> Clouds:
        """B clouds end to end, from the points (n, 3) and colours (n, 3) of each; n is at least 1."""
        device = points[0].device
        return cls(
            torch.cat(list(points)),
            torch.tensor([len(cloud) for cloud in points], device=device),
            None if rgb is None else torch.cat(list(rgb)),
            None if in_metres is None else torch.tensor(in_metres, dtype=torch.bool, device=device),
        )

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

    All points of a cloud lie at the origin where they coincide. Sizes are measured where `in_metres` is there.
    """
    owner_N = clouds.owners()
    zeros_B3 = clouds.points.new_zeros(len(clouds), 3)
    mean_B3 = zeros_B3.index_add(0, owner_N, clouds.points) / clouds.lengths[:, None]
    centred_N3 = clouds.points - mean_B3[owner_N]
    radius_B = zeros_B3[:, 0].scatter_reduce(0, owner_N, centred_N3.norm(dim=1), "amax")
    size = None if clouds.in_metres is None else _sizes(centred_N3, owner_N, radius_B, clouds.in_metres)
    return replace(clouds, points=centred_N3 / radius_B.clamp_min(1e-9)[owner_N, None], size=size)


def _sizes(centred_N3: Tensor, owner_N: Tensor, radius_B: Tensor, in_metres_B: Tensor) -> Tensor:
    """`Clouds.size` of clouds about their means."""

    def highest(values_N: Tensor) -> Tensor:
        return torch.full_like(radius_B, -torch.inf).scatter_reduce(0, owner_N, values_N, "amax")

    height_B = highest(centred_N3[:, 2]) + highest(-centred_N3[:, 2])
    lengths_B3 = torch.stack([radius_B, height_B, highest(centred_N3[:, :2].norm(dim=1))], 1)
    return lengths_B3.clamp_min(LEAST_M).log().where(in_metres_B[:, None], torch.nan)
