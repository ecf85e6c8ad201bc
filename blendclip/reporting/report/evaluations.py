"""Input of the report: metrics of each run on each benchmark, recipes and logs of runs, accounts of mining."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dacite

from blendclip.errors import UserError
from blendclip.evaluation.bootstrap import Estimate
from blendclip.results import Results, split_of
from blendclip.training.metrics_log import read_metrics_log


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy on one class of a benchmark."""

    class_name: str
    clouds: int
    """Clouds of the class."""
    instances: int
    """Objects of the class, of which there may be several clouds each."""
    top1: Estimate


@dataclass(frozen=True)
class ClassGroup:
    """Accuracy on the clouds of some classes, classified among all of them."""

    name: str
    """frequent or rare."""
    classes: list[str]
    """Classes of the group that have clouds."""
    clouds: int
    """Clouds of these classes."""
    instances: int
    """Objects that the clouds are of."""
    top1: Estimate
    mean_class: Estimate
    """Mean over the classes of their top-1."""


@dataclass(frozen=True)
class Slice:
    """Accuracy on the clouds with `start` <= some quantity < `end`, or = `start` where both are equal."""

    start: float
    end: float | None
    """None for no upper end."""
    clouds: int
    """Clouds of the slice."""
    top1: Estimate


@dataclass(frozen=True)
class CloudsAveraged:
    """Accuracy on all tracks by the mean embedding of at most `clouds` of their clouds."""

    clouds: int
    tracks: int
    """Tracks that have at least `clouds` clouds."""
    top1: Estimate


@dataclass(frozen=True)
class Tracks:
    """Accuracy on whole tracks, and by the number of clouds averaged."""

    tracks: int
    """Number of tracks."""
    top1: Estimate
    by_clouds: list[CloudsAveraged]


@dataclass(frozen=True)
class HeldOutClasses:
    """Accuracy on classes that training left out, and on the others."""

    classes: list[str]
    """Classes that were left out."""
    excluded_from: str
    """Domain that they were left out of: `both`, `real` or `synthetic`."""
    clouds: int
    """Clouds of these classes."""
    top1: Estimate
    others: Estimate | None
    """Top-1 on the other classes; None where there are none."""
    others_clouds: int
    """Clouds of the other classes."""


@dataclass(frozen=True)
class Retrieval:
    """Recall at k of the right cloud, by k as text."""

    text_to_cloud: dict[str, Estimate]
    """Recall for captions."""
    image_to_cloud: dict[str, Estimate]
    """Recall for images."""
    clouds: int
    """Clouds to retrieve from."""
    texts: int
    """Distinct captions."""


@dataclass(frozen=True)
class Foreign:
    """What is known of a model that was not trained here."""

    origin: str
    """Whose code trained it."""
    up: str
    """Axis that points up for it."""
    clip: str
    """Folder name of the CLIP that it is aligned to."""


@dataclass(frozen=True)
class Metrics:
    """The content of one metrics.json: accuracies 0 to 1 of a run on a benchmark."""

    run: str
    benchmark: str
    clouds: int
    """Clouds of the benchmark."""
    instances: int
    """Objects that the clouds are of."""
    classes: list[str]
    """Classes to choose from, as a reader calls them."""
    top1: Estimate
    top3: Estimate
    top5: Estimate
    mean_class: Estimate
    """Mean over classes of their top-1."""
    most_frequent: float
    """What predicting the most frequent class would reach."""
    per_class: list[ClassAccuracy]
    """Classes that have clouds."""
    by_frequency: list[ClassGroup] | None
    """Frequent and rare classes; None where none is called rare."""
    confusion: list[list[int]]
    """Clouds by true class (rows) and predicted class (columns)."""
    by_points: list[Slice]
    by_distance: list[Slice]
    """Slices by distance from the ego vehicle in metres."""
    by_visibility: list[Slice]
    tracks: Tracks | None
    """None where each object has one cloud."""
    held_out: HeldOutClasses | None
    """None where no class of the benchmark was left out of training."""
    retrieval: Retrieval | None
    """None where nothing was retrieved."""
    command: str
    """Command that wrote the file."""
    model: Foreign | None
    """None where it is of a run."""

    @property
    def from_drives(self) -> bool:
        """Whether its clouds were recorded from a vehicle, so that their distances are known."""
        return bool(self.by_distance)


