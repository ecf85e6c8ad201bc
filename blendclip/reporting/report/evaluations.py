"""What the report is made from: metrics of each run on each benchmark, recipes and logs of runs, accounts of mining."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dacite

from blendclip.errors import UserError
from blendclip.training.metrics_log import read_metrics_log


@dataclass(frozen=True)
class Interval:
    """An accuracy, 0 to 1, and its 95 % bootstrap interval; NaN where there is nothing to count."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassAccuracy:
    """One class of a benchmark; an instance is an object, of which there may be several clouds."""

    class_name: str
    clouds: int
    instances: int
    top1: Interval


@dataclass(frozen=True)
class Slice:
    """Clouds from `start` up to `end` of some quantity; no end is null."""

    start: float
    end: float | None
    clouds: int
    top1: Interval


@dataclass(frozen=True)
class CloudsAveraged:
    """All tracks, classified by the mean embedding of at most `clouds` of theirs; `tracks` of them have as many."""

    clouds: int
    tracks: int
    top1: Interval


@dataclass(frozen=True)
class Tracks:
    """Accuracy on whole tracks, and by the number of clouds averaged."""

    tracks: int
    top1: Interval
    by_clouds: list[CloudsAveraged]


@dataclass(frozen=True)
class HeldOut:
    """Accuracy on classes that training left out of a domain (`both`, `real`, `synthetic`), and on the others."""

    classes: list[str]
    excluded_from: str
    clouds: int
    top1: Interval
    others: Interval | None
    others_clouds: int


@dataclass(frozen=True)
class Retrieval:
    """Recall at k, by k as text, of the right cloud among `clouds`."""

    text_to_cloud: dict[str, float]
    image_to_cloud: dict[str, float]
    clouds: int
    texts: int


@dataclass(frozen=True)
class Metrics:
    """One metrics.json."""

    run: str
    benchmark: str
    clouds: int
    instances: int
    classes: list[str]
    top1: Interval
    top3: Interval
    top5: Interval
    mean_class: Interval
    most_frequent: float
    per_class: list[ClassAccuracy]
    confusion: list[list[int]]  # rows are true classes
    by_points: list[Slice]
    by_distance: list[Slice]
    by_visibility: list[Slice]
    tracks: Tracks | None
    held_out: HeldOut | None
    retrieval: Retrieval | None
    command: str

    @property
    def from_drives(self) -> bool:
        """Whether its clouds were seen by a vehicle, which knows how far away they are."""
        return bool(self.by_distance)


@dataclass(frozen=True)
class Run:
    """A trained run: its recipe as JSON holds it, and the entries of its log."""

    name: str
    recipe: dict[str, Any]
    log: list[dict[str, Any]]

    @property
    def is_fixed_mixture(self) -> bool:
        """Whether its share of real samples stays the same all through training."""
        mixture = self.recipe["mixture"]
        return mixture["schedule"] == "none" or (mixture["schedule"] == "constant" and not mixture.get("warmup"))

    @property
    def real_share(self) -> float:
        """The share of real samples in its batches at the end, 0 to 1."""
        mixture = self.recipe["mixture"]
        return 0.0 if mixture["schedule"] == "none" else mixture["max_real_ratio"]

    @property
    def domains(self) -> set[str]:
        """What its batches are drawn from: `synthetic`, `real` or both."""
        drawn = {"synthetic": bool(self.recipe["data"]["synthetic"]), "real": self.real_share > 0}
        return {domain for domain, is_drawn in drawn.items() if is_drawn}

    @property
    def real_samples(self) -> int:
        """How many real samples a run of a fixed share drew, the same one in another epoch counted again."""
        steps = max((entry["step"] for entry in self.entries("train")), default=0)
        return round(self.real_share * steps * self.recipe["batch_size"])

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """The entries of its log of a kind: `train` or `validation`."""
        return [entry for entry in self.log if entry["kind"] == kind]


