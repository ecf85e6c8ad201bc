"""A run from its recipe to its files; what `blendclip train` does in each process."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from blendclip.encoders.checkpoints import load_weights
from blendclip.encoders.model_folder import described_run, write_run_model
from blendclip.errors import UserError
from blendclip.evaluation.class_weights import read_class_weights
from blendclip.results import METRICS_LOG, MODEL_WEIGHTS, RECIPE, Results, split_of
from blendclip.storage import existing, replacing
from blendclip.training.data.packed import PackedSplit
from blendclip.training.distributed import training_group
from blendclip.training.loop import Training
from blendclip.training.metrics_log import MetricsLog, read_metrics_log
from blendclip.training.recipe import Recipe, write_recipe
from blendclip.training.state import fingerprint
from blendclip.training.stopping import StopRequest
from blendclip.training.trackers import TrackedRun
from blendclip.training.validation import ValidationSplit

log = logging.getLogger(__name__)


def train(recipe: Recipe, results: Path, output: Path, workers: int = 0) -> bool:
    """Train a run, or go on with one; return False when a signal stopped it before its end.

    While it trains, checkpoints, metrics log and what trackers write are in a folder of `output`/training that is named
    after recipe and data: other ones train anew, and going back to them goes on with them. In the end `output` holds
    the model and the metrics log.

    Args:
        recipe: of the run.
        results: folder with packed splits and class weights.
        output: folder of the run.
        workers: processes that read batches ahead, for each process that trains.

    Raises:
        UserError: data are missing or do not fit the recipe, a tracker does not start, or the loss is not finite.
    """
    with training_group() as group, StopRequest() as stop:
        splits = [_packed(results, recipe.clip, name) for name in recipe.splits()]
        recipe = replace(recipe, encoder=replace(recipe.encoder, out_dim=_width(recipe, splits)))
        folder = output / "training" / fingerprint(_decisive(recipe), splits)
        folder.mkdir(parents=True, exist_ok=True)
        validation = _validation(recipe, results) if group.leads else []
        training = Training(recipe, splits, group)
        _begin(training, recipe, folder)
        if all(group.any(training.step > 0, training.step == 0)):
            raise UserError(
                f"some processes find checkpoints in {folder} and others none: put --output on a disk of all"
            )
        if not group.leads:
            return training.run(folder, workers, None, [], stop)
        write_recipe(recipe, folder / RECIPE)
        tracked = TrackedRun(output.name, folder, asdict(recipe), training.step, training.length.total)
        with MetricsLog(tracked, recipe.trackers) as metrics_log:
            done = training.run(folder, workers, metrics_log, validation, stop)
        if done:
            _finish(training, recipe, splits, folder, output)
        else:
            log.warning("stopped after step %d: run the same command to go on", training.step)
        return done


def _packed(results: Path, clip: str, name: str) -> PackedSplit:
    return PackedSplit.open(results, clip, *split_of(name))


def _width(recipe: Recipe, splits: Sequence[PackedSplit]) -> int:
    """Width of the CLIP's features."""
    widths = {name: split.width for name, split in zip(recipe.splits(), splits, strict=True) if len(split)}
    if len(set(widths.values())) != 1:
        raise UserError(
            f"the packed features of {recipe.clip} are of several widths, or none ({widths}): pack them again"
        )
    return next(iter(widths.values()))


def _validation(recipe: Recipe, results: Path) -> list[ValidationSplit]:
    """The splits that the recipe validates on."""
    files = Results(results)
    return [
        ValidationSplit.of(
            asked,
            _packed(results, recipe.clip, asked.split),
            read_class_weights(files.class_weights(recipe.clip, asked.classes, asked.templates)),
        )
        for asked in recipe.validation
    ]


def _decisive(recipe: Recipe) -> dict[str, Any]:
    """What a run's weights depend on besides packed data; of a file to start from, its size and time."""
    if recipe.initial_weights is None:
        return recipe.decisive()
    status = existing(Path(recipe.initial_weights)).stat()
    return recipe.decisive() | {"weights_file": [status.st_size, status.st_mtime_ns]}


def _begin(training: Training, recipe: Recipe, folder: Path) -> None:
    """Go on from the newest checkpoint, else from the weights that the recipe names, if any."""
    training.resume(folder)
    if training.step == 0 and recipe.initial_weights is not None:
        load_weights(training.model.encoder, Path(recipe.initial_weights), recipe.new_projection)


def _finish(training: Training, recipe: Recipe, splits: Sequence[PackedSplit], folder: Path, output: Path) -> None:
    """Write what a run is for: the metrics log, and the model."""
    with replacing(output / METRICS_LOG) as temporary:
        shutil.copyfile(folder / METRICS_LOG, temporary)
    description = described_run(
        asdict(recipe), _seen(recipe, splits), _reached(read_metrics_log(folder / METRICS_LOG), recipe)
    )
    write_run_model(output / MODEL_WEIGHTS, training.model.encoder, description)


def _seen(recipe: Recipe, splits: Sequence[PackedSplit]) -> dict[str, Any]:
    """Of each split trained on its domain and size."""
    return {
        name: {
            "domain": "synthetic" if name in recipe.data.synthetic else "real",
            "triplets": len(split),
            "instances": len(set(split.instances.tolist())),
        }
        for name, split in zip(recipe.splits(), splits, strict=True)
    }


def _reached(entries: Sequence[dict[str, Any]], recipe: Recipe) -> dict[str, Any]:
    """What the last measurement says of each held-out split."""
    measured = [entry for entry in entries if entry["kind"] == "validation"]
    last = measured[-1] if measured else {}
    return {
        asked.split: {
            name.removeprefix(f"{asked.split}/"): value
            for name, value in last.items()
            if name.startswith(f"{asked.split}/")
        }
        for asked in recipe.validation
    }
