"""Accuracies against scikit-learn and against cases that fit on a hand."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from blendclip.evaluation.metrics import mean_class_accuracy, per_class_accuracy, ranks, top_k_accuracy

SCORES = np.array([[0.9, 0.5, 0.1], [0.2, 0.3, 0.1], [0.6, 0.5, 0.4], [0.1, 0.2, 0.3]])
LABELS = np.array([0, 0, 2, 2])


def test_by_hand():
    assert ranks(SCORES, LABELS).tolist() == [0, 1, 2, 0]
    assert [top_k_accuracy(SCORES, LABELS, k) for k in (1, 2, 3)] == [0.5, 0.75, 1.0]
    assert per_class_accuracy(SCORES, LABELS, ["a", "b", "c"]) == {"a": (0.5, 2), "c": (0.5, 2)}
    assert mean_class_accuracy(SCORES, LABELS) == 0.5


def test_the_mean_is_over_classes_not_samples():
    scores = np.eye(2)[[0, 0, 0, 0]]
    labels = np.array([0, 0, 0, 1])
    assert top_k_accuracy(scores, labels) == 0.75
    assert mean_class_accuracy(scores, labels) == 0.5


def test_a_tie_counts_against():
    assert top_k_accuracy(np.zeros((5, 3)), np.array([0, 1, 2, 0, 1]), 2) == 0.0
    assert top_k_accuracy(np.zeros((5, 3)), np.array([0, 1, 2, 0, 1]), 3) == 1.0


@pytest.mark.parametrize("k", [1, 2, 5])
def test_as_scikit_learn_has_it(k):
    rng = np.random.default_rng(3)
    scores, labels = rng.normal(size=(200, 7)), rng.integers(0, 7, 200)
    assert top_k_accuracy(scores, labels, k) == pytest.approx(top_k_accuracy_score(labels, scores, k=k))
    predicted = scores.argmax(axis=1)
    assert mean_class_accuracy(scores, labels) == pytest.approx(balanced_accuracy_score(labels, predicted))


def test_scores_that_are_no_numbers_are_never_an_accuracy():
    with pytest.raises(AssertionError):
        top_k_accuracy(np.array([[np.nan, 1.0]]), np.array([0]))
    with pytest.raises(AssertionError):
        top_k_accuracy(np.zeros((0, 3)), np.zeros(0, int))
