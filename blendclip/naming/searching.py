"""Finding clouds by what they are near to: the embedding of a text, an image or another cloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blendclip.errors import UserError
from blendclip.evaluation.zero_shot import unit


@dataclass(frozen=True)
class Hits:
    """For each of Q queries its k nearest embeddings, nearest first."""

    rows: NDArray[np.int64]
    """(Q, k) rows of the embeddings."""
    scores: NDArray[np.float32]
    """(Q, k) their cosines to the query."""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[list[tuple[int, float]]]:
        """The hits of each query as pairs of row and cosine."""
        for rows, scores in zip(self.rows.tolist(), self.scores.tolist(), strict=True):
            yield list(zip(rows, scores, strict=True))


def search(embeddings: ArrayLike, queries: ArrayLike, k: int = 10) -> Hits:
    """The k embeddings (N, D) with the highest cosine to each of the queries (Q, D); of equals the earlier ones.

    Rows of NaN, which stand for empty clouds, are never found; there are fewer than `k` hits where fewer are left.

    Raises:
        UserError: shapes do not fit, no embedding is left, or a query has no direction.
    """
    rows_ND, asked_QD = (_matrix(given, what) for given, what in ((embeddings, "embeddings"), (queries, "queries")))
    if rows_ND.shape[1] != asked_QD.shape[1]:
        raise UserError(
            f"the embeddings have width {rows_ND.shape[1]} and the queries {asked_QD.shape[1]}: "
            "make both with the same model"
        )
    if k < 1:
        raise UserError(f"k is {k}: ask for at least 1 hit")
    there = np.flatnonzero(~np.isnan(rows_ND).any(axis=1))
    if not len(there):
        raise UserError("there is no embedding to search: all of them are of empty clouds")
    scores_QN = unit(asked_QD, "queries") @ unit(rows_ND[there], "clouds").T
    best_Qk = np.argsort(-scores_QN, axis=1, kind="stable")[:, :k]
    return Hits(there[best_Qk], np.take_along_axis(scores_QN, best_Qk, axis=1))


def _matrix(given: ArrayLike, what: str) -> NDArray[np.float32]:
    array = np.asarray(given, np.float32)
    if array.ndim != 2 or not len(array):
        raise UserError(f"the {what} have shape {array.shape}: give (number, width), at least one")
    return array