@dataclass(frozen=True)
class Run:
    """A trained run."""

    name: str
    recipe: dict[str, Any]
    """Its recipe, as JSON holds it."""
    log: list[dict[str, Any]]
    """Entries of its metrics log."""

    @property
    def is_trained(self) -> bool:
        """Whether it took any step, and is not the weights that it started from."""
        return self.recipe.get("epochs", {}).get("count") != 0

    @property
    def is_fixed_mixture(self) -> bool:
        """Whether its share of real samples is the same at every step."""
        mixture = self.recipe["mixture"]
        return mixture["schedule"] == "none" or (mixture["schedule"] == "constant" and not mixture.get("warmup"))

    @property
    def real_share(self) -> float:
        """The share of real samples in its batches at the end, 0 to 1."""
        mixture = self.recipe["mixture"]
        return 0.0 if mixture["schedule"] == "none" else mixture["max_real_ratio"]

    @property
    def domains(self) -> set[str]:
        """The domains that its batches are drawn from: `synthetic`, `real` or both."""
        drawn = {"synthetic": bool(self.recipe["data"]["synthetic"]), "real": self.real_share > 0}
        return {domain for domain, is_drawn in drawn.items() if is_drawn}

    @property
    def real_samples(self) -> int:
        """Number of real samples that a run of a fixed share drew, counting each again in each epoch."""
        steps = max((entry["step"] for entry in self.entries("train")), default=0)
        return round(self.real_share * steps * self.recipe["batch_size"])

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """Entries of the kind `train` or `validation` in its metrics log."""
        return [entry for entry in self.log if entry["kind"] == kind]


@dataclass(frozen=True)
class Evaluations:
    """All that the report shows."""

    results: Results
    """The results folder."""
    names: list[str]
    """Names of runs and of models that were not trained here, in order."""
    runs: dict[str, Run]
    """Runs by name, in order."""
    benchmarks: list[str]
    """Names of benchmarks, in order."""
    metrics: dict[tuple[str, str], Metrics]
    """Metrics by names of run and benchmark."""
    summaries: dict[Path, dict[str, Any]]
    """Accounts of mining of each split, by their files."""

    def of_benchmark(self, benchmark: str) -> dict[str, Metrics]:
        """Metrics of all runs and models on a benchmark, by name."""
        return {name: self.metrics[name, benchmark] for name in self.names}

    def title(self, name: str) -> str:
        """The name of a run or model, with a remark where it was not trained here."""
        if name in self.runs:
            return name if self.runs[name].is_trained else f"{name} (not trained)"
        about = self.foreign(name)
        assert about is not None, f"{name} is no run"
        return f"{name} (of {about.origin}, not trained here)"

    def foreign(self, name: str) -> Foreign | None:
        """What is known of a model that was not trained here; None for a run."""
        return self.metrics[name, self.benchmarks[0]].model

    def any_of(self, benchmark: str) -> Metrics:
        """Metrics of the first run on a benchmark, for what is the same in all."""
        return next(iter(self.of_benchmark(benchmark).values()))

    def files_of(self, benchmarks: Sequence[str]) -> list[Path]:
        """The files of metrics of all runs and models on some benchmarks."""
        return [self.results.metrics(name, benchmark) for benchmark in benchmarks for name in self.names]


def read_evaluations(
    results: Path, runs: Sequence[str], benchmarks: Sequence[str], splits: Sequence[str] | None = None
) -> Evaluations:
    """Read all that the report shows.

    Args:
        results: the results folder.
        runs: names of runs and of models that were not trained here, in order.
        benchmarks: names of benchmarks, in order.
        splits: dataset/split of the accounts of mining; None reads all that are there.

    Raises:
        UserError: a file is missing or not as it should be, or runs were measured on different clouds or classes.
    """
    for what, names in (("run", runs), ("benchmark", benchmarks)):
        if not names or len(set(names)) < len(names):
            raise UserError(f"the report got the {what}s {list(names)}: name at least one {what}, each of them once")
    metrics = {(run, benchmark): read_metrics(results, run, benchmark) for benchmark in benchmarks for run in runs}
    for benchmark in benchmarks:
        _check_alike([metrics[run, benchmark] for run in runs])
    files = Results(results)
    paths = files.summaries() if splits is None else [files.summary(*split_of(split)) for split in splits]
    summaries = {path: _read_json(path, files.commands.summary(path.parent.name, path.stem)) for path in paths}
    trained = {run: read_run(results, run) for run in runs if metrics[run, benchmarks[0]].model is None}
    return Evaluations(files, list(runs), trained, list(benchmarks), metrics, summaries)


