"""The tables of the report."""

from __future__ import annotations

import math
from collections.abc import Sequence

from blendclip.evaluation.paired import compare_groups
from blendclip.reporting.report.evaluations import Evaluations, Metrics, Run
from blendclip.reporting.report.label_efficiency import RatioSweep, sweep_of
from blendclip.reporting.report.origins import GENERATED, REAL, Origins
from blendclip.reporting.report.published import Method, published
from blendclip.reporting.report.seeds import over_seeds, seed_groups
from blendclip.reporting.report.table import BestIn, Column, Row, Table, Value
from blendclip.reporting.report.wording import joined

_SLICES = {"by_distance": "distance, m", "by_points": "points", "by_visibility": "visibility level"}
_NOT_KNOWN = "not known"
_HEADLINES = {
    REAL: ("headline", "real recordings"),
    "": ("headline_others", "other benchmarks"),
    GENERATED: ("headline_generated", "generated data"),
}
"""Name and title of the first tables by the label of their benchmarks, where some are real."""
_TAUGHT_BY = {(): "no", ("synthetic",): "CAD alone", ("real",): "recordings alone", ("real", "synthetic"): "yes"}


def headlines(found: Evaluations, origins: Origins) -> list[Table]:
    """The tables that the report begins with: one, or where real benchmarks are among others one of each origin."""
    parted = origins.parted(found.benchmarks)
    if REAL not in parted:
        return [headline(found, origins, found.benchmarks)]
    of_real, *others = (headline(found, origins, names, *_HEADLINES[label]) for label, names in parted.items())
    return [of_real, *others]


def headline(
    found: Evaluations, origins: Origins, benchmarks: Sequence[str], name: str = "headline", of: str = "each benchmark"
) -> Table:
    """Runs and models by benchmarks: the mean over classes of top-1, top-1 and top-5, with their intervals.

    Below them is what naming the most frequent class would reach, and published numbers for the public benchmarks.

    Args:
        found: what the report shows.
        origins: which benchmarks are real or generated, and labelled so.
        benchmarks: those of the table.
        name: of its files.
        of: what they are, for its title.
    """
    columns, groups = [Column("run")], seed_groups(found)
    rows: list[list[Value]] = [[title] for title in groups]
    known = {name: key for name in benchmarks if (key := published().known_as(name))}
    methods = [method for method in published().methods if set(method.accuracy) & set(known.values())]
    others: list[list[Value]] = [[method.method] for method in methods]
    always: list[Value] = ["always the most frequent class"]
    below = []
    for benchmark in benchmarks:
        group = f"{benchmark} ({found.any_of(benchmark).clouds:,} clouds)"
        label = origins.label(benchmark)
        columns += [Column(title, "percent", group, True, label) for title in ("mean class", "top-1", "top-5")]
        constant = [1 / len(found.any_of(benchmark).per_class), found.any_of(benchmark).most_frequent]
        for place, (cells, names) in enumerate(zip(rows, groups.values(), strict=True)):
            of_seeds = [found.metrics[one, benchmark] for one in names]
            for key, reached in zip(("mean_class", "top1"), constant, strict=True):
                value = over_seeds([getattr(one, key) for one in of_seeds])
                below += [(place, len(cells))] * (value.value < reached)
                cells.append(value)
            cells.append(over_seeds([one.top5 for one in of_seeds]))
        always += [*constant, None]
        for cells, method in zip(others, methods, strict=True):
            top1, top5 = _published_cells(method, known.get(benchmark))
            cells += [None, top1, top5]
    parts = [_clouds(found, benchmark) for benchmark in benchmarks]
    parts += [f"{joined(names)}: {label}" for label, names in origins.parted(benchmarks).items() if label]
    about = {name: found.foreign(name) for name in found.names}
    parts += [f"{name}: {one.up} up, aligned to {one.clip}" for name, one in about.items() if one]
    parts += ["↓ is less than always naming the most frequent class reaches"] * bool(below)
    return Table(
        name,
        f"Zero-shot accuracy of each run on {of}",
        tuple(columns),
        (*(Row(tuple(row)) for row in [*rows, always]), *(Row(tuple(row), published=True) for row in others)),
        tuple(found.files_of(benchmarks)),
        _commands(found, benchmarks),
        f"{'; '.join(parts)}.",
        below=frozenset(below),
    )


