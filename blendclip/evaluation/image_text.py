"""How well a CLIP knows the views that training aligns to: zero-shot accuracy, and retrieval of captions both ways.

Letters in names: N views, B of a batch, H and W pixels of a side, C classes, D width of the features.
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

_IMAGES_AT_ONCE = 128
# Numbers of a split, and the headings of their columns in the table.
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


class ImageTextModel(Protocol):
    """What is evaluated, such as `blendclip.encoders.clip.Clip`."""

    def prepared(self, image: Image.Image) -> Tensor:
        """An image as (H, W, 3) uint8, of the size that the model takes."""

    def embed_images(self, pixels_BHW3: Tensor) -> Tensor:
        """(B, D) features of prepared images."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(B, D) features of texts."""


@dataclass(frozen=True)
class _EmbeddedViews:
    """Views of one or several splits."""

    features_ND: NDArray[np.float32]
    """Features of their images."""
    labels_N: NDArray[np.int64]
    """Number of the class among all classes, -1 where it has none."""
    captions: list[str | None]
    """None where a view was not captioned."""


def evaluate_image_text(
    clip: ImageTextModel,
    results: Path,
    splits: Sequence[tuple[str, str]],
    classes: MergedClasses,
    templates: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """Numbers for each dataset/split and, where there are several, for `all` of their views together.

    Views are classified among all classes, also those of other datasets; a view without one of the classes counts in
    retrieval only. Accuracies and recalls are 0 to 1.

    Args:
        clip: the model.
        results: folder with views and captions.
        splits: dataset and split of each set of views.
        classes: to choose from.
        templates: texts with a `{}` for the words of a class.

    Raises:
        UserError: a split has no views, none of a class, or none with a caption.
    """

    def embed_texts(texts: list[str]) -> NDArray:
        return clip.embed_texts(texts).cpu().numpy()

    weights_CD = classifier(embed_texts, classes.words, templates)
    embedded = {f"{dataset}/{split}": _split(clip, results, dataset, split, classes) for dataset, split in splits}
    for name, one in embedded.items():
        if not (one.labels_N >= 0).any():
            raise UserError(f"no view of {name} has one of the classes: name the file with its classes")
        if not any(one.captions):
            raise UserError(f"no view of {name} has a caption: caption them first")
    if len(embedded) > 1:
        embedded["all"] = _together(list(embedded.values()))
    return {name: _numbers(one, weights_CD, embed_texts) for name, one in embedded.items()}


def image_text_table(numbers: dict[str, dict[str, Any]], classes: int) -> str:
    """The numbers of `evaluate_image_text` among `classes` classes as a plain text table, shares in per cent."""
    rows = [["", *_COLUMNS.values()]]
    rows += [[name, *(_shown(one[column]) for column in _COLUMNS)] for name, one in numbers.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    about = f"per cent; zero-shot among {classes} classes, where those that share a word are one; recall of captions"
    return "\n".join([about, *lines])


def _split(clip: ImageTextModel, results: Path, dataset: str, split: str, classes: MergedClasses) -> _EmbeddedViews:
    return _together([_part(clip, part, classes) for part in captioned_views(results, dataset, split)])


def _part(clip: ImageTextModel, part: CaptionedViews, classes: MergedClasses) -> _EmbeddedViews:
    numbers = {name: number for number, name in enumerate(classes.words)}
    labels = [numbers[classes.names[name]] if name in classes.names else -1 for name in part.class_names]
    batches = [part.jpegs[begin : begin + _IMAGES_AT_ONCE] for begin in range(0, len(labels), _IMAGES_AT_ONCE)]
    features = [clip.embed_images(torch.stack([_prepared(clip, jpeg) for jpeg in batch])) for batch in batches]
    return _EmbeddedViews(torch.cat(features).cpu().numpy(), np.array(labels), part.captions)


def _prepared(clip: ImageTextModel, jpeg: bytes) -> Tensor:
    with Image.open(io.BytesIO(jpeg)) as image:
        return clip.prepared(image)


def _together(several: list[_EmbeddedViews]) -> _EmbeddedViews:
    return _EmbeddedViews(
        np.concatenate([one.features_ND for one in several]),
        np.concatenate([one.labels_N for one in several]),
        [caption for one in several for caption in one.captions],
    )


def _numbers(views: _EmbeddedViews, weights_CD: NDArray[np.float32], embed_texts: EmbedTexts) -> dict[str, Any]:
    """Zero-shot accuracy of the views with a class, and recall between all views and the captions."""
    labelled = views.labels_N >= 0
    scores_NC, labels_N = scores(views.features_ND[labelled], weights_CD), views.labels_N[labelled]
    captioned = {number: caption for number, caption in enumerate(views.captions) if caption}
    texts, text_of_view = distinct(list(captioned.values()))
    pairs = np.stack([np.array(list(captioned)), text_of_view], axis=1)
    text_features = embed_texts(texts)
    to_image = recall(text_features, views.features_ND, pairs[:, ::-1])
    to_text = recall(views.features_ND, text_features, pairs)
    return {
        "views": len(views.captions),
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
