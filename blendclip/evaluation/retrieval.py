"""Recall at k: asked with an item of one kind, how often is a right one of the other kind among the k nearest?

What is right is given as pairs, so that several pictures may share a text and a picture may have several texts. A
question is asked once for each item that has a right answer; all items of the other kind are candidates, also those
that answer nothing. It is a hit when at least one of its right answers is among the k best, where a wrong candidate
that scores as high as the best right one comes before it. Recall at k is the share of hits.

Letters in names: Q questions, A candidate answers, P pairs, D width of the features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blendclip.evaluation.zero_shot import unit

_SCORES = 1 << 25  # held at a time: 128 MB


def recall(
    questions_QD: NDArray, answers_AD: NDArray, pairs_P2: NDArray, ks: Sequence[int] = (1, 5)
) -> dict[int, float]:
    """Recall at each k, 0 to 1, as the head of this file defines it.

    Args:
        questions_QD: features of what is asked with, of any length.
        answers_AD: features of what is to be found.
        pairs_P2: rows (question, answer) of what is right; a pair that stands twice counts once.
        ks: how many answers are looked at.
    """
    rank = right_ranks(questions_QD, answers_AD, pairs_P2)
    return {k: float((rank < k).mean()) for k in ks}


def right_ranks(questions_QD: NDArray, answers_AD: NDArray, pairs_P2: NDArray) -> NDArray[np.int64]:
    """For each question that has a right answer: how many wrong ones score at least as high as its best right one."""
    assert len(pairs_P2), "there is no recall where nothing is right"
    questions, answers = unit(questions_QD, "questions"), unit(answers_AD, "answers")
    pairs = np.unique(np.asarray(pairs_P2, np.int64), axis=0)
    asked, starts = np.unique(pairs[:, 0], return_index=True)
    ends = np.append(starts[1:], len(pairs))
    ranks = np.empty(len(asked), np.int64)
    step = max(1, _SCORES // len(answers))
    for begin in range(0, len(asked), step):
        chunk = slice(begin, begin + step)
        right = pairs[starts[chunk][0] : ends[chunk][-1], 1]
        ranks[chunk] = _ranks(questions[asked[chunk]] @ answers.T, right, starts[chunk] - starts[chunk][0])
    return ranks


def distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The different ones among texts, sorted, and for each text its place there: equal captions are one candidate."""
    found, places = np.unique(np.array(texts, object).astype(str), return_inverse=True)
    return found.tolist(), places.astype(np.int64)


def _ranks(scores_QA: NDArray, right_P: NDArray, starts_Q: NDArray) -> NDArray[np.int64]:
    """`right_ranks` of a chunk, whose right answers are runs of `right_P` from `starts_Q` on."""
    counts_Q = np.diff(np.append(starts_Q, len(right_P)))
    rows_P = np.repeat(np.arange(len(scores_QA)), counts_Q)
    right_scores_P = scores_QA[rows_P, right_P]
    best_Q = np.maximum.reduceat(right_scores_P, starts_Q)
    not_right_Q = np.add.reduceat((right_scores_P >= best_Q[rows_P]).astype(np.int64), starts_Q)
    return (scores_QA >= best_Q[:, None]).sum(axis=1) - not_right_Q
