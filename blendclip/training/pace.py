"""How fast a run trains, and how much of the time it waits for data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


class Pace:
    """Counts steps, samples and waiting since the last reading."""

    def __init__(self) -> None:
        self._reset()

    def next(self, reader: Iterator[T]) -> T:
        """The next item of a reader; the time that it takes counts as waiting."""
        start = time.perf_counter()
        item = next(reader)
        self._waited_s += time.perf_counter() - start
        return item

    def step(self, samples: int) -> None:
        """Count a step of `samples` samples."""
        self._steps += 1
        self._samples += samples

    def read(self) -> dict[str, float]:
        """Samples per second, seconds per step, and those of them spent waiting for data, since the last reading."""
        elapsed_s = time.perf_counter() - self._start
        numbers = {
            "samples_per_s": self._samples / elapsed_s,
            "step_s": elapsed_s / self._steps,
            "data_wait_s": self._waited_s / self._steps,
        }
        self._reset()
        return numbers

    def _reset(self) -> None:
        self._start, self._waited_s, self._steps, self._samples = time.perf_counter(), 0.0, 0, 0
