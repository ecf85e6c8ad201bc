"""The figures about accuracy.

Letters in names: N values.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from blendclip.evaluation.bootstrap import Estimate
from blendclip.reporting.report.evaluations import ClassAccuracy, Evaluations, Metrics, Slice
from blendclip.reporting.report.label_efficiency import sweep_of
from blendclip.reporting.report.plot import (
    WIDTH_IN,
    Figure,
    axis_name,
    colors_by_name,
    drawing,
    legend_above,
    percent,
    percent_axis,
)
from blendclip.reporting.report.wording import joined

_MOST_BARS = 70  # of more classes times runs, dots are drawn
_MOST_NAMED_CELLS = 16  # classes for which a confusion matrix holds its numbers
_MOST_LEVEL_NAMES = 6  # ranges whose names stand side by side
_SLICES = (("by_distance", "distance from the vehicle, m"), ("by_points", "points"), ("by_visibility", "visibility"))
_WHISKERS = "Whiskers and bands are 95 % bootstrap intervals over objects."


def draw_per_class(found: Evaluations, benchmark: str, runs: Sequence[str], folder: Path) -> Figure:
    """Top-1 of each class by run: bars, or dots where there would be too many."""
    of_run = [found.metrics[run, benchmark].per_class for run in runs]
    names = [f"{axis_name(part.class_name)} ({part.clouds})" for part in of_run[0]]
    are_bars = len(names) * len(runs) <= _MOST_BARS
    row_in = 0.14 * len(runs) + 0.12 if are_bars else max(0.06 * len(runs), 0.19)
    name, height = f"per_class_{benchmark}", 0.8 / len(runs) if are_bars else 0.0
    with drawing(folder, name, 0.9 + row_in * len(names)) as canvas:
        axes = canvas.subplots()
        for place, (run, parts) in enumerate(zip(runs, of_run, strict=True)):
            shift = (place - (len(runs) - 1) / 2) * 0.8 / len(runs)
            _draw_classes(axes, [part.top1 for part in parts], shift, run, colors_by_name(runs)[run], height=height)
        axes.set(xlim=(0, 102), xlabel="top-1, %", ylim=(len(names) - 0.4, -0.6))
        axes.set_yticks(range(len(names)), names)
        axes.grid(visible=False, axis="y")
        legend_above(canvas, axes)
    return Figure(
        name,
        f"{benchmark}: accuracy by class",
        f"Top-1 accuracy of {joined(runs)} on each of the {len(names)} classes of {benchmark}. {_extremes(of_run)}",
        f"In brackets the clouds of a class. {_WHISKERS}",
        _sources(found, benchmark, runs),
        _commands(found, benchmark, runs),
        (f"per_class_{benchmark}",),
    )


def draw_confusion(found: Evaluations, benchmark: str, run: str, folder: Path) -> Figure:
    """The confusion matrix of a run, each row as shares of a true class; classes without clouds have no row."""
    metrics = found.metrics[run, benchmark]
    counts = np.array(metrics.confusion, np.float64)
    rows = np.flatnonzero(counts.sum(axis=1))
    share = counts[rows] / counts[rows].sum(axis=1, keepdims=True)
    name, side_in = f"confusion_{benchmark}_{run}", min(max(5.4, 0.19 * len(counts) + 1.6), 10.5)
    with drawing(folder, name, side_in * 0.92, side_in * 1.06) as canvas:
        axes = canvas.subplots()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        letters = 8.5 if len(counts) <= 30 else 6.5
        names = [axis_name(one) for one in metrics.classes]
        axes.set_xticks(range(len(counts)), names, rotation=90, fontsize=letters)
        axes.set_yticks(range(len(rows)), [names[row] for row in rows], fontsize=letters)
        axes.set(xlabel="classified as", ylabel="true class")
        axes.grid(visible=False)
        if len(counts) <= _MOST_NAMED_CELLS:
            _write_shares(axes, share)
        canvas.colorbar(image, ax=axes, label="share of the true class", shrink=0.6)
    worst = _worst_confusion(metrics, rows, share)
    return Figure(
        name,
        f"{benchmark}: confusion of {run}",
        f"Confusion matrix of {run} on {benchmark}, {len(rows)} true by {len(counts)} predicted classes. {worst}",
        f"Each row is a true class and sums to 1. {worst}",
        _sources(found, benchmark, [run]),
        _commands(found, benchmark, [run]),
    )


def draw_slices(found: Evaluations, benchmark: str, runs: Sequence[str], folder: Path) -> Figure | None:
    """Top-1 by range, number of points and visibility; None where none of them has more than one level."""
    known = [(key, label) for key, label in _SLICES if len(getattr(found.metrics[runs[0], benchmark], key)) > 1]
    if not known:
        return None
    name, colors = f"slices_{benchmark}", colors_by_name(runs)
    with drawing(folder, name, 3.1) as canvas:
        bins = [len(getattr(found.metrics[runs[0], benchmark], key)) for key, _ in known]
        panels = canvas.subplots(1, len(known), squeeze=False, sharey=True, width_ratios=[2 + one for one in bins])[0]
        for axes, (key, label) in zip(panels, known, strict=True):
            for run in runs:
                _draw_slices(axes, getattr(found.metrics[run, benchmark], key), run, colors[run])
            percent_axis(axes, label="top-1, %" if axes is panels[0] else "")
            axes.set_xlabel(label)
        legend_above(canvas, panels[0])
    kinds = joined([key.removeprefix("by_") for key, _ in known])
    return Figure(
        name,
        f"{benchmark}: accuracy by {kinds}",
        f"Top-1 accuracy of {joined(runs)} on {benchmark} by {kinds}. {_ends(found, benchmark, runs[0], known)}",
        f"With each range the number of its clouds. {_WHISKERS}",
        _sources(found, benchmark, runs),
        _commands(found, benchmark, runs),
        tuple(f"{key}_{benchmark}" for key, _ in known),
    )


def draw_tracks(found: Evaluations, benchmark: str, runs: Sequence[str], folder: Path) -> Figure | None:
    """Top-1 of tracks by the number of clouds averaged; None where the benchmark has no tracks."""
    of_run = {run: tracks for run in runs if (tracks := found.metrics[run, benchmark].tracks) and tracks.by_clouds}
    if not of_run:
        return None
    name, colors = f"tracks_{benchmark}", colors_by_name(runs)
    with drawing(folder, name, 3.3, WIDTH_IN * 0.75) as canvas:
        axes = canvas.subplots()
        for run, tracks in of_run.items():
            clouds = [part.clouds for part in tracks.by_clouds]
            _draw_band(axes, clouds, [part.top1 for part in tracks.by_clouds], run, colors[run])
        axes.set(xscale="log", xlabel="clouds of a track that are averaged, at most")
        axes.set_xticks(clouds, [str(count) for count in clouds])
        axes.minorticks_off()
        _percent_range(axes, [part.top1 for tracks in of_run.values() for part in tracks.by_clouds])
        legend_above(canvas, axes)
    ends = "; ".join(
        f"{run} {_short(tracks.by_clouds[0].top1)} with {tracks.by_clouds[0].clouds}, "
        f"{_short(tracks.by_clouds[-1].top1)} with {tracks.by_clouds[-1].clouds}"
        for run, tracks in of_run.items()
    )
    return Figure(
        name,
        f"{benchmark}: several clouds of one object",
        f"Top-1 accuracy on tracks of {benchmark} by the number of clouds averaged: {ends}.",
        f"The embeddings of at most that many clouds of a track are averaged before it is classified. {_WHISKERS}",
        _sources(found, benchmark, runs),
        _commands(found, benchmark, runs),
        (f"tracks_{benchmark}",),
    )


def draw_label_efficiency(found: Evaluations, folder: Path) -> Figure | None:
    """Top-1 on each benchmark over the share of real samples; None where fewer than two shares were trained."""
    sweep, colors = sweep_of(found), colors_by_name(found.benchmarks)
    if not sweep.shares:
        return None
    with drawing(folder, "label_efficiency", 3.6, WIDTH_IN * 0.85) as canvas:
        axes = canvas.subplots()
        shares = 100 * np.array(sweep.shares)
        for name in found.benchmarks:
            style = "-" if found.any_of(name).from_drives else "--"
            means = [100 * sweep.mean(found, share, name) for share in sweep.shares]
            axes.plot(shares, means, style, color=colors[name], label=name)
            for share in sweep.shares:
                values = [100 * found.metrics[run, name].top1.value for run in sweep.runs_of(share)]
                axes.plot([100 * share] * len(values), values, "o", color=colors[name], markersize=4, alpha=0.7)
        axes.set_xscale("symlog", linthresh=1, linscale=0.6)
        axes.set_xticks(shares, [f"{share:g}" for share in shares])
        axes.minorticks_off()
        axes.set(xlabel="real samples in a batch, %", xlim=(-0.1, None))
        percent_axis(axes)
        legend_above(canvas, axes)
    ends = "; ".join(
        f"{name} {100 * sweep.mean(found, sweep.shares[0], name):.1f} % to "
        f"{100 * sweep.mean(found, sweep.shares[-1], name):.1f} %"
        for name in found.benchmarks
    )
    span = f"from {shares[0]:g} % to {shares[-1]:g} % of real samples"
    return Figure(
        "label_efficiency",
        "Accuracy by the share of real samples",
        f"Top-1 accuracy by the share of real samples in a batch; {span}: {ends}.",
        "A point is a run, a line joins means over seeds; dashed for benchmarks of whole objects, solid for drives.",
        tuple(found.results.metrics(run, name) for run in sweep.runs for name in found.benchmarks),
        tuple(found.metrics[run, name].command for run in sweep.runs for name in found.benchmarks),
        ("label_efficiency",),
    )


def _draw_classes(axes: Axes, values: list[Estimate], shift: float, run: str, color: str, *, height: float) -> None:
    """Draw the classes of a run, `shift` rows below their names, as bars `height` rows high, or as dots if it is 0."""
    value, reach = percent(values)
    y = np.arange(len(value)) + shift
    if height:
        axes.barh(y, value, height, color=color, label=run)
        axes.errorbar(value, y, xerr=reach, fmt="none", elinewidth=0.9, ecolor="#333333")
    else:
        axes.errorbar(value, y, xerr=reach, fmt="o", markersize=3.5, elinewidth=0.7, color=color, label=run)


def _write_shares(axes: Axes, share: np.ndarray) -> None:
    """Write the shares of at least 0.005 into their cells, in percent."""
    for row, column in zip(*np.nonzero(share >= 0.005), strict=True):
        color = "white" if share[row, column] > 0.55 else "#222222"
        text = f"{100 * share[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=color)


def _draw_slices(axes: Axes, parts: list[Slice], run: str, color: str) -> None:
    _draw_band(axes, range(len(parts)), [part.top1 for part in parts], run, color)
    is_dense = len(parts) > _MOST_LEVEL_NAMES
    names = [f"{_range(part)} ({part.clouds:,})" if is_dense else f"{_range(part)}\n{part.clouds:,}" for part in parts]
    axes.set_xticks(range(len(parts)), names, fontsize=7.5, rotation=90 if is_dense else 0)


def _draw_band(axes: Axes, x: Sequence[int], values: list[Estimate], run: str, color: str) -> None:
    """Draw a line with dots at (N,) positions, and its intervals as a band."""
    value, (below, above) = percent(values)
    axes.fill_between(x, value - below, value + above, color=color, alpha=0.13, linewidth=0)
    axes.plot(x, value, "o-", color=color, markersize=4, label=run)


def _percent_range(axes: Axes, values: list[Estimate]) -> None:
    """Set the y axis to percent, from the tens below the lowest interval to 100."""
    lowest = np.nanmin([one.low for one in values])
    axes.set(ylim=(10 * np.floor(10 * lowest), 101), ylabel="top-1, %")


def _range(part: Slice) -> str:
    if part.end is None:
        return f"≥ {part.start:g}"
    return f"{part.start:g}" if part.end == part.start else f"{part.start:g}–{part.end:g}"


def _short(value: Estimate) -> str:
    return f"{100 * value.value:.0f} %"


def _extremes(of_run: list[list[ClassAccuracy]]) -> str:
    """The easiest and the hardest class of the last run."""
    parts = [part for part in of_run[-1] if part.top1.value == part.top1.value]
    best, worst = (pick(parts, key=lambda part: part.top1.value) for pick in (max, min))
    ends = f"best at {best.class_name}, {_short(best.top1)}, and worst at {worst.class_name}, {_short(worst.top1)}"
    return f"The last run is {ends}."


def _ends(found: Evaluations, benchmark: str, run: str, known: list[tuple[str, str]]) -> str:
    """The first and last range of the first kind, of one run."""
    first, *_, last = [*getattr(found.metrics[run, benchmark], known[0][0])] * 2
    return f"{run}: {_short(first.top1)} at {_range(first)}, {_short(last.top1)} at {_range(last)}."


def _worst_confusion(metrics: Metrics, rows: np.ndarray, share: np.ndarray) -> str:
    """The most frequent mistake by share of its class, in a sentence."""
    wrong = share.copy()
    wrong[np.arange(len(rows)), rows] = 0
    row, column = np.unravel_index(np.argmax(wrong), wrong.shape)
    if not wrong[row, column]:
        return "No cloud is confused."
    names = metrics.classes[rows[row]], metrics.classes[column]
    return f"The largest confusion: {100 * wrong[row, column]:.0f} % of {names[0]} are taken for {names[1]}."


def _sources(found: Evaluations, benchmark: str, runs: Sequence[str]) -> tuple[Path, ...]:
    return tuple(found.results.metrics(run, benchmark) for run in runs)


def _commands(found: Evaluations, benchmark: str, runs: Sequence[str]) -> tuple[str, ...]:
    return tuple(found.metrics[run, benchmark].command for run in runs)
