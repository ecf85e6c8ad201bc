"""How well a CLIP knows the pictures that training aligns to: zero-shot classes, and retrieval of captions both ways.

Letters in names: N pictures, B of them at once, H and W pixels of a side, D width of the features.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from blendclip.errors import UserError
from blendclip.evaluation.captioned_views import CaptionedViews, captioned_views
from blendclip.evaluation.metrics import mean_class_accuracy, top_k_accuracy
from blendclip.evaluation.prompts import MergedClasses
from blendclip.evaluation.retrieval import distinct, recall
from blendclip.evaluation.zero_shot import EmbedTexts, classifier, scores

_PICTURES_AT_ONCE = 128
_COLUMNS = {
    "views": "views",
    "labelled": "in a class",
    "top1": "top-1",
    "top5": "top-5",
    "mean_class": "mean class",
    "texts": "texts",
    "text_to_image@1": "t->i @1",
    "text_to_image@5": "@5",
    "image_to_text@1": "i->t @1",
    "image_to_text@5": "@5",
}


class Clip(Protocol):
    """What is tested: see `blendclip.encoders.clip.Clip`."""

    def prepared(self, image: Image.Image) -> Tensor:
        """A picture as (H, W, 3) uint8."""

    def embed_images(self, pixels_BHW3: Tensor) -> Tensor:
        """(B, D) features of prepared pictures."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(B, D) features of texts."""


@dataclass(frozen=True)
class _Known:
    """Pictures of one or several splits."""

    features_ND: NDArray
    labels_N: NDArray[np.int64]
    """Place of the class, -1 where there is none."""
    captions: list[str | None]


def evaluate_image_text(
    clip: Clip,
    results: Path,
    splits: Sequence[tuple[str, str]],
    classes: MergedClasses,
    templates: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """Numbers for each dataset/split and, where there are several, for `all` of their pictures together.

    Pictures are told apart among all classes, also those of other datasets; a picture without one of the classes counts
    in retrieval only. Accuracies and recalls are 0 to 1.

    Raises:
        UserError: a split has no views, none of a class, or none with a caption.
    """

    def embed_texts(texts: list[str]) -> NDArray:
        return clip.embed_texts(texts).cpu().numpy()

    weights_CD = classifier(embed_texts, classes.words, templates)
    known = {f"{dataset}/{split}": _embedded(clip, results, dataset, split, classes) for dataset, split in splits}
    for name, one in known.items():
        if not (one.labels_N >= 0).any():
            raise UserError(f"no view of {name} has one of the classes: name the file with its classes")
        if not any(one.captions):
            raise UserError(f"no view of {name} has a caption: caption them first")
    if len(known) > 1:
        known["all"] = _together(list(known.values()))
    return {name: _numbers(one, weights_CD, embed_texts) for name, one in known.items()}


def as_text(numbers: dict[str, dict[str, Any]], classes: int) -> str:
    """The numbers of `evaluate_image_text` among so many classes as a table, per cent where they are shares."""
    rows = [["", *_COLUMNS.values()]]
    rows += [[name, *(_shown(one[column]) for column in _COLUMNS)] for name, one in numbers.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    about = f"per cent; zero-shot among {classes} classes, where those that share a word are one; recall of captions"
    return "\n".join([about, *lines])


def _embedded(clip: Clip, results: Path, dataset: str, split: str, classes: MergedClasses) -> _Known:
    return _together([_known(clip, part, classes) for part in captioned_views(results, dataset, split)])


def _known(clip: Clip, part: CaptionedViews, classes: MergedClasses) -> _Known:
    places = {name: place for place, name in enumerate(classes.words)}
    labels = [places[classes.names[name]] if name in classes.names else -1 for name in part.class_names]
    batches = [part.jpegs[begin : begin + _PICTURES_AT_ONCE] for begin in range(0, len(labels), _PICTURES_AT_ONCE)]
    features = [clip.embed_images(torch.stack([_prepared(clip, jpeg) for jpeg in batch])) for batch in batches]
    return _Known(torch.cat(features).cpu().numpy(), np.array(labels), part.captions)


def _prepared(clip: Clip, jpeg: bytes) -> Tensor:
    with Image.open(io.BytesIO(jpeg)) as image:
        return clip.prepared(image)


def _together(known: list[_Known]) -> _Known:
    return _Known(
        np.concatenate([one.features_ND for one in known]),
        np.concatenate([one.labels_N for one in known]),
        [caption for one in known for caption in one.captions],
    )


def _numbers(known: _Known, weights_CD: NDArray, embed_texts: EmbedTexts) -> dict[str, Any]:
    labelled = known.labels_N >= 0
    scores_NC, labels_N = scores(known.features_ND[labelled], weights_CD), known.labels_N[labelled]
    said = [number for number, caption in enumerate(known.captions) if caption]
    texts, places = distinct([known.captions[number] for number in said])
    pairs = np.stack([np.array(said), places], axis=1)
    text_features = embed_texts(texts)
    to_image = recall(text_features, known.features_ND, pairs[:, ::-1])
    to_text = recall(known.features_ND, text_features, pairs)
    return {
        "views": len(known.captions),
        "labelled": int(labelled.sum()),
        "top1": top_k_accuracy(scores_NC, labels_N, 1),
        "top5": top_k_accuracy(scores_NC, labels_N, 5),
        "mean_class": mean_class_accuracy(scores_NC, labels_N),
        "texts": len(texts),
        **{f"text_to_image@{k}": value for k, value in to_image.items()},
        **{f"image_to_text@{k}": value for k, value in to_text.items()},
    }


def _shown(value: float) -> str:
    return f"{100 * value:.1f}" if isinstance(value, float) else str(value)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *others = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join([name.strip().ljust(widths[0]), *others])
