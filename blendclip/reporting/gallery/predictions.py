"""Right and wrong predictions of a run on a benchmark, chosen to show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from blendclip import storage
from blendclip.errors import UserError
from blendclip.reporting.gallery.choice import in_turn, stable_order
from blendclip.reporting.gallery.titles import titles_of
from blendclip.results import Results

_COLUMNS = "cloud_id instance_token class_name num_points distance_m rank top5 top5_scores".split()


@dataclass(frozen=True)
class ShownPrediction:
    """The prediction of a run for a cloud."""

    row: int
    """Row of the cloud in the benchmark."""
    cloud_id: str
    class_name: str
    """The right class."""
    num_points: int
    """Points of the cloud."""
    distance_m: float | None
    """Distance of the cloud from the ego vehicle; None where unknown."""
    rank: int
    """Wrong classes that score at least as high as the right one; 0 is right."""
    named: list[tuple[str, float]]
    """Predicted classes and cosines, best first."""
    is_confident: bool
    """Whether it is wrong and was chosen for its lead over the second class."""


@dataclass(frozen=True)
class ChosenPredictions:
    """Predictions of a run on a benchmark, chosen to show."""

    run: str
    benchmark: str
    right: list[ShownPrediction]
    wrong: list[ShownPrediction]
    num_right: int
    """Right predictions on the whole benchmark."""
    num_wrong: int
    """Wrong predictions on the whole benchmark."""

    def clouds(self) -> dict[str, int]:
        """Rows in the benchmark of the clouds to show, by cloud id."""
        return {prediction.cloud_id: prediction.row for prediction in [*self.right, *self.wrong]}


def choose_predictions(
    results: Path, run: str, benchmark: str, cloud_ids: pa.ChunkedArray, count: int = 8
) -> ChosenPredictions:
    """At most `count` right and as many wrong predictions, spread over classes, no two of one object.

    Half of the wrong ones have the greatest lead of the first class over the second, so that they look sure.

    Args:
        results: results folder.
        run: name of the run.
        benchmark: name of the benchmark.
        cloud_ids: of the benchmark, in its order.
        count: most predictions of each kind.

    Raises:
        UserError: predictions or metrics are missing, or are of other clouds than the benchmark now holds.
    """
    files = Results(results)
    path = files.predictions(run, benchmark)
    table = storage.read_parquet(path, _COLUMNS)
    if not table["cloud_id"].equals(cloud_ids):
        raise UserError(f"{path} has other clouds than benchmark {benchmark} now holds: evaluate {run} on it again")
    columns = table.to_pydict()
    titles = titles_of(results, run, benchmark)
    columns["class_name"] = [titles[name] for name in columns["class_name"]]
    names = list(titles.values())
    right = [row for row in stable_order(columns["cloud_id"]) if columns["rank"][row] == 0]
    wrong = [row for row in stable_order(columns["cloud_id"]) if columns["rank"][row] != 0]
    sure = _in_turn(sorted(wrong, key=lambda row: -_lead(columns["top5_scores"][row])), columns, count // 2)
    objects = {columns["instance_token"][row] for row in sure}
    others = [row for row in wrong if columns["instance_token"][row] not in objects]
    others = _in_turn(others, columns, count - len(sure))
    return ChosenPredictions(
        run=run,
        benchmark=benchmark,
        right=[_shown(row, columns, names, False) for row in _in_turn(right, columns, count)],
        wrong=[_shown(row, columns, names, row in sure) for row in [*sure, *others]],
        num_right=len(right),
        num_wrong=len(wrong),
    )


def _in_turn(rows: list[int], columns: dict[str, list[Any]], count: int) -> list[int]:
    return in_turn(rows, columns["class_name"], columns["instance_token"], count)


def _lead(scores: list[float]) -> float:
    return scores[0] - scores[1] if len(scores) > 1 else 0.0


def _shown(row: int, columns: dict[str, list[Any]], names: list[str], is_confident: bool) -> ShownPrediction:
    own = {name: columns[name][row] for name in ("cloud_id", "class_name", "num_points", "distance_m", "rank")}
    top = [names[number] for number in columns["top5"][row]]
    named = list(zip(top, columns["top5_scores"][row], strict=True))
    return ShownPrediction(row=row, named=named, is_confident=is_confident, **own)
