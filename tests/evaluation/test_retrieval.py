"""Recall at k against a loop that does it word by word."""

import itertools

import numpy as np
import pytest

from blendclip.evaluation import retrieval
from blendclip.evaluation.retrieval import distinct, recall, relevant_ranks


def by_loop(queries, candidates, pairs, k):
    """Sort the candidates of each query, others before relevant ones among equals, and look at the first k."""
    hits = []
    for number, query in enumerate(queries):
        relevant = {candidate for asked, candidate in pairs if asked == number}
        if not relevant:
            continue
        cosine = [
            float(np.dot(query, candidate) / np.linalg.norm(query) / np.linalg.norm(candidate))
            for candidate in candidates
        ]
        order = sorted(range(len(candidates)), key=lambda a: (-cosine[a], a in relevant))
        hits.append(any(candidate in relevant for candidate in order[:k]))
    return sum(hits) / len(hits)


def test_a_shared_text_is_found_by_any_of_its_images():
    images = np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    texts, places = distinct(["a car", "a bus", "a car"])
    assert texts == ["a bus", "a car"] and places.tolist() == [1, 0, 1]
    features = np.array([[0.1, 0.9], [0.9, 0.5]])  # of bus, car
    pairs = np.array([[0, 1], [1, 0], [2, 1]])
    assert recall(features, images, pairs[:, ::-1], (1,)) == {1: 1.0}
    assert relevant_ranks(features, images, np.array([[1, 0]])).tolist() == [1]  # as if image 2 were no car


def test_an_image_with_several_texts_needs_one_of_them():
    image, texts = np.array([[1.0, 0.0]]), np.array([[1.0, 0.1], [1.0, 0.5], [0.0, 1.0]])
    assert relevant_ranks(image, texts, np.array([[0, 2], [0, 1]])).tolist() == [1]
    assert recall(image, texts, np.array([[0, 2], [0, 1]]), (1, 2)) == {1: 0.0, 2: 1.0}


def test_items_without_a_relevant_one_are_no_queries_but_stay_candidates():
    queries, candidates = np.eye(3), np.eye(3)
    assert recall(queries, candidates, np.array([[1, 1]]), (1,)) == {1: 1.0}
    assert relevant_ranks(queries, np.array([[1.0, 1, 0], [1, 0, 0]]), np.array([[0, 0]])).tolist() == [1]


def test_equal_features_are_worth_nothing():
    same = np.ones((6, 4))
    pairs = np.stack([np.arange(6)] * 2, axis=1)
    assert recall(same, same, pairs, (1, 5, 6)) == {1: 0.0, 5: 0.0, 6: 1.0}


@pytest.mark.parametrize("held", [1, 40, 1 << 25])
def test_as_a_loop_has_it_whatever_is_held_at_a_time(monkeypatch, held):
    monkeypatch.setattr(retrieval, "_SCORES", held)
    rng = np.random.default_rng(5)
    signs = np.array(list(itertools.product((-0.5, 0.5), repeat=4)))  # of unit length, with exact cosines, many equal
    queries, candidates = signs[rng.integers(0, 16, 30)], signs[rng.permutation(16)]
    pairs = np.stack([rng.integers(0, 30, 40), rng.integers(0, 16, 40)], axis=1)
    pairs = np.concatenate([pairs, [(q, int((candidates @ queries[q]).argmax())) for q in range(0, 30, 4)]])
    pairs = np.concatenate([pairs, pairs[:5]])
    expected = {k: by_loop(queries, candidates, pairs.tolist(), k) for k in (1, 5, 9)}
    assert recall(queries, candidates, pairs, (1, 5, 9)) == expected
    assert 0 < expected[1] < expected[5] < expected[9] < 1


def test_many_samples_as_a_loop_has_them():
    rng = np.random.default_rng(6)
    queries, candidates = rng.normal(size=(300, 8)), rng.normal(size=(200, 8))
    pairs = np.stack([rng.integers(0, 300, 500), rng.integers(0, 200, 500)], axis=1)
    assert recall(queries, candidates, pairs) == {k: by_loop(queries, candidates, pairs.tolist(), k) for k in (1, 5)}
