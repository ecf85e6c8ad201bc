"""Runs of one recipe and several seeds, shown as one."""

from __future__ import annotations

from collections.abc import Sequence

from blendclip.evaluation.bootstrap import Estimate
from blendclip.plain_names import seeded_run
from blendclip.reporting.report.evaluations import Evaluations
from blendclip.reporting.report.label_efficiency import recipe_but
from blendclip.reporting.report.table import OverSeeds


def seed_groups(found: Evaluations) -> dict[str, list[str]]:
    """Names of runs of one recipe with different seeds, and of single runs and models alone, by title, in order."""
    alike: dict[str, list[str]] = {}
    for name in found.names:
        key = recipe_but(found.runs[name], "seed") if name in found.runs and found.runs[name].is_trained else name
        seeds = {found.runs[one].recipe["seed"] for one in alike.get(key, [])}
        repeats = name in found.runs and found.runs[name].recipe["seed"] in seeds
        alike.setdefault(name if repeats else key, []).append(name)
    return {_title(found, names): names for names in alike.values()}


def over_seeds(values: Sequence[Estimate]) -> Estimate:
    """The mean of the accuracies of one run or of several seeds, with the mean of their intervals.

    Where draws are about normal, the interval of the mean is no wider than that, whatever the seeds have in common.
    """
    if len(values) == 1:
        return values[0]
    parts = ([one.value for one in values], [one.low for one in values], [one.high for one in values])
    value, low, high = (sum(part) / len(values) for part in parts)
    return OverSeeds(value, low, high, tuple(parts[0]))


def best_group(found: Evaluations, benchmark: str) -> tuple[str, list[str]]:
    """Title and runs of what reaches the best mean class on a benchmark, of several seeds by their mean."""
    of_run = found.of_benchmark(benchmark)

    def mean_class(group: tuple[str, list[str]]) -> float:
        return over_seeds([of_run[name].mean_class for name in group[1]]).value

    return max(seed_groups(found).items(), key=mean_class)


def _title(found: Evaluations, names: Sequence[str]) -> str:
    """The title of a single run; of several seeds what their names have in common, else the first one's name."""
    if len(names) == 1:
        return found.title(names[0])
    seeds = [found.runs[name].recipe["seed"] for name in names]
    stem = names[0].removesuffix(seeded_run("", seeds[0]))
    is_stem = names == [seeded_run(stem, seed) for seed in seeds]
    return f"{stem if is_stem else names[0]} ({len(names)} seeds)"