def frequent_and_rare(found: Evaluations) -> Table:
    """Runs and models by benchmarks that call some classes rare: mean class of the frequent and of the rare ones.

    Below them is what naming the most frequent class would reach.
    """
    columns, groups = [Column("run")], seed_groups(found)
    rows: list[list[Value]] = [[title] for title in groups]
    always: list[Value] = ["always the most frequent class"]
    names = [name for name in found.benchmarks if found.any_of(name).by_frequency]
    for benchmark in names:
        of_run = {run: one.by_frequency or [] for run, one in found.of_benchmark(benchmark).items()}
        commonest = max(found.any_of(benchmark).per_class, key=lambda part: part.clouds).class_name
        for place, part in enumerate(found.any_of(benchmark).by_frequency or []):
            title = f"{part.name} ({len(part.classes)} classes, {part.clouds:,} clouds)"
            columns.append(Column(title, "percent", f"{benchmark}, mean class", best=True))
            for cells, runs in zip(rows, groups.values(), strict=True):
                cells.append(over_seeds([of_run[run][place].mean_class for run in runs]))
            always.append(part.classes.count(commonest) / len(part.classes))
    files, commands = tuple(found.files_of(names)), _commands(found, names)
    note = "Classes are rare by the list in their file of prompts/classes; each cloud is classified among all of them."
    shown = tuple(Row(tuple(row)) for row in [*rows, always]) if names else ()
    return Table("frequent_and_rare", "Frequent and rare classes", tuple(columns), shown, files, commands, note)


def differences(found: Evaluations, benchmark: str) -> Table:
    """Paired differences of all runs and models on the same clouds of a benchmark; no rows of one alone."""
    columns = [Column("run A"), Column("run B"), Column("measure")]
    columns += [Column(title, "percent") for title in ("A", "B", "B - A")]
    groups = seed_groups(found)
    pairs = compare_groups(found.results.root, groups, [benchmark]) if len(groups) > 1 else []
    rows = [Row((one.run_a, one.run_b, one.measure, one.accuracy_a, one.accuracy_b, one.difference)) for one in pairs]
    note = "Runs err on much the same clouds, so that their difference is known better than either accuracy."
    note += " Of several seeds it is that of their means." * (len(groups) < len(found.names))
    return _of_benchmark(found, benchmark, "differences", "Differences of runs", columns, rows, note=note)


def each_seed(found: Evaluations) -> Table:
    """Mean class and top-1 of each run of several seeds on each benchmark; no rows where there are none."""
    columns = [Column("run"), Column("seed")]
    columns += [Column(title, "percent", name) for name in found.benchmarks for title in ("mean class", "top-1")]
    rows = []
    for names in seed_groups(found).values():
        for run in names if len(names) > 1 else []:
            of_run = [found.metrics[run, benchmark] for benchmark in found.benchmarks]
            cells = [cell for one in of_run for cell in (one.mean_class, one.top1)]
            rows.append(Row((run, f"{found.runs[run].recipe['seed']}", *cells)))
    files, commands = tuple(found.files_of(found.benchmarks)), _commands(found, found.benchmarks)
    return Table("each_seed", "Accuracy with each seed", tuple(columns), tuple(rows), files, commands)


def published_numbers() -> Table:
    """Published accuracies of others; none of them is measured here."""
    known = published().benchmarks
    groups = [Column(title, "percent", about.title) for about in known.values() for title in ("top-1", "top-5")]
    rows = [
        Row((method.method, method.trained_on, *_cells_of_all(method, list(known)), method.source), published=True)
        for method in published().methods
    ]
    columns = (Column("method"), Column("trained on"), *groups, Column("source"))
    return Table("published", "Published zero-shot accuracy, not measured here", columns, tuple(rows))


