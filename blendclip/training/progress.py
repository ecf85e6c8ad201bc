"""What a terminal shows of a run while it trains: a bar with the time left, or lines where stderr is a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, TextIO

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

_SHOWN = {
    "loss": "loss {:.3g}",
    "samples_per_s": "{:.3g} samples/s",
    "step_s": "step {:.2g} s",
    "data_wait_s": "data {:.2g} s",
    "learning_rate": "lr {:.3g}",
    "scale": "scale {:.3g}",
    "real_share": "real {:.2g}",
}
"""The numbers of a training step that are shown, in order; the metrics log has all."""


class Progress:
    """The steps of a run on a terminal, while entered; log messages keep clear of the bar."""

    def __init__(self, done: int, total: int, stream: TextIO | None = None) -> None:
        """Begin after `done` of `total` steps; `stream` is stderr when not given."""
        self._stream = stream or sys.stderr
        self._total, self._done = total, done
        self._first, self._start = done, time.perf_counter()
        self._has_bar = self._stream.isatty() and done < total

    def __enter__(self) -> Progress:
        self._open = ExitStack()
        if self._has_bar:
            self._open.enter_context(logging_redirect_tqdm())
            self._bar = self._open.enter_context(
                tqdm(initial=self._done, total=self._total, unit="step", file=self._stream, dynamic_ncols=True)
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def advance(self, step: int) -> None:
        """Move the bar to `step` steps done."""
        if self._has_bar:
            self._bar.update(step - self._done)
        self._done = step

    def show(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Show an entry of the metrics log: beside the bar while training, else as a line.

        Args:
            step: steps done.
            kind: `train` or `validation`.
            values: the numbers by name.
        """
        if kind != "train":
            self._write(f"step {step}/{self._total}  {kind}  {'  '.join(map(_plain, values.items()))}")
            return
        parts = [text.format(values[name]) for name, text in _SHOWN.items() if name in values]
        if self._has_bar:
            self._bar.set_postfix_str(", ".join(parts), refresh=False)
        else:
            self._write("  ".join([f"step {step}/{self._total}  {kind}", *parts, f"left {self._left(step)}"]))

    def _write(self, line: str) -> None:
        """Write a line, above the bar if there is one."""
        if self._has_bar:
            self._bar.write(line, file=self._stream)
        else:
            self._stream.write(f"{line}\n")

    def _left(self, step: int) -> str:
        """The time that the steps after `step` will take, at the pace of those before."""
        elapsed_s = time.perf_counter() - self._start
        return tqdm.format_interval(elapsed_s / max(step - self._first, 1) * (self._total - step))


def _plain(value: tuple[str, Any]) -> str:
    name, number = value
    return f"{name} {number:.3g}" if isinstance(number, float) else f"{name} {number}"
