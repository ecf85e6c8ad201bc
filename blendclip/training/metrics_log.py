"""The metrics log of a run: a line of JSON for each entry, handed to its trackers and to the terminal too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from blendclip.results import METRICS_LOG
from blendclip.storage import replacing
from blendclip.training.progress import Progress
from blendclip.training.trackers import TrackedRun, open_tracker


class MetricsLog:
    """The metrics log of one run, open while it trains.

    A resumed run drops what was logged after the step that it resumes from, and the validation at the end, which it
    repeats.
    """

    def __init__(self, run: TrackedRun, trackers: Sequence[str] = ()) -> None:
        """Open `log.jsonl` in the run's folder, made if need be, and the trackers of these names.

        Raises:
            UserError: a tracker's package is not installed, or it does not start.
        """
        run.folder.mkdir(parents=True, exist_ok=True)
        self.path = run.folder / METRICS_LOG
        kept = [
            json.dumps(entry) + "\n"
            for entry in read_metrics_log(self.path)
            if entry["step"] <= run.resumed_step and (entry["step"] < run.total_steps or entry["kind"] != "validation")
        ]
        with replacing(self.path) as temporary:
            temporary.write_text("".join(kept))
        with ExitStack() as opened:
            self._lines = opened.enter_context(self.path.open("a"))
            self._trackers = [opened.enter_context(open_tracker(name, run)) for name in trackers]
            self._progress = opened.enter_context(Progress(run.resumed_step, run.total_steps))
            self._opened = opened.pop_all()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    def advance(self, step: int) -> None:
        """Show on a terminal that `step` steps are done."""
        self._progress.advance(step)

    def add(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Log the numbers of an entry.

        Args:
            step: steps done.
            kind: `train` or `validation`.
            values: the numbers by name.
        """
        self._lines.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        self._lines.flush()
        for tracker in self._trackers:
            tracker.add(step, {f"{kind}/{name}": value for name, value in values.items()})
        self._progress.show(step, kind, values)


def read_metrics_log(path: Path) -> list[dict[str, Any]]:
    """The entries of a metrics log, oldest first: none without a file, and no last line that a kill cut off."""
    if not path.is_file():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]
