"""What the encoder's work on a batch follows from: numbers of patches and places of tokens, from cloud sizes alone.

Made beforehand, by the processes that read a batch, it leaves nothing for which the CPU would have to wait for a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from blendclip.encoders.buckets import Layout, laid_end_to_end, laid_in_buckets
from blendclip.encoders.division import Division, num_patches
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.encoders.varlen import has_varlen


@dataclass(frozen=True)
class PlanKind:
    """What plans are made for."""

    device_type: str
    """Where the encoder computes, such as cuda."""
    end_to_end: bool
    """Whether attention takes sequences of different lengths in one call."""


def kind_of(config: PointBertConfig, device: torch.device) -> PlanKind:
    """The kind that is fastest for an encoder on a device, under autocast if that is on now."""
    half = device.type == "cuda" and torch.is_autocast_enabled("cuda")
    return PlanKind(device.type, half and has_varlen(config.width // config.heads, device))


@dataclass(frozen=True)
class EncodingPlan:
    """The plan of a batch."""

    division: Division
    """Of its clouds into patches."""
    layout: Layout
    """Of its tokens."""

    def moved(self, move: Callable[[Tensor], Tensor]) -> EncodingPlan:
        """The same plan with its tensors where `move` brings them."""
        return EncodingPlan(self.division.moved(move), self.layout.moved(move))


def planned(lengths: Sequence[int], config: PointBertConfig, kind: PlanKind) -> EncodingPlan:
    """The plan of a batch, on the CPU.

    Args:
        lengths: points of each of its clouds.
        config: of the encoder.
        kind: what it is made for.
    """
    counts = [num_patches(length, config.patches_per_point, config.max_patches) for length in lengths]
    division = Division.of(list(lengths), counts, config.patch_points)
    layout = laid_end_to_end(counts) if kind.end_to_end else laid_in_buckets(counts, config.width, kind.device_type)
    return EncodingPlan(division, layout)
