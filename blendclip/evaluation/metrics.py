"""How well scores tell classes: numpy in, numbers out.

Letters in names: N samples, C classes. A tie counts against: a class that scores as high as the right one beats it, so
that equal scores everywhere are worth nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def ranks(scores_NC: NDArray, labels_N: NDArray) -> NDArray[np.int64]:
    """How many wrong classes score at least as high as the right one: 0 where the right one wins."""
    assert len(scores_NC) == len(labels_N) and np.isfinite(scores_NC).all(), "a finite score for each sample and class"
    right_N1 = np.take_along_axis(scores_NC, labels_N[:, None].astype(np.int64), axis=1)
    return (scores_NC >= right_N1).sum(axis=1) - 1


def top_k_accuracy(scores_NC: NDArray, labels_N: NDArray, k: int = 1) -> float:
    """Share of samples whose class is among the k that score highest, 0 to 1."""
    assert len(labels_N), "there is no accuracy of no samples"
    return float((ranks(scores_NC, labels_N) < k).mean())


def per_class_accuracy(scores_NC: NDArray, labels_N: NDArray, names: Sequence[str]) -> dict[str, tuple[float, int]]:
    """Top-1 accuracy and number of samples of each class that has any, in the order of `names` (C)."""
    right_N = ranks(scores_NC, labels_N) == 0
    counts_C = np.bincount(labels_N, minlength=len(names))
    right_C = np.bincount(labels_N, weights=right_N, minlength=len(names))
    return {
        name: (float(right / count), int(count))
        for name, right, count in zip(names, right_C, counts_C, strict=True)
        if count
    }


def mean_class_accuracy(scores_NC: NDArray, labels_N: NDArray) -> float:
    """Mean over the classes that have samples of their top-1 accuracy, 0 to 1."""
    names = [str(index) for index in range(scores_NC.shape[1])]
    return float(np.mean([accuracy for accuracy, _ in per_class_accuracy(scores_NC, labels_N, names).values()]))
