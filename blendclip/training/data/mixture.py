"""The curriculum: which share of a batch is real, as a function of how far training has come."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blendclip.errors import UserError
from blendclip.options import Options
from blendclip.ranges import Range, Share


@dataclass(frozen=True)
class Mixture(Options):
    """The share of real samples in a batch over a run, the curriculum.

    The first step of a run is at progress 0, its last at 1.

    Raises:
        UserError: a value is out of its range.
    """

    schedule: Literal["linear", "cosine", "step", "constant", "none"] = "linear"
    """How the share rises once its warm-up is over: in a line, along half a cosine, in steps, at once, or never."""
    max_real_ratio: Share = 0.3
    """Share of real samples at the end of the run, 0 to 1."""
    warmup: Annotated[float, Range(ge=0, lt=1)] = 0.004
    """Progress before which no sample is real; the default is one of the 250 epochs of the published recipe."""
    steps: tuple[float, ...] = (0.25, 0.5, 0.75)
    """Progress values at each of which the schedule `step` adds an equal part of max_real_ratio."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rising = all(before < after for before, after in pairwise((0, *self.steps)))
        if not (self.steps and rising and self.steps[-1] <= 1):
            raise UserError(f"mixture.steps is {list(self.steps)}: give rising numbers above 0 and up to 1")

    def real_share(self, progress: ArrayLike) -> NDArray[np.float64]:
        """The share of real samples at each progress of 0 to 1; of the same shape."""
        progress = np.asarray(progress, np.float64)
        # 1. before the end of warm-up: nothing
        # 2. from then to the end: the schedule
        height = np.where(progress < self.warmup, 0.0, self._height(progress))
        # 3. at the end: max_real_ratio, but for `none`
        return height * self.max_real_ratio

    def _height(self, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """The schedule after warm-up, 0 to 1."""
        risen = (progress - self.warmup) / (1 - self.warmup)
        match self.schedule:
            case "linear":
                return risen
            case "cosine":
                return (1 - np.cos(np.pi * risen)) / 2
            case "step":
                return np.searchsorted(self.steps, progress, side="right") / len(self.steps)
            case "constant":
                return np.ones_like(progress)
        return np.zeros_like(progress)
