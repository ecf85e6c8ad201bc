"""Recall at k: how often an item that is relevant to a query is among the k nearest to it.

What is relevant is given as pairs, so that several images may share a text and an image may have several texts. Each
item with a relevant one is a query; all items of the other kind are candidates, also those that no query asks for. A
query is a hit when at least one of its relevant candidates is among the k best, where another candidate that scores as
high as the best relevant one comes before it. Recall at k is the share of hits.

Letters in names: Q queries, A candidates, P pairs, D width of the features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blendclip.evaluation.zero_shot import unit

_SCORES = 1 << 25  # held at a time: 128 MB


def recall(
    queries_QD: NDArray[np.floating],
    candidates_AD: NDArray[np.floating],
    pairs_P2: NDArray[np.int64],
    ks: Sequence[int] = (1, 5),
) -> dict[int, float]:
    """Recall at each of `ks`, 0 to 1, as the head of this file defines it.

    Args:
        queries_QD: features of the queries, of any length.
        candidates_AD: features of the candidates, of any length.
        pairs_P2: rows (query, candidate) of what is relevant; a pair that comes twice counts once.
        ks: numbers of nearest candidates.
    """
    rank = relevant_ranks(queries_QD, candidates_AD, pairs_P2)
    return {k: float((rank < k).mean()) for k in ks}


def relevant_ranks(
    queries_QD: NDArray[np.floating], candidates_AD: NDArray[np.floating], pairs_P2: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each query with a relevant candidate: how many others score at least as high as its best relevant one.

    Args:
        queries_QD: features of the queries, of any length.
        candidates_AD: features of the candidates, of any length.
        pairs_P2: rows (query, candidate) of what is relevant, at least one.
    """
    assert len(pairs_P2), "there is no recall where nothing is relevant"
    queries, candidates = unit(queries_QD, "queries"), unit(candidates_AD, "candidates")
    pairs = np.unique(np.asarray(pairs_P2, np.int64), axis=0)
    asked, starts = np.unique(pairs[:, 0], return_index=True)
    ends = np.append(starts[1:], len(pairs))
    ranks = np.empty(len(asked), np.int64)
    step = max(1, _SCORES // len(candidates))
    for begin in range(0, len(asked), step):
        chunk = slice(begin, begin + step)
        relevant = pairs[starts[chunk][0] : ends[chunk][-1], 1]
        ranks[chunk] = _ranks(queries[asked[chunk]] @ candidates.T, relevant, starts[chunk] - starts[chunk][0])
    return ranks


def distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct texts, sorted, and for each of `texts` its index there: equal captions are one candidate."""
    found, index = np.unique(np.array(texts, object).astype(str), return_inverse=True)
    return found.tolist(), index.astype(np.int64)


def _ranks(
    scores_QA: NDArray[np.float32], relevant_P: NDArray[np.int64], starts_Q: NDArray[np.int64]
) -> NDArray[np.int64]:
    """`relevant_ranks` of a chunk; those of query q are `relevant_P` from `starts_Q[q]` to the next start."""
    counts_Q = np.diff(np.append(starts_Q, len(relevant_P)))
    rows_P = np.repeat(np.arange(len(scores_QA)), counts_Q)
    relevant_scores_P = scores_QA[rows_P, relevant_P]
    best_Q = np.maximum.reduceat(relevant_scores_P, starts_Q)
    # Relevant candidates that score as high as the best one are no others.
    relevant_Q = np.add.reduceat((relevant_scores_P >= best_Q[rows_P]).astype(np.int64), starts_Q)
    return (scores_QA >= best_Q[:, None]).sum(axis=1) - relevant_Q