def per_class(found: Evaluations, benchmark: str) -> Table:
    """Accuracy of each class by run; the best run of a class is marked."""
    columns = [Column("class"), Column("clouds", "count"), Column("objects", "count")]
    columns += [Column(found.title(name), "percent", best=True) for name in found.names]
    of_run = [{part.class_name: part for part in one.per_class} for one in found.of_benchmark(benchmark).values()]
    rows = [
        Row((name, part.clouds, part.instances, *(run[name].top1 if name in run else None for run in of_run)))
        for name, part in of_run[0].items()
    ]
    return _of_benchmark(found, benchmark, "per_class", "Top-1 by class", columns, rows, best_in="row")


def by_slice(found: Evaluations, benchmark: str, kind: str) -> Table:
    """Accuracy by distance, points or visibility (`kind` is `by_distance`, ...); no rows where these are unknown."""
    columns = [Column(f"{_SLICES[kind]} from"), Column("to"), Column("clouds", "count")]
    columns += [Column(found.title(name), "percent", best=True) for name in found.names]
    of_run = [getattr(metrics, kind) for metrics in found.of_benchmark(benchmark).values()]
    rows = [
        Row((f"{part.start:g}", f"{part.end:g}" if part.end is not None else "", part.clouds, *(p.top1 for p in same)))
        for part, *same in zip(of_run[0], *of_run, strict=True)
    ]
    title = f"Top-1 by {_SLICES[kind]}"
    return _of_benchmark(found, benchmark, kind, title, columns, rows, best_in="row")


def tracks(found: Evaluations, benchmark: str) -> Table:
    """Accuracy on whole tracks and by the number of clouds averaged; no rows where there are no tracks."""
    of_run = {run: metrics.tracks for run, metrics in found.of_benchmark(benchmark).items() if metrics.tracks}
    sizes = {part.clouds: part.tracks for one in of_run.values() for part in one.by_clouds}
    columns = [Column("run"), Column("whole track", "percent", best=True)]
    columns += [_track_column(clouds, sizes[clouds]) for clouds in sorted(sizes)]
    rows = []
    for run, one in of_run.items():
        by_clouds = {part.clouds: part.top1 for part in one.by_clouds}
        rows.append(Row((found.title(run), one.top1, *(by_clouds.get(clouds) for clouds in sorted(sizes)))))
    count = next(iter(of_run.values())).tracks if of_run else 0
    note = (
        f"{count:,} tracks. A track is classified by the mean embedding of at most the stated number of its clouds; in "
        "brackets the tracks that have as many."
    )
    return _of_benchmark(found, benchmark, "tracks", "Top-1 of tracks", columns, rows, note=note)


def held_out(found: Evaluations) -> Table:
    """Accuracy on classes that some run was not trained on, and of other runs on the same classes."""
    columns = [Column("benchmark"), Column("held-out classes"), Column("run"), Column("trained on them")]
    columns += [Column("clouds", "count", "held out"), Column("top-1", "percent", "held out")]
    columns += [Column("clouds", "count", "others"), Column("top-1", "percent", "others")]
    rows = []
    order = [*_TAUGHT_BY.values(), _NOT_KNOWN]
    for name in found.benchmarks:
        of_run = found.of_benchmark(name)
        for classes in dict.fromkeys(tuple(one.held_out.classes) for one in of_run.values() if one.held_out):
            cells = [
                (
                    name,
                    ", ".join(classes),
                    found.title(run),
                    *_held_out_cells(found.runs.get(run), of_run[run], classes),
                )
                for run in of_run
            ]
            rows += sorted((Row(one) for one in cells), key=lambda row: order.index(str(row.values[3])))
    files, commands = tuple(found.files_of(found.benchmarks)), _commands(found, found.benchmarks)
    note = "What other runs reach on these classes is counted from their confusion, without one."
    return Table("held_out", "Top-1 on held-out classes", tuple(columns), tuple(rows), files, commands, note)


