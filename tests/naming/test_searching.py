"""Nearest embeddings, against sorting by hand."""

import numpy as np

import blendclip


def test_hits_are_the_nearest_by_cosine_best_first():
    rng = np.random.default_rng(0)
    embeddings, queries = rng.normal(size=(50, 8)), rng.normal(size=(3, 8))
    hits = blendclip.search(embeddings, queries, k=5)
    for query, rows, scores in zip(queries, hits.rows, hits.scores, strict=True):
        cosines = [row @ query / np.linalg.norm(row) / np.linalg.norm(query) for row in embeddings]
        expected = sorted(range(50), key=lambda row: -cosines[row])[:5]
        assert rows.tolist() == expected
        np.testing.assert_allclose(scores, [cosines[row] for row in expected], atol=1e-6)
    assert [len(found) for found in hits] == [5, 5, 5] and next(iter(hits))[0][0] == hits.rows[0, 0]


def test_empty_clouds_are_never_found_and_equals_come_in_order():
    embeddings = np.array([[np.nan, np.nan], [1, 0], [0, 1], [2, 0]])
    hits = blendclip.search(embeddings, [[1, 0]], k=10)
    assert hits.rows.tolist() == [[1, 3, 2]]
    np.testing.assert_allclose(hits.scores, [[1, 1, 0]], atol=1e-6)
