"""Tensors from the CPU to the device that computes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def sender(device: torch.device) -> Callable[[Tensor], Tensor]:
    """A function that brings a tensor from the CPU to a device, to a GPU through page-locked memory without waiting."""
    if device.type == "cuda":
        return lambda tensor: tensor.pin_memory().to(device, non_blocking=True)
    return lambda tensor: tensor.to(device)