def retrieval(found: Evaluations) -> Table:
    """Recall at k of the right cloud, from its caption and from its image; no rows where nothing was retrieved."""
    names = {"text_to_cloud": "caption to cloud", "image_to_cloud": "image to cloud"}
    of_all = {key: metrics.retrieval for key, metrics in found.metrics.items() if metrics.retrieval}
    ks = sorted({int(k) for one in of_all.values() for key in names for k in getattr(one, key)})
    columns = [Column("benchmark"), Column("run"), Column("clouds", "count"), Column("captions", "count")]
    columns += [Column(f"R@{k}", "percent", group) for group in names.values() for k in ks]
    rows = []
    for (run, benchmark), one in of_all.items():
        recalls = [getattr(one, key).get(str(k)) for key in names for k in ks]
        rows.append(Row((benchmark, found.title(run), one.clouds, one.texts, *recalls)))
    files = tuple(found.results.metrics(*key) for key in of_all)
    commands = tuple(found.metrics[key].command for key in of_all)
    note = "Share of queries with a right cloud, of that caption or of that image's object, among the k nearest."
    return Table("retrieval", "Recall at k", tuple(columns), tuple(rows), files, commands, note)


def label_efficiency(found: Evaluations) -> Table:
    """Accuracy by the share of real samples in every batch; no rows where fewer than two shares were trained."""
    sweep = sweep_of(found)
    columns = [
        Column("real share of a batch", "percent"),
        Column("real samples drawn", "count"),
        Column("run"),
        Column("seed"),
    ]
    columns += [Column(name, "percent", _kind(found, name)) for name in found.benchmarks]
    rows = [row for share in sweep.shares for row in _rows_of_share(found, sweep, share)]
    recipes = [found.results.recipe(run) for run in sweep.runs]
    note = f"Trained otherwise, so not here: {', '.join(sweep.others)}." if sweep.others else ""
    commands = tuple(found.metrics[run, name].command for run in sweep.runs for name in found.benchmarks)
    files = (*recipes, *(found.results.metrics(run, name) for run in sweep.runs for name in found.benchmarks))
    return Table(
        "label_efficiency", "Top-1 by share of real samples", tuple(columns), tuple(rows), files, commands, note
    )


def datasets(found: Evaluations) -> Table:
    """Numbers of what mining made of each split."""
    columns = [Column("dataset"), Column("split"), Column("scenes", "count"), Column("objects", "count")]
    columns += [Column(title, "count") for title in ("boxes", "clouds", "views", "triplets", "classes")]
    keys = ("scenes", "objects", "annotations", "clouds", "views", "triplets")
    rows = []
    for one in found.summaries.values():
        known = {"clouds": one["triplets"], **one}  # a CAD triplet is a cloud
        classes = len(set(one["classes"]) - {"(no class)"})
        rows.append(Row((one["dataset"], one["split"], *(known.get(key) for key in keys), classes)))
    return _of_summaries(found, "datasets", "What was mined", columns, rows)


def rejects(found: Evaluations) -> Table:
    """Numbers of what mining left out of each split, by rule."""
    columns = [Column(title) for title in ("dataset", "split", "stage", "rule", "kind", "of")]
    keys = ("stage", "rule", "kind", "of", "count", "example")
    rows = [
        Row((one["dataset"], one["split"], *(reject[key] for key in keys)))
        for one in found.summaries.values()
        for reject in one["rejects"]
    ]
    return _of_summaries(
        found, "rejects", "What was left out", [*columns, Column("count", "count"), Column("example")], rows
    )


