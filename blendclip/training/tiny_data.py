"""What the tiny CLIP learns from: images in memory, and batches that are a function of (seed, step).

Letters in names: V views, B of a batch, S pixels of a side as stored, P pixels of a side as the model takes them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from blendclip.errors import UserError
from blendclip.evaluation.captioned_views import captioned_views

FILL = 128
"""Grey around an image that is not square."""
UNKNOWN = "unknown"
"""Stands for words left out of a template in training, and later for all words that training never saw."""
_SIDES = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}


@dataclass(frozen=True)
class TrainingViews:
    """V views to train on, decoded once."""

    images_V3SS: Tensor
    """uint8 on the CPU, the longer side filling the square."""
    captions: list[str]
    instances_V: NDArray[np.int64]
    """Number of the object."""
    groups_V: NDArray[np.int64]
    """Number of the class, or category where it has none, within its dataset: what sampling balances."""
    classes_V: NDArray[np.int64]
    """Number of the class, -1 where it has none."""
    counts: dict[str, int]
    """Views by dataset/split."""


@dataclass(frozen=True)
class TinyBatch:
    """B views with a text for each."""

    views_B: NDArray[np.int64]
    """Rows of `TrainingViews`."""
    flipped_B: NDArray[np.bool_]
    """Whether left and right are swapped in the image."""
    texts: list[str]
    """A caption, or a word of the class in a template."""
    right_BB: Tensor
    """bool: whether the text (column) describes the image (row)."""
    unsure_BB: Tensor
    """bool: whether that is unknown, as for the caption of another view of the same object."""


def read_training_views(
    results: Path,
    splits: Sequence[tuple[str, str]],
    names: Mapping[str, str],
    words: Mapping[str, list[str]],
    side: int,
) -> TrainingViews:
    """The captioned views of some splits.

    Args:
        results: the results folder.
        splits: dataset and split of each, none of them held out.
        names: name among `words` of each class, by its name in a dataset.
        words: words of each class, whose order numbers the classes.
        side: pixels of a side of the stored images.

    Raises:
        UserError: a split has no views, or none with a caption.
    """
    images: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    instances: list[tuple[str, str]] = []
    groups: list[tuple[str, str]] = []
    classes: list[int] = []
    counts: dict[str, int] = {}
    numbers = {name: number for number, name in enumerate(words)}
    for dataset, split in splits:
        before = len(captions)
        for part in captioned_views(results, dataset, split):
            kept = {row: caption for row, caption in enumerate(part.captions) if caption}
            captions.extend(kept.values())
            images.extend(squared(part.jpegs[row], side) for row in kept)
            instances.extend((dataset, part.instances[row]) for row in kept)
            groups.extend((dataset, part.class_names[row] or part.categories[row] or "") for row in kept)
            classes.extend(numbers.get(names.get(part.class_names[row] or "", ""), -1) for row in kept)
        counts[f"{dataset}/{split}"] = len(captions) - before
        if len(captions) == before:
            raise UserError(f"no view of {dataset}/{split} in {results} has a caption: caption them first")
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return TrainingViews(stacked, captions, _numbered(instances), _numbered(groups), np.array(classes), counts)


def squared(jpeg: bytes, side: int) -> NDArray[np.uint8]:
    """An image (side, side, 3) in a grey square, as open_clip's resize mode `longest` makes it."""
    from open_clip.transform import CenterCropOrPad, ResizeKeepRatio

    with Image.open(io.BytesIO(jpeg)) as image:
        resized = ResizeKeepRatio(side, longest=1)(image.convert("RGB"))
    return np.asarray(CenterCropOrPad(side, fill=FILL)(resized))


def mirrored(caption: str) -> str:
    """The caption of the same image with left and right swapped."""
    return re.sub(r"\b(?:left|right)\b", lambda found: _SIDES[found[0]], caption, flags=re.IGNORECASE)


def sampling_weights(groups_V: NDArray) -> NDArray[np.float64]:
    """(V,) probability to draw each view: a group of n views is drawn in proportion to the square root of n."""
    sizes_V = np.bincount(groups_V)[groups_V]
    weights_V = sizes_V**-0.5
    return weights_V / weights_V.sum()