@dataclass(frozen=True)
class Evaluations:
    """All that the report shows."""

    results: Path
    runs: dict[str, Run]
    benchmarks: list[str]
    metrics: dict[tuple[str, str], Metrics]  # by run and benchmark
    summaries: dict[Path, dict[str, Any]]  # of triplets, a split each, by file

    def of_benchmark(self, benchmark: str) -> dict[str, Metrics]:
        """The metrics of all runs on a benchmark, by run."""
        return {run: self.metrics[run, benchmark] for run in self.runs}

    def any_of(self, benchmark: str) -> Metrics:
        """The metrics of some run on a benchmark, for what is the same in all."""
        return next(iter(self.of_benchmark(benchmark).values()))

    def metrics_file(self, run: str, benchmark: str) -> Path:
        """Where the metrics of a run on a benchmark are."""
        return metrics_file(self.results, run, benchmark)

    def files_of(self, benchmarks: Sequence[str]) -> list[Path]:
        """The files of metrics of all runs on some benchmarks."""
        return [self.metrics_file(run, benchmark) for benchmark in benchmarks for run in self.runs]


def metrics_file(results: Path, run: str, benchmark: str) -> Path:
    """Where the metrics of a run on a benchmark belong."""
    return results / "evaluation" / "runs" / run / benchmark / "metrics.json"


def read_evaluations(
    results: Path, runs: Sequence[str], benchmarks: Sequence[str], splits: Sequence[str] | None = None
) -> Evaluations:
    """Read what is known of runs and benchmarks, in the order given, and of splits (dataset/split), by default of all.

    Raises:
        UserError: a file is missing or not as it should be, or runs were measured on different clouds or classes.
    """
    for what, names in (("run", runs), ("benchmark", benchmarks)):
        if not names or len(set(names)) < len(names):
            raise UserError(f"the report got the {what}s {list(names)}: name at least one {what}, each of them once")
    metrics = {(run, benchmark): read_metrics(results, run, benchmark) for benchmark in benchmarks for run in runs}
    for benchmark in benchmarks:
        _check_alike([metrics[run, benchmark] for run in runs])
    files = _summary_files(results) if splits is None else [_summary_file(results, split) for split in splits]
    summaries = {path: _read_json(path, "blendclip summary") for path in files}
    return Evaluations(results, {run: read_run(results, run) for run in runs}, list(benchmarks), metrics, summaries)


def read_metrics(results: Path, run: str, benchmark: str) -> Metrics:
    """The metrics of a run on a benchmark.

    Raises:
        UserError: they are missing, or not what `blendclip evaluate` writes.
    """
    path = metrics_file(results, run, benchmark)
    content = _read_json(path, "blendclip evaluate")
    try:
        found = dacite.from_dict(Metrics, _without_keywords(content), dacite.Config(type_hooks={float: _number}))
    except (dacite.DaciteError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not what this version writes ({error}): run `blendclip evaluate` again") from None
    if (found.run, found.benchmark) != (run, benchmark):
        raise UserError(f"{path} is about run {found.run} on {found.benchmark}: put it back where it belongs")
    if {len(row) for row in found.confusion} | {len(found.confusion)} != {len(found.classes)}:
        raise UserError(f"{path} has a confusion that is no square of its classes: run `blendclip evaluate` again")
    return found


def read_run(results: Path, run: str) -> Run:
    """The recipe and log of a run.

    Raises:
        UserError: one of them is missing, or the recipe is not what training writes.
    """
    folder = results / "runs" / run
    recipe, log = _read_json(folder / "recipe.json", "blendclip recipe"), folder / "log.jsonl"
    if not {"schedule", "max_real_ratio"} <= set(recipe.get("mixture", {})) or "seed" not in recipe:
        raise UserError(f"{folder / 'recipe.json'} lacks mixture or seed: write it with `blendclip recipe`")
    entries = read_metrics_log(log)
    if not entries:
        raise UserError(f"there is no entry in {log}: train the run with `blendclip train`")
    return Run(run, recipe, entries)


def _summary_files(results: Path) -> list[Path]:
    """The accounts of mining, by dataset and split; none where only evaluation ran here."""
    return sorted((results / "triplets").glob("*/*/summary.json"))


def _summary_file(results: Path, split: str) -> Path:
    return results / "triplets" / split / "summary.json"


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
    """The same, with `from` and `to` of slices under names that Python allows."""
    slices = {
        key: [{**part, "start": part["from"], "end": part["to"]} for part in content[key]]
        for key in ("by_points", "by_distance", "by_visibility")
        if all({"from", "to"} <= set(part) for part in content.get(key, [{}]))
    }
    return {**content, **slices}


def _number(value: Any) -> Any:
    """Numbers as float; what is none is left for the check of types."""
    return float(value) if type(value) in (int, float) else value
