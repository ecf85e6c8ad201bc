"""What a run reaches on a benchmark: accuracies with intervals, overall, by class, by condition and by track.

Letters in names: N clouds, C classes, D width of the features, K accuracies.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blendclip.evaluation.bootstrap import Bootstrap
from blendclip.evaluation.metrics import ranks
from blendclip.evaluation.zero_shot import scores, unit
from blendclip.sampling import spread

POINT_EDGES = (1, 5, 20, 100, 500, 2000)
DISTANCE_EDGES_M = (0, 10, 20, 30, 40, 50)
VISIBILITIES = (1, 2, 3, 4)
_TRACK_CLOUDS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class BenchmarkPredictions:
    """Predictions of a run for labelled clouds: their features, and what they are compared with."""

    classes: list[str]
    """Names of the C classes to choose from."""
    weights_CD: NDArray[np.float32]
    """Text weights of the classes, unit length."""
    features_ND: NDArray[np.float32]
    """Features of the clouds, unit length."""
    labels_N: NDArray[np.int64]
    """Number of the right class of each cloud."""
    instances: list[str]
    """Name of the object that each cloud is of."""
    timestamps_us: NDArray[np.float64]
    """(N,) NaN where unknown."""
    distances_m: NDArray[np.float64]
    """(N,) from the ego vehicle, NaN where unknown."""
    visibilities: NDArray[np.float64]
    """(N,) levels 1 to 4, NaN where unknown."""
    num_points: NDArray[np.int64]
    """(N,) points of each cloud."""
    titles: list[str] = field(default_factory=list)
    """What a reader calls each of the C classes; empty for their names."""
    rare: list[str] = field(default_factory=list)
    """Names of the classes that are called rare."""

    def scores_NC(self) -> NDArray[np.float32]:
        """(N, C) cosines of clouds and classes."""
        return scores(self.features_ND, self.weights_CD)


def best_classes(scores_NC: NDArray[np.floating], labels_N: NDArray[np.int64], count: int = 5) -> NDArray[np.int64]:
    """The classes (N, at most `count`) that score highest, best first; among equals the right one comes last."""
    shifted_NC = scores_NC.copy()
    rows = np.arange(len(labels_N))
    shifted_NC[rows, labels_N] = np.nextafter(shifted_NC[rows, labels_N], -np.inf)
    return np.argsort(-shifted_NC, axis=1, kind="stable")[:, :count]


def metrics_of(
    predictions: BenchmarkPredictions, excluded: Sequence[str] = (), excluded_from: str = "both"
) -> dict[str, Any]:
    """All numbers of metrics.json about the predictions of a run for one benchmark.

    Args:
        predictions: of the run.
        excluded: classes that the run was not trained on.
        excluded_from: domain that `excluded` was left out of, as a recipe says it.
    """
    scores_NC, labels_N = predictions.scores_NC(), predictions.labels_N
    rank_N = ranks(scores_NC, labels_N)
    right_N = (rank_N == 0).astype(np.float64)
    predicted_N = best_classes(scores_NC, labels_N, 1)[:, 0]
    counts_C = np.bincount(labels_N, minlength=len(predictions.classes))
    return {
        "clouds": len(labels_N),
        "instances": len(set(predictions.instances)),
        "classes": predictions.classes,
        "titles": predictions.titles or predictions.classes,
        **_overall(rank_N, labels_N, predictions.instances),
        "most_frequent": float(counts_C.max() / len(labels_N)),
        "per_class": _per_class(predictions, right_N, counts_C),
        "by_frequency": _by_frequency(predictions, right_N),
        "confusion": _confusion(labels_N, predicted_N, len(predictions.classes)),
        "by_points": _by_range(predictions.num_points, POINT_EDGES, right_N, predictions.instances),
        "by_distance": _by_range(predictions.distances_m, DISTANCE_EDGES_M, right_N, predictions.instances),
        "by_visibility": _by_level(predictions.visibilities, right_N, predictions.instances),
        "tracks": _tracks(predictions),
        "held_out": _held_out(predictions, right_N, excluded, excluded_from),
    }


def _overall(rank_N: NDArray[np.int64], labels_N: NDArray[np.int64], instances: list[str]) -> dict[str, Any]:
    """Top-1, 3 and 5, and the mean of the top-1 of each class, from the same draws of instances."""
    top_NK = np.stack([rank_N < k for k in (1, 3, 5)], axis=1).astype(np.float64)
    return _with_mean_class(("top1", "top3", "top5"), top_NK, labels_N, instances)


def _with_mean_class(
    names: Sequence[str], top_NK: NDArray[np.float64], labels_N: NDArray[np.int64], instances: Sequence[str]
) -> dict[str, Any]:
    """Accuracies of columns (N, K) by name, the first top-1, and its mean over classes, from the same draws."""
    present = np.unique(labels_N)
    # A column for each class, in which clouds of other classes do not count.
    of_class_NK = np.where(labels_N[:, None] == present, top_NK[:, :1], np.nan)
    bootstrap = Bootstrap.of(np.concatenate([top_NK, of_class_NK], axis=1), instances)
    numbers = {name: bootstrap.estimate(column).as_json() for column, name in enumerate(names)}
    classes = range(len(names), len(names) + len(present))
    return numbers | {"mean_class": bootstrap.mean(classes).as_json()}


def _per_class(
    predictions: BenchmarkPredictions, right_N: NDArray[np.float64], counts_C: NDArray[np.int64]
) -> list[dict[str, Any]]:
    instances = np.asarray(predictions.instances, object)
    rows = []
    for label in np.flatnonzero(counts_C):
        chosen = predictions.labels_N == label
        rows.append(
            {
                "class_name": predictions.classes[label],
                "clouds": int(counts_C[label]),
                "instances": len(set(instances[chosen])),
                "top1": _accuracy(right_N, predictions.instances, chosen),
            }
        )
    return rows


def _by_frequency(predictions: BenchmarkPredictions, right_N: NDArray[np.float64]) -> list[dict[str, Any]] | None:
    """Accuracy on frequent and on rare classes, classified among all of them; None where none is called rare."""
    if not predictions.rare:
        return None
    is_rare_N = np.isin(predictions.classes, predictions.rare)[predictions.labels_N]
    rows = []
    for name, chosen in (("frequent", ~is_rare_N), ("rare", is_rare_N)):
        if chosen.any():
            instances = list(itertools.compress(predictions.instances, chosen))
            present = np.unique(predictions.labels_N[chosen]).tolist()
            classes = [predictions.classes[label] for label in present]
            about = {"name": name, "classes": classes, "clouds": len(instances), "instances": len(set(instances))}
            top_NK, labels_N = right_N[chosen, None], predictions.labels_N[chosen]
            rows.append(about | _with_mean_class(("top1",), top_NK, labels_N, instances))
    return rows


def _confusion(labels_N: NDArray[np.int64], predicted_N: NDArray[np.int64], classes: int) -> list[list[int]]:
    """Clouds by true class (rows) and predicted class (columns)."""
    counts = np.bincount(labels_N * classes + predicted_N, minlength=classes * classes)
    return counts.reshape(classes, classes).tolist()


def _by_range(
    values_N: NDArray[Any], edges: Sequence[float], right_N: NDArray[np.float64], instances: list[str]
) -> list[dict[str, Any]]:
    """Accuracy between neighbouring edges, the upper one excluded, and from the last one on; empty where unknown."""
    rows = []
    for begin, end in zip(edges, [*edges[1:], None], strict=True):
        chosen = (values_N >= begin) & (values_N < (np.inf if end is None else end))
        rows += _condition(begin, end, chosen, right_N, instances)
    return rows


def _by_level(
    values_N: NDArray[np.float64], right_N: NDArray[np.float64], instances: list[str]
) -> list[dict[str, Any]]:
    return [row for level in VISIBILITIES for row in _condition(level, level, values_N == level, right_N, instances)]


def _condition(
    begin: float, end: float | None, chosen: NDArray[np.bool_], right_N: NDArray[np.float64], instances: list[str]
) -> list[dict[str, Any]]:
    """The row of a condition and its `chosen` clouds (N,); none where it has no cloud."""
    if not chosen.any():
        return []
    top1 = _accuracy(right_N, instances, chosen)
    return [{"from": begin, "to": end, "clouds": int(chosen.sum()), "top1": top1}]


def _accuracy(right_N: NDArray[np.float64], instances: Sequence[str], chosen: NDArray[np.bool_]) -> dict[str, float]:
    """Share of the `chosen` clouds (N,) that are right, with its interval."""
    names = [name for name, counts in zip(instances, chosen, strict=True) if counts]
    return Bootstrap.of(right_N[chosen][:, None], names).estimate(0).as_json()


def _held_out(
    predictions: BenchmarkPredictions, right_N: NDArray[np.float64], excluded: Sequence[str], excluded_from: str
) -> dict[str, Any] | None:
    """Accuracy on classes that were left out of training and on the others, both classified among all classes."""
    unseen_C = np.isin(predictions.classes, list(excluded))
    unseen_N = unseen_C[predictions.labels_N]
    if not unseen_N.any():
        return None
    others = None if unseen_N.all() else _accuracy(right_N, predictions.instances, ~unseen_N)
    return {
        "classes": [name for name, unseen in zip(predictions.classes, unseen_C, strict=True) if unseen],
        "excluded_from": excluded_from,
        "clouds": int(unseen_N.sum()),
        "top1": _accuracy(right_N, predictions.instances, unseen_N),
        "others": others,
        "others_clouds": int((~unseen_N).sum()),
    }


def _tracks(predictions: BenchmarkPredictions) -> dict[str, Any] | None:
    """Accuracy on instances by the mean feature of their clouds; None where each instance has one cloud.

    For each number of clouds, the mean is over at most that many of an instance's clouds, spread evenly over time, so
    that every number is of the same instances.
    """
    names, first_I, instance_N = np.unique(
        np.asarray(predictions.instances, object).astype(str), return_index=True, return_inverse=True
    )
    sizes_I = np.bincount(instance_N)
    if sizes_I.max() == 1:
        return None
    order = np.lexsort((np.arange(len(instance_N)), predictions.timestamps_us, instance_N))
    runs = np.split(order, np.cumsum(sizes_I)[:-1])
    labels_I = predictions.labels_N[first_I]

    def top1(clouds: int) -> dict[str, float]:
        means = np.stack([predictions.features_ND[spread(run, clouds)].mean(axis=0) for run in runs])
        right_I = ranks(scores(unit(means, "tracks"), predictions.weights_CD), labels_I) == 0
        return Bootstrap.of(right_I[:, None].astype(np.float64), names.tolist()).estimate(0).as_json()

    counts = [k for k in _TRACK_CLOUDS if k < sizes_I.max()] + [int(sizes_I.max())]
    rows = [{"clouds": k, "tracks": int((sizes_I >= k).sum()), "top1": top1(k)} for k in counts]
    return {"tracks": len(names), "top1": rows[-1]["top1"], "by_clouds": rows}