def read_metrics(results: Path, run: str, benchmark: str) -> Metrics:
    """The metrics of a run on a benchmark.

    Raises:
        UserError: they are missing, or not what `blendclip evaluate` writes.
    """
    path = Results(results).metrics(run, benchmark)
    content = _read_json(path, "blendclip evaluate")
    try:
        content = _in_words(_without_keywords(content))
        found = dacite.from_dict(Metrics, content, dacite.Config(type_hooks={float: _number}))
    except (dacite.DaciteError, TypeError, AttributeError, KeyError) as error:
        raise UserError(f"{path} is not what this version writes ({error}): run `blendclip evaluate` again") from None
    if (found.run, found.benchmark) != (run, benchmark):
        raise UserError(f"{path} is about run {found.run} on {found.benchmark}: put it back where it belongs")
    if {len(row) for row in found.confusion} | {len(found.confusion)} != {len(found.classes)}:
        raise UserError(f"{path} has a confusion that is no square of its classes: run `blendclip evaluate` again")
    return found


def read_run(results: Path, run: str) -> Run:
    """The recipe and metrics log of a run.

    Raises:
        UserError: one of them is missing, or the recipe is not what training writes.
    """
    files = Results(results)
    path, log = files.recipe(run), files.metrics_log(run)
    recipe = _read_json(path, "blendclip recipe")
    if not {"schedule", "max_real_ratio"} <= set(recipe.get("mixture", {})) or "seed" not in recipe:
        raise UserError(f"{path} lacks mixture or seed: write it with `blendclip recipe`")
    entries = read_metrics_log(log)
    found = Run(run, recipe, entries)
    if not entries and (found.is_trained or not log.is_file()):
        raise UserError(f"there is no entry in {log}: train the run with `{files.commands.train(run)}`")
    return found


def _check_alike(found: list[Metrics]) -> None:
    for other in found[1:]:
        if (other.clouds, other.classes) != (found[0].clouds, found[0].classes):
            raise UserError(
                f"runs {found[0].run} and {other.run} were measured on different clouds or classes of "
                f"{other.benchmark}: run `blendclip evaluate` again for both"
            )


def _read_json(path: Path, maker: str) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"there is no {path}: `{maker}` writes it")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}): delete it and run `{maker}` again") from None


def _without_keywords(content: dict[str, Any]) -> dict[str, Any]:
    """The content with `from` and `to` of slices under names that Python allows."""
    slices = {
        key: [{**part, "start": part["from"], "end": part["to"]} for part in content[key]]
        for key in ("by_points", "by_distance", "by_visibility")
        if all({"from", "to"} <= set(part) for part in content.get(key, [{}]))
    }
    return {**content, **slices}


def _in_words(content: dict[str, Any]) -> dict[str, Any]:
    """The content with classes as a reader calls them, in place of their names."""
    title_of = dict(zip(content["classes"], content["titles"], strict=True))
    per_class = [{**part, "class_name": title_of[part["class_name"]]} for part in content["per_class"]]
    titled = {"classes": content["titles"], "per_class": per_class}
    if content.get("held_out"):
        titled["held_out"] = _with_titles(content["held_out"], title_of)
    if content.get("by_frequency"):
        titled["by_frequency"] = [_with_titles(part, title_of) for part in content["by_frequency"]]
    return content | titled


def _with_titles(part: dict[str, Any], title_of: dict[str, str]) -> dict[str, Any]:
    return {**part, "classes": [title_of[name] for name in part["classes"]]}


def _number(value: Any) -> Any:
    """A number as float; any other value as it is, for the check of types."""
    return float(value) if type(value) in (int, float) else value
