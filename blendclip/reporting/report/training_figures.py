"""The figures about training and about the data that mining made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from blendclip.reporting.report.evaluations import Evaluations, Run
from blendclip.reporting.report.plot import (
    PALETTE,
    Figure,
    axis_name,
    colors_by_name,
    drawing,
    legend_above,
    percent_axis,
)
from blendclip.reporting.report.wording import joined

_NO_CLASS = "(no class)"
_LINES = ("-", "--", ":", "-.")


def draw_training(found: Evaluations, names: Sequence[str], folder: Path) -> Figure | None:
    """Real samples, loss, retrieval in the batch and validation over the steps of the runs among `names`, if any."""
    runs = [name for name in names if name in found.runs]
    if not runs:
        return None
    splits = list(dict.fromkeys(split for run in runs for split in _splits(found.runs[run])))
    with drawing(folder, "training", 5.4) as canvas:
        (mixture, loss), (batch, validation) = canvas.subplots(2, 2, sharex=True)
        for run, color in colors_by_name(runs).items():
            one = found.runs[run]
            _draw_entries(mixture, one, "real_share", 100, color)
            _draw_entries(loss, one, "loss", 1, color)
            _draw_entries(batch, one, "text_accuracy", 100, color)
            _draw_entries(batch, one, "image_accuracy", 100, color, style=":", label=None)
            _draw_validation(validation, one, color, splits)
        mixture.set(title="Real samples in a batch", ylabel="%")
        loss.set(title="Loss", ylabel="contrastive loss")
        batch.set(title="Right pair found in the batch", ylabel="%, caption solid, image dotted")
        validation.set(title="Zero-shot on held-out splits")
        percent_axis(validation)
        for axes in (batch, validation):
            axes.set_xlabel("step")
        _name_splits(validation, splits)
        legend_above(canvas, mixture)
    return Figure(
        "training",
        "Training",
        f"Four panels over the training steps of {joined(runs)}. " + " ".join(_ending(found.runs[run]) for run in runs),
        "The share is that of the recipe at each logged step; the loss adds caption and image pairs.",
        tuple(found.results.metrics_log(run) for run in runs),
        tuple(found.results.named.commands.train(run) for run in runs),
    )


def draw_dataset(found: Evaluations, dataset: str, folder: Path) -> Figure | None:
    """Clouds of each class by split; None where all classes of a split have the same number."""
    summaries = [one for one in found.summaries.values() if one["dataset"] == dataset]
    counts = {one["split"]: _clouds_by_class(one) for one in summaries}
    if all(len(set(of_class.values())) <= 1 for of_class in counts.values()):
        return None
    totals: dict[str, int] = defaultdict(int)
    for of_class in counts.values():
        for name, count in of_class.items():
            totals[name] += count
    names = sorted(totals, key=lambda name: (name == _NO_CLASS, -totals[name], name))
    name, height = f"dataset_{dataset}", 0.8 / len(counts)
    with drawing(folder, name, 0.9 + (0.13 * len(counts) + 0.12) * len(names)) as canvas:
        axes = canvas.subplots()
        for place, (split, of_class) in enumerate(counts.items()):
            places = np.arange(len(names)) + (place - (len(counts) - 1) / 2) * height
            bars = axes.barh(places, [of_class.get(one, 0) for one in names], height, label=split, color=PALETTE[place])
            axes.bar_label(bars, padding=2, fontsize=7.5)
        axes.set_yticks(range(len(names)), map(axis_name, names))
        axes.set(xlabel="clouds", ylim=(len(names) - 0.4, -0.6))
        axes.grid(visible=False, axis="y")
        legend_above(canvas, axes)
    said = "; ".join(f"{split}: {sum(of_class.values()):,} clouds" for split, of_class in counts.items())
    return Figure(
        name,
        f"{dataset}: clouds by class",
        f"Clouds of each class of {dataset} by split. {said}; most of {names[0]}.",
        f"{said}.",
        _summaries_of(found, dataset),
        tables=("datasets",),
    )


def even_datasets(found: Evaluations) -> list[str]:
    """A sentence for each split of the datasets that `draw_dataset` does not draw."""
    sentences = []
    for one in found.summaries.values():
        counts = set(_clouds_by_class(one).values())
        if len(counts) == 1:
            classes = len(one["classes"])
            sentences.append(f"{one['dataset']}/{one['split']}: {classes} classes of {counts.pop():,} clouds each.")
    return sentences


def draw_rejects(found: Evaluations, folder: Path) -> Figure | None:
    """What mining left out by rule, for each split; None where it left out nothing."""
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    splits = [f"{one['dataset']}/{one['split']}" for one in found.summaries.values() if one["rejects"]]
    for one in found.summaries.values():
        for reject in one["rejects"]:
            counts[f"{reject['stage']}: {reject['rule']}"][f"{one['dataset']}/{one['split']}"] = reject["count"]
    if not counts:
        return None
    rules, height = list(counts), 0.8 / len(splits)
    with drawing(folder, "rejects", 0.9 + (0.13 * len(splits) + 0.14) * len(rules)) as canvas:
        axes = canvas.subplots()
        for place, (split, color) in enumerate(colors_by_name(splits).items()):
            places = np.arange(len(rules)) + (place - (len(splits) - 1) / 2) * height
            bars = axes.barh(places, [counts[rule].get(split, 0) for rule in rules], height, label=split, color=color)
            axes.bar_label(bars, padding=2, fontsize=7.5)
        axes.set_yticks(range(len(rules)), rules)
        axes.set(xlabel="annotations", ylim=(len(rules) - 0.4, -0.6))
        axes.grid(visible=False, axis="y")
        legend_above(canvas, axes)
    most = max(rules, key=lambda rule: sum(counts[rule].values()))
    return Figure(
        "rejects",
        "Left out, by rule",
        f"Annotations that mining left out, by stage and rule, for {joined(splits)}. Most by {most}.",
        "An annotation without a view of its own may still become a triplet, with a view of the same object.",
        tuple(found.summaries),
        tables=("rejects",),
    )


def _draw_entries(
    axes: Axes, run: Run, key: str, scale: float, color: str, style: str = "-", label: str | None = ""
) -> None:
    """Draw a number of the metrics log over the steps; `label` None leaves the run out of the legend."""
    entries = [entry for entry in run.entries("train") if key in entry]
    steps, values = [entry["step"] for entry in entries], [scale * entry[key] for entry in entries]
    axes.plot(steps, values, style, color=color, label=None if label is None else run.name, linewidth=1.3)


def _draw_validation(axes: Axes, run: Run, color: str, splits: list[str]) -> None:
    """Draw top-1 on each split at each validation, with a line style for each split."""
    entries = run.entries("validation")
    for place, split in enumerate(splits):
        points = [(entry["step"], 100 * entry[f"{split}/top1"]) for entry in entries if f"{split}/top1" in entry]
        style = _LINES[place % len(_LINES)]
        axes.plot(
            [step for step, _ in points],
            [top1 for _, top1 in points],
            style,
            color=color,
            marker=_marker(place),
            markersize=5,
            linewidth=1.2,
        )


def _name_splits(axes: Axes, splits: list[str]) -> None:
    for place, split in enumerate(splits):
        axes.plot([], [], _LINES[place % len(_LINES)], color="#555555", marker=_marker(place), label=split)
    if splits:
        axes.legend(fontsize=8, loc="best")


def _splits(run: Run) -> list[str]:
    names = (key.removesuffix("/top1") for entry in run.entries("validation") for key in entry if key.endswith("/top1"))
    return list(dict.fromkeys(names))


def _marker(place: int) -> str:
    return "os^Dv"[place % 5]


def _ending(run: Run) -> str:
    last = run.entries("train")[-1:]
    return "".join(f"{run.name} ends at step {entry['step']:,} with loss {entry['loss']:.2f}." for entry in last)


def _clouds_by_class(summary: dict[str, Any]) -> dict[str, int]:
    """Number of clouds of each class; a CAD triplet is a cloud."""
    return {name: counts.get("clouds", counts["triplets"]) for name, counts in summary["classes"].items()}


def _summaries_of(found: Evaluations, dataset: str) -> tuple[Path, ...]:
    return tuple(path for path, one in found.summaries.items() if one["dataset"] == dataset)
