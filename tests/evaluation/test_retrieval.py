"""Recall at k against a loop that does it word by word."""

import itertools

import numpy as np
import pytest

from blendclip.evaluation import retrieval
from blendclip.evaluation.retrieval import distinct, recall, right_ranks


def by_loop(questions, answers, pairs, k):
    """Sort the candidates of each question, wrong before right among equals, and look at the first k."""
    hits = []
    for number, question in enumerate(questions):
        right = {answer for asked, answer in pairs if asked == number}
        if not right:
            continue
        cosine = [
            float(np.dot(question, answer) / np.linalg.norm(question) / np.linalg.norm(answer)) for answer in answers
        ]
        order = sorted(range(len(answers)), key=lambda a: (-cosine[a], a in right))
        hits.append(any(answer in right for answer in order[:k]))
    return sum(hits) / len(hits)


def test_a_shared_text_is_found_by_any_of_its_pictures():
    pictures = np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    texts, places = distinct(["a car", "a bus", "a car"])
    assert texts == ["a bus", "a car"] and places.tolist() == [1, 0, 1]
    features = np.array([[0.1, 0.9], [0.9, 0.5]])  # of bus, car
    pairs = np.array([[0, 1], [1, 0], [2, 1]])
    assert recall(features, pictures, pairs[:, ::-1], (1,)) == {1: 1.0}
    assert right_ranks(features, pictures, np.array([[1, 0]])).tolist() == [1]  # as if picture 2 were no car


def test_a_picture_with_several_texts_needs_one_of_them():
    picture, texts = np.array([[1.0, 0.0]]), np.array([[1.0, 0.1], [1.0, 0.5], [0.0, 1.0]])
    assert right_ranks(picture, texts, np.array([[0, 2], [0, 1]])).tolist() == [1]
    assert recall(picture, texts, np.array([[0, 2], [0, 1]]), (1, 2)) == {1: 0.0, 2: 1.0}


def test_questions_without_an_answer_are_not_asked_but_stay_candidates():
    questions, answers = np.eye(3), np.eye(3)
    assert recall(questions, answers, np.array([[1, 1]]), (1,)) == {1: 1.0}
    assert right_ranks(questions, np.array([[1.0, 1, 0], [1, 0, 0]]), np.array([[0, 0]])).tolist() == [1]


def test_equal_features_are_worth_nothing():
    same = np.ones((6, 4))
    pairs = np.stack([np.arange(6)] * 2, axis=1)
    assert recall(same, same, pairs, (1, 5, 6)) == {1: 0.0, 5: 0.0, 6: 1.0}


@pytest.mark.parametrize("held", [1, 40, 1 << 25])
def test_as_a_loop_has_it_whatever_is_held_at_a_time(monkeypatch, held):
    monkeypatch.setattr(retrieval, "_SCORES", held)
    rng = np.random.default_rng(5)
    signs = np.array(list(itertools.product((-0.5, 0.5), repeat=4)))  # of unit length, with exact cosines, many equal
    questions, answers = signs[rng.integers(0, 16, 30)], signs[rng.permutation(16)]
    pairs = np.stack([rng.integers(0, 30, 40), rng.integers(0, 16, 40)], axis=1)
    pairs = np.concatenate([pairs, [(q, int((answers @ questions[q]).argmax())) for q in range(0, 30, 4)]])
    pairs = np.concatenate([pairs, pairs[:5]])
    expected = {k: by_loop(questions, answers, pairs.tolist(), k) for k in (1, 5, 9)}
    assert recall(questions, answers, pairs, (1, 5, 9)) == expected
    assert 0 < expected[1] < expected[5] < expected[9] < 1


def test_many_samples_as_a_loop_has_them():
    rng = np.random.default_rng(6)
    questions, answers = rng.normal(size=(300, 8)), rng.normal(size=(200, 8))
    pairs = np.stack([rng.integers(0, 300, 500), rng.integers(0, 200, 500)], axis=1)
    assert recall(questions, answers, pairs) == {k: by_loop(questions, answers, pairs.tolist(), k) for k in (1, 5)}
