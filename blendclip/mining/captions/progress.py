"""Time: how far a long job is and how long it will take still, and the time that was spent."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

log = logging.getLogger(__name__)


class RequestProgress:
    """Counts answered requests and logs now and then how many are left and how long they will take."""

    def __init__(self, total: int, every_s: float = 10.0) -> None:
        self._total, self._every_s, self._done = total, every_s, 0
        self._start = self._said = time.monotonic()

    def step(self) -> None:
        """One more is answered."""
        self._done += 1
        now = time.monotonic()
        if now - self._said >= self._every_s:
            self._said = now
            per_s = self._done / (now - self._start)
            left = duration((self._total - self._done) / per_s)
            log.info("%d of %d, %.1f per second, %s left", self._done, self._total, per_s, left)

    def end(self) -> None:
        """All are answered: log how long that took."""
        seconds = time.monotonic() - self._start
        log.info("%d in %s, %.1f per second", self._done, duration(seconds), self._done / max(seconds, 1e-9))


def duration(seconds: float) -> str:
    """Hours, minutes or seconds, in words for people."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"


def merged(intervals: Iterable[tuple[float, float]]) -> list[list[float]]:
    """The union of intervals, in order."""
    union: list[list[float]] = []
    for start, end in sorted(intervals):
        if union and start <= union[-1][1]:
            union[-1][1] = max(union[-1][1], end)
        else:
            union.append([start, end])
    return union
