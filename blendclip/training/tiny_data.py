"""What the tiny CLIP learns from: pictures in memory, and batches that are a function of (seed, step).

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
"""Grey around a picture that is not square."""
UNKNOWN = "unknown"
"""Stands in training for words left out of a template, later for all words that training never saw."""
_SIDES = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}


@dataclass(frozen=True)
class TrainingViews:
    """Views to train on, decoded once."""

    pictures_V3SS: Tensor
    """uint8 on the CPU, the longer side filling the square."""
    captions: list[str]
    instances_V: NDArray[np.int64]
    """Number of the object."""
    groups_V: NDArray[np.int64]
    """Number of the class, or category where it has none, within its dataset: what sampling balances."""
    classes_V: NDArray[np.int64]
    """Place of the class among the class names, -1 where it has none."""
    counts: dict[str, int]
    """Views by dataset/split."""


@dataclass(frozen=True)
class Batch:
    """Views with a text for each."""

    views_B: NDArray[np.int64]
    flipped_B: NDArray[np.bool_]
    texts: list[str]
    right_BB: Tensor
    """bool: whether the picture (row) is what the text (column) says."""
    unsure_BB: Tensor
    """bool: two views of one object, of which one's caption may or may not fit the other."""


def read_training_views(
    results: Path,
    splits: Sequence[tuple[str, str]],
    names: Mapping[str, str],
    words: Mapping[str, list[str]],
    side: int,
) -> TrainingViews:
    """The captioned views of these (dataset, split).

    Args:
        results: the results folder.
        splits: what to read; held-out splits do not belong here.
        names: name of a class in a dataset to its name among `words`.
        words: class names, whose order numbers them.
        side: pixels of a side of the stored pictures.

    Raises:
        UserError: a split has no views, or none with a caption.
    """
    pictures, captions, instances, groups, classes, counts = [], [], [], [], [], {}
    numbers = {name: number for number, name in enumerate(words)}
    for dataset, split in splits:
        before = len(captions)
        for part in captioned_views(results, dataset, split):
            kept = [i for i, caption in enumerate(part.captions) if caption]
            pictures.extend(square(part.jpegs[i], side) for i in kept)
            captions.extend(part.captions[i] for i in kept)
            instances.extend((dataset, part.instances[i]) for i in kept)
            groups.extend((dataset, part.class_names[i] or part.categories[i] or "") for i in kept)
            classes.extend(numbers.get(names.get(part.class_names[i], ""), -1) for i in kept)
        counts[f"{dataset}/{split}"] = len(captions) - before
        if len(captions) == before:
            raise UserError(f"no view of {dataset}/{split} in {results} has a caption: caption them first")
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return TrainingViews(stacked, captions, _numbered(instances), _numbered(groups), np.array(classes), counts)


def square(jpeg: bytes, side: int) -> NDArray[np.uint8]:
    """A picture (side, side, 3) in a grey square, as open_clip's resize mode `longest` makes it."""
    from open_clip.transform import CenterCropOrPad, ResizeKeepRatio

    with Image.open(io.BytesIO(jpeg)) as image:
        resized = ResizeKeepRatio(side, longest=1)(image.convert("RGB"))
    return np.asarray(CenterCropOrPad(side, fill=FILL)(resized))


def mirrored(caption: str) -> str:
    """What the caption says of a picture whose left and right were swapped."""
    return re.sub(r"\b(?:left|right)\b", lambda found: _SIDES[found[0]], caption, flags=re.IGNORECASE)


def sampling_weights(groups_V: NDArray) -> NDArray[np.float64]:
    """Probability of each view: a group of n views is drawn in proportion to the square root of n."""
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
) -> Batch:
    """The batch of a (seed, step): views balanced over groups, about half of them mirrored, each with a text.

    The text is the view's caption or, for `class_share` of the views with a class, a word of the class in a template,
    of which `unknown_share` of the other words are left out.
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
    says = numbers[:size, None] == numbers[None, size:]
    right = says | ((classes[:, None] == classes[None, :]) & of_class[None, :])
    unsure = (views.instances_V[chosen][:, None] == views.instances_V[chosen][None, :]) & ~right
    return Batch(chosen, flipped, texts, torch.from_numpy(right), torch.from_numpy(unsure))


def augmented(pictures_B3SS: Tensor, flipped_B: NDArray, side: int, seed: tuple[int, int]) -> Tensor:
    """Pictures (B, 3, P, P), 0 to 1, of `side` P: mirrored as told, else a little moved, stretched, lit otherwise.

    Colours keep their hue, since captions name them.
    """
    rng = np.random.default_rng((*seed, 1))
    count, fill = len(pictures_B3SS), FILL / 255
    zoom = 1 / rng.uniform(0.75, 1.1, (count, 1)) * np.exp(rng.uniform(-0.1, 0.1, (count, 2)))
    theta = np.zeros((count, 2, 3), np.float32)
    theta[:, 0, 0] = zoom[:, 0] * np.where(flipped_B, -1, 1)
    theta[:, 1, 1] = zoom[:, 1]
    theta[:, 0, 1], theta[:, 1, 0] = rng.uniform(-0.1, 0.1, (2, count))
    theta[:, :, 2] = rng.uniform(-0.12, 0.12, (count, 2))
    device = pictures_B3SS.device
    pictures = pictures_B3SS.float() / 255 - fill
    grid = torch.nn.functional.affine_grid(
        torch.from_numpy(theta).to(device), [count, 3, side, side], align_corners=False
    )
    moved = torch.nn.functional.grid_sample(pictures, grid, align_corners=False) + fill
    light, contrast = (
        torch.from_numpy(rng.uniform(low, 2 - low, (count, 1, 1, 1)).astype(np.float32)).to(device)
        for low in (0.8, 0.75)
    )
    mean = moved.mean(dim=(1, 2, 3), keepdim=True)
    return (((moved - mean) * contrast + mean) * light).clamp(0, 1)


def _prompt(templates: Sequence[str], words: Sequence[str], unknown_share: float, rng: np.random.Generator) -> str:
    template = templates[rng.integers(len(templates))].split(" ")
    kept = [part if "{}" in part or rng.random() >= unknown_share else UNKNOWN for part in template]
    return " ".join(kept).replace("{}", words[rng.integers(len(words))])


def _numbered(values: Sequence[object]) -> NDArray[np.int64]:
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)
