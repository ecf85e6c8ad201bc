"""What is measured of a step, kept on the device until somebody wants to know it: reading a number waits for a GPU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NEVER = torch.iinfo(torch.int64).max
"""The number of no step."""


@dataclass(frozen=True)
class StepNumbers:
    """The numbers of a step."""

    parts: list[dict[str, Tensor]]
    """Scalars of each micro-batch by name, the same names in each."""
    gradient_norm: Tensor
    """Scalar."""
    known: dict[str, float]
    """What needs no device to be known, by name."""

    def read(self) -> dict[str, float]:
        """All of them by name, those of micro-batches averaged; waits once."""
        names = list(self.parts[0])
        scalars = [part[name].detach() for part in self.parts for name in names]
        *values, norm = torch.stack([*scalars, self.gradient_norm]).tolist()
        means = {name: sum(values[at :: len(names)]) / len(self.parts) for at, name in enumerate(names)}
        return means | self.known | {"gradient_norm": norm}


class FirstBroken:
    """The first step with a number that is not finite."""

    def __init__(self, device: torch.device) -> None:
        """Note it on this device."""
        self._step = torch.full((), NEVER, device=device)

    def note(self, step: int, number: Tensor) -> None:
        """Look at a number of a step, a scalar, without waiting for it."""
        self._step.masked_fill_(~number.detach().isfinite() & (self._step == NEVER), step)

    def read(self) -> int:
        """The step, or `NEVER`; waits for the device."""
        return int(self._step.item())