def _of_benchmark(
    found: Evaluations,
    benchmark: str,
    name: str,
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    note: str = "",
    best_in: BestIn = "column",
) -> Table:
    """A table about one benchmark, from the metrics of all runs."""
    return Table(
        f"{name}_{benchmark}",
        f"{title}: {benchmark}",
        tuple(columns),
        tuple(rows),
        tuple(found.files_of([benchmark])),
        _commands(found, [benchmark]),
        note,
        best_in,
    )


def _of_summaries(found: Evaluations, name: str, title: str, columns: list[Column], rows: list[Row]) -> Table:
    summary = found.results.named.commands.summary
    commands = tuple(summary(one["dataset"], one["split"]) for one in found.summaries.values())
    return Table(name, title, tuple(columns), tuple(rows), tuple(found.summaries), commands)


def _commands(found: Evaluations, benchmarks: Sequence[str]) -> tuple[str, ...]:
    return tuple(found.metrics[run, name].command for name in benchmarks for run in found.names)


def _clouds(found: Evaluations, benchmark: str) -> str:
    metrics = found.any_of(benchmark)
    return f"{benchmark}: {metrics.clouds:,} clouds of {metrics.instances:,} objects in {len(metrics.classes)} classes"


def _published_cells(method: Method, benchmark: str | None) -> list[Value]:
    """Top-1 and top-5, 0 to 1, of a method on a public benchmark."""
    stated = method.accuracy.get(benchmark or "", [])
    return [value / 100 for value in stated] if stated else [None, None]


def _cells_of_all(method: Method, benchmarks: list[str]) -> list[Value]:
    return [cell for name in benchmarks for cell in _published_cells(method, name)]


def _track_column(clouds: int, count: int) -> Column:
    return Column(f"{clouds} ({count:,})", "percent", "clouds averaged, at most", best=True)


def _held_out_cells(run: Run | None, metrics: Metrics, classes: tuple[str, ...]) -> tuple[Value, ...]:
    """Which data the run learned the held-out classes from, then clouds and accuracy on these and on the others."""
    one = metrics.held_out
    if one and tuple(one.classes) == classes:
        return (_taught_by(run, one.excluded_from), one.clouds, one.top1, one.others_clouds, one.others)
    chosen = [name in classes for name in metrics.classes]
    return (_taught_by(run), *_counted(metrics, chosen), *_counted(metrics, [not one for one in chosen]))


def _taught_by(run: Run | None, excluded_from: str = "") -> str:
    """The data that taught a run classes which were left out of a domain; `run` is None for a model of others."""
    if excluded_from == "both":
        return _TAUGHT_BY[()]
    if run is None or not run.is_trained:
        return _NOT_KNOWN
    return _TAUGHT_BY[tuple(sorted(run.domains - {excluded_from}))]


def _counted(metrics: Metrics, chosen: list[bool]) -> tuple[int, float]:
    """Clouds of the `chosen` classes, and the share of them on the diagonal of the confusion."""
    rows = [(sum(row), row[label]) for label, row in enumerate(metrics.confusion) if chosen[label]]
    clouds = sum(count for count, _ in rows)
    return clouds, sum(right for _, right in rows) / clouds if clouds else math.nan


def _kind(found: Evaluations, benchmark: str) -> str:
    return "drives" if found.any_of(benchmark).from_drives else "objects"


def _rows_of_share(found: Evaluations, sweep: RatioSweep, share: float) -> list[Row]:
    """A row for each run of a share, and one for their mean where there are several."""
    runs = sweep.runs_of(share)
    about = [(share, found.runs[run].real_samples, run, f"{found.runs[run].recipe['seed']}") for run in runs]
    rows = [
        Row((*known, *(found.metrics[run, name].top1 for name in found.benchmarks)))
        for run, known in zip(runs, about, strict=True)
    ]
    means = [sweep.mean(found, share, name) for name in found.benchmarks]
    return [*rows, Row((share, None, f"mean of {len(runs)}", "", *means))] if len(runs) > 1 else rows
