"""Runs that differ in nothing but the fixed share of real samples in a batch, and the seed."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass

from blendclip.reporting.report.evaluations import Evaluations, Run

_FREE = ("seed", "mixture", "data.synthetic")


@dataclass(frozen=True)
class RatioSweep:
    """Runs of one recipe with different fixed shares of real samples."""

    by_share: dict[float, list[str]]
    """Names of runs by share, 0 to 1, rising."""
    others: list[str]
    """Runs of a fixed share but another recipe."""

    @property
    def shares(self) -> list[float]:
        """The shares that were trained, rising."""
        return list(self.by_share)

    @property
    def runs(self) -> list[str]:
        """The runs, by rising share."""
        return [run for runs in self.by_share.values() for run in runs]

    def runs_of(self, share: float) -> list[str]:
        """Names of the runs of a share, one for each seed."""
        return self.by_share[share]

    def mean(self, found: Evaluations, share: float, benchmark: str) -> float:
        """Mean over the seeds of a share of their top-1 on a benchmark."""
        values = [found.metrics[run, benchmark].top1.value for run in self.by_share[share]]
        return sum(values) / len(values)


def sweep_of(found: Evaluations) -> RatioSweep:
    """The largest set of runs of one recipe with at least two shares; empty where there is none."""
    alike: dict[str, dict[float, list[str]]] = defaultdict(lambda: defaultdict(list))
    fixed = [run for run in found.runs.values() if run.is_fixed_mixture and run.is_trained]
    for run in fixed:
        if run.recipe["data"]["synthetic"]:
            alike[recipe_but(run, "seed", "mixture")][run.real_share].append(run.name)
    largest = max(alike.values(), key=len, default={})
    same = {recipe_but(found.runs[name], *_FREE) for names in largest.values() for name in names}
    for run in fixed:  # with real samples alone there is no synthetic split to name
        if not run.recipe["data"]["synthetic"] and recipe_but(run, *_FREE) in same:
            largest[run.real_share].append(run.name)
    by_share = {share: largest[share] for share in sorted(largest)} if len(largest) > 1 else {}
    chosen = {run for runs in by_share.values() for run in runs}
    return RatioSweep(by_share, [run.name for run in fixed if run.name not in chosen])


def without_repeats(found: Evaluations, most: int = 6) -> list[str]:
    """The first `most` names of models, and of runs that do not repeat an earlier one with another seed."""
    first: dict[str, str] = {}
    for name in found.names:
        first.setdefault(recipe_but(found.runs[name], "seed") if name in found.runs else name, name)
    return list(first.values())[:most]


def recipe_but(run: Run, *keys: str) -> str:
    """The recipe of a run as text, without some keys and without what changes no weights."""
    recipe = json.loads(json.dumps(run.recipe))
    for key in (*keys, "validation", "validate_every", "checkpoint_every", "log_every"):
        *folders, name = key.split(".")
        part = recipe
        for folder in folders:
            part = part.get(folder, {})
        part.pop(name, None)
    return json.dumps(recipe, sort_keys=True)
