"""Zero-shot classification: text describes the classes, and a sample belongs to the one it is nearest to.

Letters in names: C classes, D width of the features, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from blendclip.errors import UserError
from blendclip.evaluation.prompts import filled

EmbedTexts = Callable[[list[str]], NDArray]
"""A text encoder: takes n texts, gives features (n, D)."""


def classifier(
    embed_texts: EmbedTexts, classes: Mapping[str, Sequence[str]], templates: Sequence[str]
) -> NDArray[np.float32]:
    """Text weights (C, D) of classes, of unit length, in the order of `classes`.

    The weight of a class is the mean of the unit features of all its words in all templates, as CLIP's authors make it
    (Radford et al. 2021, arXiv 2103.00020, section 3.1.4), with several words for a class.

    Args:
        embed_texts: the text encoder of a CLIP.
        classes: words by class name.
        templates: texts with a `{}` for a word.
    """
    texts = [[filled(template, word) for word in words for template in templates] for words in classes.values()]
    features = unit(np.asarray(embed_texts([text for group in texts for text in group])), "texts of classes")
    ends = np.cumsum([len(group) for group in texts])
    means = [group.mean(axis=0) for group in np.split(features, ends[:-1])]
    return unit(np.stack(means), "classes")


def scores(features_ND: NDArray[np.floating], weights_CD: NDArray[np.floating]) -> NDArray[np.float32]:
    """Cosines (N, C) of samples and classes."""
    return unit(features_ND, "samples") @ unit(weights_CD, "classes").T


def unit(features_ND: NDArray[np.floating], what: str = "samples") -> NDArray[np.float32]:
    """Features (N, D) of unit length in float32.

    Args:
        features_ND: of any length and float type.
        what: has these features, for the error.

    Raises:
        UserError: a feature is zero or not finite, so that it has no direction.
    """
    features = np.asarray(features_ND, np.float32)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    if bad := int((~np.isfinite(length) | (length == 0)).sum()):
        raise UserError(f"{bad} of {len(features)} features of {what} are zero or not finite: look at the model")
    return features / length
