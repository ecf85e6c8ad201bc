"""Requests to stop: SIGTERM or SIGUSR1 of a cluster, Ctrl-C of a person."""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
_ECHO_S = 1.0  # a launcher passes on to its processes what they have got from the terminal already


class StopRequest:
    """Whether a signal asked this process to stop; while entered, signals are noted.

    A cluster may send several, such as one from its scheduler and one from a launcher, and none of them ends the
    process before it has stopped itself. A person's second Ctrl-C does.
    """

    def __init__(self) -> None:
        self.requested = False
        self._interrupted_s: float | None = None

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if number != signal.SIGINT:
            return
        now_s = time.monotonic()
        if self._interrupted_s is None:
            self._interrupted_s = now_s
        elif now_s - self._interrupted_s > _ECHO_S:
            raise KeyboardInterrupt
