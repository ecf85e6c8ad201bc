"""What a run of the workflow shows on the screen: how far it is, what fails, and in the end its summary alone.

Snakemake's own log file, which it names where something fails, keeps the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Protocol

_PATIENCE_S = 600.0
_SHARES = 10
_ASIDES = (
    "Assuming unrestricted shared filesystem",
    "Building DAG of jobs",
    "Complete log(s):",
    "Config file ",
    "Elapsed time:",
    "Execute ",
    "Provided ",
    "Rules claiming more threads",
    "Select jobs to execute",
    "Using shell:",
)
"""How messages begin that say nothing of a run that goes well."""


class OutputSettings(Protocol):
    """What Snakemake was asked to print."""

    dryrun: bool
    """Whether it shows the plan alone."""
    printshellcmds: bool
    """Whether it prints the command of each job."""
    verbose: bool
    """Whether it prints all it knows."""


class Screen(logging.Filter):
    """Lets through what is wrong, and how far the run is: every tenth of its jobs, and after ten minutes of silence."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._tenth, self._told_s = -1, clock()
        self._failed = False

    def filter(self, record: logging.LogRecord) -> bool:
        """True for a record of Snakemake's log that belongs on the screen."""
        if record.levelno >= logging.WARNING:
            self._failed = self._failed or record.levelno >= logging.ERROR
            return True
        event = getattr(record, "event", None)
        if event is None:
            return self._failed or not str(record.msg).startswith(_ASIDES)
        return event.name == "PROGRESS" and self._is_due(record.__dict__["done"], record.__dict__["total"])

    def _is_due(self, done: int, total: int) -> bool:
        """Whether to say how far the run is; not at its end, where the summary stands last."""
        tenth, now_s = done * _SHARES // total, self._clock()
        if done == total or (tenth == self._tenth and now_s - self._told_s < _PATIENCE_S):
            return False
        self._tenth, self._told_s = tenth, now_s
        return True


def clear_screen(handlers: Iterable[logging.Handler], asked: OutputSettings) -> None:
    """Leave a `Screen` of what Snakemake's handlers show on a terminal, unless it was asked for plan or commands."""
    if asked.dryrun or asked.printshellcmds or asked.verbose:
        return
    for handler in handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.addFilter(Screen())
