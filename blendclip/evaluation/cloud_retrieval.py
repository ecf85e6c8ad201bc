"""Retrieval of clouds by caption and by image: recall on held-out triplets.

Letters in names: T triplets, N encoded clouds, D width of the features.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blendclip.evaluation.bootstrap import Bootstrap
from blendclip.evaluation.retrieval import distinct, relevant_ranks

log = logging.getLogger(__name__)

_KS = (1, 5, 10)


@dataclass(frozen=True)
class HeldOutTriplets:
    """Triplets of a split that no run was trained on, with the frozen CLIP's features of image and caption."""

    cloud_ids: list[str]
    """Names of the clouds in benchmarks."""
    instances: NDArray[np.int64]
    """(T,) a number for each instance."""
    captions: list[str]
    images_TD: NDArray[np.float16]
    """Features of the images."""
    texts_TD: NDArray[np.float16]
    """Features of the captions."""


def cloud_retrieval(
    triplets: HeldOutTriplets, cloud_ids: list[str], features_ND: NDArray[np.float32]
) -> dict[str, Any] | None:
    """Recall at 1, 5 and 10 with intervals, among the clouds that have a triplet; None, and a warning, where none has.

    For a caption, each cloud with exactly that caption is relevant, and equal captions are one query. For the image of
    a triplet, each cloud of its instance is relevant.

    Args:
        triplets: of the dataset and split of the clouds.
        cloud_ids: names of the encoded clouds.
        features_ND: features of the encoded clouds.
    """
    index = {cloud: row for row, cloud in enumerate(cloud_ids)}
    chosen = [row for row, cloud in enumerate(triplets.cloud_ids) if cloud in index]
    if not chosen:
        log.warning("no cloud of the benchmark has a triplet, so none is retrieved by caption or image")
        return None
    clouds_TD = features_ND[[index[triplets.cloud_ids[row]] for row in chosen]]
    texts, text_T = distinct([triplets.captions[row] for row in chosen])
    first_of_text = np.unique(text_T, return_index=True)[1]
    queries_QD = triplets.texts_TD[chosen][first_of_text].astype(np.float32)
    by_text_Q = relevant_ranks(queries_QD, clouds_TD, np.stack([text_T, np.arange(len(chosen))], axis=1))
    images_TD, instances_T = triplets.images_TD[chosen].astype(np.float32), triplets.instances[chosen]
    by_image_T = relevant_ranks(images_TD, clouds_TD, _same(instances_T))
    return {
        "text_to_cloud": _recalls(by_text_Q, texts),
        "image_to_cloud": _recalls(by_image_T, instances_T.astype(str).tolist()),
        "clouds": len(chosen),
        "texts": len(texts),
    }


def _recalls(ranks_Q: NDArray[np.int64], askers: list[str]) -> dict[str, Any]:
    """Recall at each k, with its interval over askers: those of Q queries that are alike have the same."""
    bootstrap = Bootstrap.of(np.stack([ranks_Q < k for k in _KS], axis=1).astype(np.float64), askers)
    return {str(k): bootstrap.estimate(column).as_json() for column, k in enumerate(_KS)}


def _same(instances_T: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P, 2) all pairs of rows with the same instance, a row with itself included."""
    order = np.argsort(instances_T, kind="stable")
    runs = np.split(order, np.flatnonzero(np.diff(instances_T[order])) + 1)
    pairs = [np.stack(np.meshgrid(run, run, indexing="ij"), axis=-1).reshape(-1, 2) for run in runs]
    return np.concatenate(pairs)
