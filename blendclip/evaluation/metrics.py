"""Accuracies of scores: numpy in, numbers out.

A tie counts as wrong: a class that scores as high as the right one beats it, so that equal scores everywhere are worth
nothing. Letters in names: N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def ranks(scores_NC: NDArray[np.floating], labels_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) number of wrong classes that score at least as high as the right one: 0 where the right one wins."""
    assert len(scores_NC) == len(labels_N) and np.isfinite(scores_NC).all(), "a finite score for each sample and class"
    right_N1 = np.take_along_axis(scores_NC, labels_N[:, None].astype(np.int64), axis=1)
    return (scores_NC >= right_N1).sum(axis=1) - 1


def top_k_accuracy(scores_NC: NDArray[np.floating], labels_N: NDArray[np.int64], k: int = 1) -> float:
    """Share of samples, 0 to 1, whose class is among the `k` that score highest."""
    assert len(labels_N), "there is no accuracy of no samples"
    return float((ranks(scores_NC, labels_N) < k).mean())


def per_class_accuracy(
    scores_NC: NDArray[np.floating], labels_N: NDArray[np.int64], names: Sequence[str]
) -> dict[str, tuple[float, int]]:
    """Top-1 accuracy and number of samples of each class that has samples, in the order of `names` (C)."""
    right_N = ranks(scores_NC, labels_N) == 0
    counts_C = np.bincount(labels_N, minlength=len(names))
    right_C = np.bincount(labels_N, weights=right_N, minlength=len(names))
    return {
        name: (float(right / count), int(count))
        for name, right, count in zip(names, right_C, counts_C, strict=True)
        if count
    }


def mean_class_accuracy(scores_NC: NDArray[np.floating], labels_N: NDArray[np.int64]) -> float:
    """Mean of the top-1 accuracies of the classes that have samples, 0 to 1."""
    names = [str(index) for index in range(scores_NC.shape[1])]
    return float(np.mean([accuracy for accuracy, _ in per_class_accuracy(scores_NC, labels_N, names).values()]))
