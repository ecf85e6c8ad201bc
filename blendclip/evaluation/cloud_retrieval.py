"""Finding clouds by text and by picture: recall on held-out triplets.

Letters in names: T triplets, D width of the features.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blendclip.evaluation.retrieval import distinct, recall

log = logging.getLogger(__name__)

_KS = (1, 5, 10)


@dataclass(frozen=True)
class HeldOutTriplets:
    """Triplets with the frozen CLIP's features of picture and caption."""

    cloud_ids: list[str]
    """As a benchmark names the clouds."""
    instances: NDArray[np.int64]
    captions: list[str]
    images_TD: NDArray
    texts_TD: NDArray


def cloud_retrieval(triplets: HeldOutTriplets, cloud_ids: list[str], features_ND: NDArray) -> dict[str, Any] | None:
    """Recall at 1, 5 and 10 among the clouds that have a triplet; None, and a warning, where none has.

    Asked with a caption, each cloud with just that caption is right, and equal captions are one question. Asked with
    the picture of a triplet, each cloud of its instance is right.

    Args:
        triplets: of the same dataset and split.
        cloud_ids: of the encoded clouds.
        features_ND: of the encoded clouds.
    """
    places = {cloud: place for place, cloud in enumerate(cloud_ids)}
    chosen = [row for row, cloud in enumerate(triplets.cloud_ids) if cloud in places]
    if not chosen:
        log.warning("no cloud of the benchmark has a triplet, so none is searched for by caption or picture")
        return None
    clouds_TD = features_ND[[places[triplets.cloud_ids[row]] for row in chosen]]
    texts, text_T = distinct([triplets.captions[row] for row in chosen])
    first_of_text = np.unique(text_T, return_index=True)[1]
    asked_TD = triplets.texts_TD[chosen][first_of_text].astype(np.float32)
    by_text = recall(asked_TD, clouds_TD, np.stack([text_T, np.arange(len(chosen))], axis=1), _KS)
    images_TD = triplets.images_TD[chosen].astype(np.float32)
    by_image = recall(images_TD, clouds_TD, _same(triplets.instances[chosen]), _KS)
    return {
        "text_to_cloud": {str(k): value for k, value in by_text.items()},
        "image_to_cloud": {str(k): value for k, value in by_image.items()},
        "clouds": len(chosen),
        "texts": len(texts),
    }


def _same(instances_T: NDArray) -> NDArray[np.int64]:
    """All pairs of places with one instance."""
    order = np.argsort(instances_T, kind="stable")
    runs = np.split(order, np.flatnonzero(np.diff(instances_T[order])) + 1)
    pairs = [np.stack(np.meshgrid(run, run, indexing="ij"), axis=-1).reshape(-1, 2) for run in runs]
    return np.concatenate(pairs)
