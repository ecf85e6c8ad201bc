"""How fast a run is, and how much of the time it waits for data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


class Pace:
    """Counts since the last reading."""

    def __init__(self) -> None:
        self._reset()

    def next(self, reader: Iterator[T]) -> T:
        """The reader's next, its time counted as waiting."""
        start = time.perf_counter()
        item = next(reader)
        self._waited_s += time.perf_counter() - start
        return item

    def step(self, samples: int) -> None:
        """A step is done."""
        self._steps += 1
        self._samples += samples

    def read(self) -> dict[str, float]:
        """Samples a second, seconds a step and of it in waiting for data, since the last reading."""
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