def batch_of(
    views: TrainingViews,
    words: Mapping[str, list[str]],
    templates: Sequence[str],
    size: int,
    class_share: float,
    unknown_share: float,
    seed: tuple[int, int],
) -> TinyBatch:
    """The batch of a seed: views balanced over groups, about half of them mirrored, each with a text.

    Args:
        views: to draw from.
        words: words of each class, whose order numbers the classes.
        templates: texts with a `{}` for a word.
        size: B.
        class_share: share of the views with a class whose text is a word of it in a template, not the caption.
        unknown_share: share of a template's own words that are left out.
        seed: of the run, and the step.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(views.captions), size, p=sampling_weights(views.groups_V))
    flipped, classes = rng.random(size) < 0.5, views.classes_V[chosen]
    of_class = (rng.random(size) < class_share) & (classes >= 0)
    captions = [
        mirrored(views.captions[v]) if flip else views.captions[v] for v, flip in zip(chosen, flipped, strict=True)
    ]
    lists = list(words.values())
    texts = [
        _prompt(templates, lists[number], unknown_share, rng) if prompted else caption
        for caption, number, prompted in zip(captions, classes, of_class, strict=True)
    ]
    numbers = _numbered([*captions, *texts])
    same = numbers[:size, None] == numbers[None, size:]
    right = same | ((classes[:, None] == classes[None, :]) & of_class[None, :])
    unsure = (views.instances_V[chosen][:, None] == views.instances_V[chosen][None, :]) & ~right
    return TinyBatch(chosen, flipped, texts, torch.from_numpy(right), torch.from_numpy(unsure))


def augmented_images(images_B3SS: Tensor, flipped_B: NDArray[np.bool_], side: int, seed: tuple[int, int]) -> Tensor:
    """Images (B, 3, P, P), 0 to 1: some mirrored, all shifted, stretched and lit a little differently.

    Colours keep their hue, since captions name them.

    Args:
        images_B3SS: uint8.
        flipped_B: which to mirror.
        side: P.
        seed: of the run, and the step.
    """
    rng = np.random.default_rng((*seed, 1))
    count, fill = len(images_B3SS), FILL / 255
    zoom = 1 / rng.uniform(0.75, 1.1, (count, 1)) * np.exp(rng.uniform(-0.1, 0.1, (count, 2)))
    theta = np.zeros((count, 2, 3), np.float32)
    theta[:, 0, 0] = zoom[:, 0] * np.where(flipped_B, -1, 1)
    theta[:, 1, 1] = zoom[:, 1]
    theta[:, 0, 1], theta[:, 1, 0] = rng.uniform(-0.1, 0.1, (2, count))
    theta[:, :, 2] = rng.uniform(-0.12, 0.12, (count, 2))
    device = images_B3SS.device
    images = images_B3SS.float() / 255 - fill
    grid = torch.nn.functional.affine_grid(
        torch.from_numpy(theta).to(device), [count, 3, side, side], align_corners=False
    )
    moved = torch.nn.functional.grid_sample(images, grid, align_corners=False) + fill
    light, contrast = (
        torch.from_numpy(rng.uniform(low, 2 - low, (count, 1, 1, 1)).astype(np.float32)).to(device)
        for low in (0.8, 0.75)
    )
    mean = moved.mean(dim=(1, 2, 3), keepdim=True)
    return (((moved - mean) * contrast + mean) * light).clamp(0, 1)


def _prompt(templates: Sequence[str], words: Sequence[str], unknown_share: float, rng: np.random.Generator) -> str:
    """A random word in a random template, of whose own words a share is replaced by `UNKNOWN`."""
    template = templates[rng.integers(len(templates))].split(" ")
    kept = [part if "{}" in part or rng.random() >= unknown_share else UNKNOWN for part in template]
    return " ".join(kept).replace("{}", words[rng.integers(len(words))])


def _numbered(values: Sequence[object]) -> NDArray[np.int64]:
    """A number for each value, equal for equal values, in the order of their first appearance."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)
