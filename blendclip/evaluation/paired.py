"""Paired differences of runs on the same clouds: what two intervals that overlap leave open.

Two runs err on much the same clouds, so that their difference is known better than either accuracy.

Letters in names: N clouds, C classes that have clouds, K columns of a bootstrap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import storage
from blendclip.errors import UserError
from blendclip.evaluation.bootstrap import Bootstrap, Estimate
from blendclip.results import Results


@dataclass(frozen=True)
class PairedDifference:
    """An accuracy of run B less that of run A on one benchmark, with its 95 % interval; all -1 to 1."""

    benchmark: str
    measure: str
    """top-1 or mean class."""
    run_a: str
    """Name of run A, or title of a group of runs; of a model that was not trained here with whose it is."""
    run_b: str
    accuracy_a: float
    accuracy_b: float
    difference: Estimate


def compare_runs(results: Path, runs: Sequence[str], benchmarks: Sequence[str] = ()) -> list[PairedDifference]:
    """Differences in top-1 and mean class accuracy of each pair of runs, on each benchmark.

    Args:
        results: folder with the predictions of the runs.
        runs: names, at least two; of each pair the earlier one is A.
        benchmarks: names; by default all that two of the runs were measured on.

    Raises:
        UserError: a run is named twice or has no predictions, or two runs were not measured on the same clouds.
    """
    if len(set(runs)) < max(2, len(runs)):
        raise UserError(f"{' and '.join(runs)} cannot be compared: give the names of at least two different runs")
    return compare_groups(results, {run: [run] for run in runs}, benchmarks)


def compare_groups(
    results: Path, groups: Mapping[str, Sequence[str]], benchmarks: Sequence[str] = ()
) -> list[PairedDifference]:
    """The same for groups of runs, such as the seeds of one recipe: differences of their mean accuracies.

    Args:
        results: folder with the predictions of the runs.
        groups: names of runs by the title of their group; of each pair the earlier one is A.
        benchmarks: names; by default all that both groups were measured on.

    Raises:
        UserError: a run has no predictions, or two runs were not measured on the same clouds.
    """
    measured = {name: set.intersection(*(_benchmarks_of(results, run) for run in groups[name])) for name in groups}
    differences = []
    for a, b in combinations(groups, 2):
        for benchmark in benchmarks or sorted(measured[a] & measured[b]):
            tables = [_read(results, groups[name], benchmark) for name in (a, b)]
            names = [_title(results, name, groups[name], benchmark) for name in (a, b)]
            differences += _differences(benchmark, *names, *tables)
    if not differences:
        raise UserError(f"{' and '.join(groups)} have no benchmark in common: evaluate them on the same one")
    return sorted(differences, key=lambda one: one.benchmark)


def comparison_text(differences: Sequence[PairedDifference]) -> str:
    """A table for the terminal, in percent and percentage points."""
    rows = [("benchmark", "measure", "run A", "run B", "B - A [95 % interval]")]
    for one in differences:
        run_a, run_b = f"{one.run_a} {one.accuracy_a:.1%}", f"{one.run_b} {one.accuracy_b:.1%}"
        value, low, high = (f"{100 * number:+.1f}" for number in astuple(one.difference))
        rows.append((one.benchmark, one.measure, run_a, run_b, f"{value} [{low}, {high}]"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _benchmarks_of(results: Path, run: str) -> set[str]:
    pattern = Results(results).predictions(run, "*")
    folder = pattern.parents[1]
    names = {path.parent.name for path in folder.glob(f"*/{pattern.name}")}
    if not names:
        raise UserError(f"{folder} holds no predictions: run `blendclip evaluate` for {run} first")
    return names


def _read(results: Path, runs: Sequence[str], benchmark: str) -> pa.Table:
    """Clouds in order of their names, each with `right`: the share of the runs that predict its class."""
    columns = ["cloud_id", "instance_token", "class_name", "rank"]
    paths = [Results(results).predictions(run, benchmark) for run in runs]
    tables = [storage.read_parquet(path, columns).sort_by("cloud_id") for path in paths]
    for run, table in zip(runs[1:], tables[1:], strict=True):
        _check_alike(benchmark, runs[0], run, tables[0], table)
    right_N = np.mean([table["rank"].to_numpy() == 0 for table in tables], axis=0)
    return tables[0].drop_columns(["rank"]).append_column("right", pa.array(right_N))


def _title(results: Path, name: str, runs: Sequence[str], benchmark: str) -> str:
    """The name of a group of runs; of a single model that was not trained here with whose it is."""
    model = storage.options_of(Results(results).predictions(runs[0], benchmark)).get("model")
    return f"{runs[0]} (of {model['origin']})" if model else name


def _check_alike(benchmark: str, run_a: str, run_b: str, a: pa.Table, b: pa.Table) -> None:
    if any(a[column] != b[column] for column in ("cloud_id", "class_name")):
        raise UserError(
            f"{run_a} and {run_b} were measured on different clouds or classes of {benchmark}: evaluate both again"
        )


def _differences(benchmark: str, run_a: str, run_b: str, a: pa.Table, b: pa.Table) -> list[PairedDifference]:
    _check_alike(benchmark, run_a, run_b, a, b)
    right_a, right_b = (table["right"].to_numpy() for table in (a, b))
    columns_NK = np.concatenate([_by_class(right, a) for right in (right_a, right_b, right_b - right_a)], axis=1)
    bootstrap = Bootstrap.of(columns_NK, a["instance_token"].to_pylist())
    width = columns_NK.shape[1] // 3  # a column of all clouds and one of each class, of A, of B and of the difference
    measures = {"top-1": range(1), "mean class": range(1, width)}
    rows = []
    for measure, columns in measures.items():
        of_a, of_b, less = (
            bootstrap.mean([begin + column for column in columns], lowest=-1.0) for begin in range(0, 3 * width, width)
        )
        rows.append(PairedDifference(benchmark, measure, run_a, run_b, of_a.value, of_b.value, less))
    return rows


def _by_class(values_N: NDArray[np.float64], table: pa.Table) -> NDArray[np.float64]:
    """(N, 1 + C): the values, and those of each class, NaN in the rows of others."""
    names_N = np.asarray(table["class_name"].to_pylist(), object).astype(str)
    of_class_NC = names_N[:, None] == np.unique(names_N)
    return np.concatenate([values_N[:, None], np.where(of_class_NC, values_N[:, None], np.nan)], axis=1)
