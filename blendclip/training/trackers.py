"""Where the numbers of a run go besides its log: TensorBoard, Weights & Biases, MLflow, each through its own package.

A package is imported when a recipe asks for it. Each service has settings of its own in the environment, such as
WANDB_MODE, WANDB_PROJECT, MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from blendclip.errors import UserError
from blendclip.storage import replacing

log = logging.getLogger(__name__)

PROJECT = "blendclip"
"""The project of Weights & Biases, and the experiment of MLflow, where the environment names none."""
_IDS = "trackers.json"


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run."""

    name: str
    """Its name."""
    folder: Path
    """Its folder for what it writes while it trains."""
    recipe: dict[str, Any]
    """Its recipe, as plain data."""
    resumed_step: int
    """Steps done before."""
    total_steps: int
    """Steps in all."""

    def known_id(self, tracker: str) -> str | None:
        """The name by which a tracker knows this run from before, if it does."""
        return self._ids().get(tracker)

    def remember(self, tracker: str, known_id: str) -> None:
        """Keep the name by which a tracker knows this run, for when it is resumed."""
        ids = self._ids() | {tracker: known_id}
        with replacing(self.folder / _IDS) as temporary:
            temporary.write_text(json.dumps(ids, indent=2, sort_keys=True) + "\n")

    def _ids(self) -> dict[str, str]:
        path = self.folder / _IDS
        return json.loads(path.read_text()) if path.is_file() else {}


class Tracker(AbstractContextManager["Tracker"], Protocol):
    """A service that shows the numbers of a run, open while entered."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Hand over numbers by name, after `step` steps."""


class TensorBoard:
    """Event files in the run's folder; a resumed run takes back what was logged after the step it resumes from."""

    def __init__(self, run: TrackedRun) -> None:
        board = _package("tensorboard", "torch.utils.tensorboard")
        self._writer = board.SummaryWriter(str(run.folder / "tensorboard"), purge_step=run.resumed_step + 1)

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Hand over numbers by name, after `step` steps."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)


class WeightsAndBiases:
    """A run of Weights & Biases, which a resumed run goes on with; its files are in the run's folder.

    Raises:
        UserError: it does not start, for want of an account or of a network.
    """

    def __init__(self, run: TrackedRun) -> None:
        wandb = _package("wandb", "wandb")
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=run.name,
                dir=str(run.folder),
                config=run.recipe,
                id=run.known_id("wandb"),
                resume="allow",
                settings=wandb.Settings(console="off", quiet=True),
            )
        except wandb.Error as error:
            raise UserError(
                f"Weights & Biases does not start ({_first_line(error)}): run `wandb login`, or set "
                "WANDB_MODE=offline and `wandb sync` its files later"
            ) from None
        run.remember("wandb", self._run.id)
        # Its own counter of steps cannot go back to where a killed run resumes, a metric can.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")
        self._step, self._total = run.resumed_step, run.total_steps
        if not self._run.offline:  # otherwise the package says where its files are
            log.info("Weights & Biases: %s", self._run.url)

    def __enter__(self) -> WeightsAndBiases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run.finish(exit_code=int(kind is not None or self._step < self._total))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Hand over numbers by name, after `step` steps."""
        self._run.log({"step": step, **values})
        self._step = step


class MLflow:
    """A run of MLflow, which a resumed run goes on with.

    Raises:
        UserError: it does not start.
    """

    def __init__(self, run: TrackedRun) -> None:
        self._mlflow = _package("mlflow", "mlflow")
        try:
            self._begin(run)
        except (self._mlflow.MlflowException, ImportError) as error:
            raise UserError(
                _without_passwords(f"MLflow does not start at {self._mlflow.get_tracking_uri()} ({_first_line(error)})")
                + ": set MLFLOW_TRACKING_URI to a server or to a database, such as sqlite:///mlflow.db"
            ) from None
        self._step, self._total = run.resumed_step, run.total_steps

    def _begin(self, run: TrackedRun) -> None:
        """Go on with the run of before where MLflow still has it, or begin one with the recipe as its parameters."""
        if "MLFLOW_EXPERIMENT_ID" not in os.environ:
            self._mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
        known_id = self._present(run.known_id("mlflow"))
        begun = self._mlflow.start_run(run_id=known_id, run_name=run.name)
        if known_id is None:
            self._mlflow.log_params(dict(_flat(run.recipe)))
            run.remember("mlflow", begun.info.run_id)
        log.info("MLflow: run %s at %s", begun.info.run_id, _without_passwords(self._mlflow.get_tracking_uri()))

    def _present(self, known_id: str | None) -> str | None:
        """`known_id` if there is such a run here."""
        try:
            return known_id and self._mlflow.get_run(known_id).info.run_id
        except self._mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def __enter__(self) -> MLflow:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mlflow.flush_async_logging()
        stopped = "FINISHED" if self._step == self._total else "KILLED"
        self._mlflow.end_run("FAILED" if kind is not None else stopped)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Hand over numbers by name, after `step` steps; a slow server keeps no step waiting."""
        self._mlflow.log_metrics(dict(values), step=step, synchronous=False)
        self._step = step


_KINDS: dict[str, Callable[[TrackedRun], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}


def open_tracker(name: str, run: TrackedRun) -> Tracker:
    """Open one of the trackers that a recipe may name.

    Raises:
        UserError: its package is not installed, or it does not start.
    """
    return _KINDS[name](run)


def _package(name: str, module: str) -> Any:
    """The module of a tracker's package.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise UserError(
            f"`trackers` of the recipe names {name}, which is not installed: `pip install {name}`, or take it out"
        ) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def _without_passwords(text: str) -> str:
    """`text` with user and password taken out of its URIs."""
    return re.sub(r"//[^/\s]*@", "//", text)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The values of nested tables, each by its dotted name."""
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return found
