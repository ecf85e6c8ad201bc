"""Training of the tiny CLIP from scratch, for machines without weights or network.

Letters in names: B images and texts of a batch, P pixels of a side, D width of the features, L tokens of a text.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from open_clip import SimpleTokenizer
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import CLIP
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from blendclip import storage
from blendclip.training.tiny_data import FILL, UNKNOWN, TinyBatch, TrainingViews, augmented_images, batch_of

log = logging.getLogger(__name__)
WEIGHTS = "open_clip_model.safetensors"
CONFIG = "open_clip_config.json"


def _architecture() -> dict[str, Any]:
    return {
        "embed_dim": 128,
        "vision_cfg": {"layers": [1, 2, 2, 1], "width": 16, "head_width": 64, "image_size": 96},
        "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    }


@dataclass(frozen=True)
class TinyRecipe:
    """How the tiny CLIP is trained; the defaults made the one that is shipped."""

    seed: int = 0
    """Seed of weights, draws and augmentation."""
    steps: int = 900
    """Steps of the run."""
    batch: int = 256
    """Views of a step."""
    learning_rate: float = 2e-3
    """Highest rate, at the end of warm-up; falls to zero along half a cosine."""
    warmup: float = 0.05
    """Share of the steps in which the rate rises."""
    weight_decay: float = 0.05
    """Decay of matrices but embeddings."""
    class_share: float = 0.5
    """Share of the views with a class whose text is a word of it in a template, not the caption."""
    unknown_share: float = 0.15
    """Share of a template's own words that are left out."""
    stored_px: int = 112
    """Side of the images in memory, which augmentation samples from."""
    architecture: dict[str, Any] = field(default_factory=_architecture)
    """`model_cfg` of open_clip."""


def train_tiny_clip(
    recipe: TinyRecipe,
    views: TrainingViews,
    words: Mapping[str, list[str]],
    templates: Sequence[str],
    device: torch.device | str = "cpu",
) -> CLIP:
    """A CLIP trained from random weights; machine, number of threads and recipe determine it.

    Args:
        recipe: how to train.
        views: what to train on.
        words: words of each class, whose order numbers the classes.
        templates: texts with a `{}` for a word.
        device: where it trains.
    """
    model = new_model(recipe).to(device)
    model.visual.to(memory_format=torch.channels_last)
    tokenizer = SimpleTokenizer(context_length=model.context_length)
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe.weight_decay))
    seen = torch.zeros(model.vocab_size, dtype=torch.bool)
    model.train()
    for step in range(recipe.steps):
        began = time.perf_counter()
        seed = (recipe.seed, step)
        batch = batch_of(views, words, templates, recipe.batch, recipe.class_share, recipe.unknown_share, seed)
        tokens_BL = tokenizer(batch.texts)
        seen[tokens_BL.flatten()] = True
        stored = views.images_V3SS[torch.from_numpy(batch.views_B)].to(device)
        images = augmented_images(stored, batch.flipped_B, model.visual.image_size, seed)
        ready = time.perf_counter()
        rate = tiny_learning_rate(step / recipe.steps, recipe)
        loss = _learn(model, optimizer, rate, images, tokens_BL.to(device), batch)
        if step % 20 == 0 or step == recipe.steps - 1:
            _log(step, recipe, loss.item(), model, ready - began, time.perf_counter() - began)
    _forget_unseen(model, tokenizer, seen)
    return model.eval()


def new_model(recipe: TinyRecipe) -> CLIP:
    """The recipe's architecture, with random weights of its seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return CLIP(**recipe.architecture)


def tiny_learning_rate(progress: float, recipe: TinyRecipe) -> float:
    """The rate at a progress of 0 to 1: a linear rise in warm-up, then half a cosine down to zero."""
    if progress < recipe.warmup:
        return recipe.learning_rate * (progress / recipe.warmup + 0.01)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - recipe.warmup) / (1 - recipe.warmup)))


def contrastive_loss(images_BD: Tensor, texts_BD: Tensor, scale: Tensor, right_BB: Tensor, unsure_BB: Tensor) -> Tensor:
    """CLIP's loss where an image may have several right texts and a text several right images.

    Cross entropy, both ways, with a target that is uniform over the right ones, as in supervised contrastive learning
    (Khosla et al., arXiv 2004.11362, L_out). Unsure pairs are neither right nor wrong: they are left out.

    Args:
        images_BD: unit features of images.
        texts_BD: unit features of texts; text b was drawn for image b.
        scale: scalar that multiplies cosines.
        right_BB: bool, whether image (row) and text (column) belong together; true on the diagonal.
        unsure_BB: bool, whether that is unknown.
    """
    logits = (scale * images_BD @ texts_BD.T).masked_fill(unsure_BB, torch.finfo(images_BD.dtype).min)
    target = right_BB.to(logits.dtype)
    by_image = functional.cross_entropy(logits, target / target.sum(dim=1, keepdim=True))
    by_text = functional.cross_entropy(logits.T, (target / target.sum(dim=0, keepdim=True)).T)
    return (by_image + by_text) / 2


def save_tiny_clip(model: CLIP, recipe: TinyRecipe, folder: Path) -> None:
    """Write a folder that open_clip loads as `local-dir:FOLDER`, with matrices in float16 and vectors in float32."""
    preprocess = {
        "mean": list(OPENAI_DATASET_MEAN),
        "std": list(OPENAI_DATASET_STD),
        "interpolation": "bicubic",
        "resize_mode": "longest",
        "fill_color": FILL,
    }
    write_json(folder / CONFIG, {"model_cfg": recipe.architecture, "preprocess_cfg": preprocess})
    weights = {
        name: (value.half() if value.ndim > 1 else value).cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    with storage.replacing(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(weights))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an indented JSON file atomically."""
    with storage.replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def made_by(recipe: TinyRecipe, views: TrainingViews) -> dict[str, Any]:
    """What the weights depend on, as it is written beside them: data, recipe, versions, threads."""
    import open_clip

    from blendclip import __version__

    return {
        "trained_on": views.counts,
        "recipe": asdict(recipe),
        "versions": {"blendclip": __version__, "torch": torch.__version__, "open_clip": open_clip.__version__},
        "threads": torch.get_num_threads(),
    }


def _learn(
    model: CLIP, optimizer: torch.optim.Optimizer, rate: float, images_B3PP: Tensor, tokens_BL: Tensor, batch: TinyBatch
) -> Tensor:
    """Take a step of the optimizer; return the loss before it."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = contrastive_loss(
        model.encode_image(_normalized(images_B3PP), normalize=True),
        model.encode_text(tokens_BL, normalize=True),
        model.logit_scale.exp(),
        batch.right_BB.to(tokens_BL.device),
        batch.unsure_BB.to(tokens_BL.device),
    )
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(100))
    return loss.detach()


def _parameter_groups(model: CLIP, decay: float) -> list[dict[str, Any]]:
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, value in model.named_parameters():
        (matrices if value.ndim > 1 and "embedding" not in name else others).append(value)
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _normalized(images_B3PP: Tensor) -> Tensor:
    mean, std = (images_B3PP.new_tensor(v)[:, None, None] for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    return ((images_B3PP - mean) / std).contiguous(memory_format=torch.channels_last)


def _forget_unseen(model: CLIP, tokenizer: SimpleTokenizer, seen: Tensor) -> None:
    """Give tokens that training never saw the embedding of the stand-in for left-out words, not a random one."""
    (unknown,) = tokenizer.encode(UNKNOWN)
    with torch.no_grad():
        weight = model.token_embedding.weight
        weight[~seen.to(weight.device)] = weight[unknown].clone()


def _log(step: int, recipe: TinyRecipe, loss: float, model: CLIP, data_s: float, step_s: float) -> None:
    log.info(
        "step %d of %d: loss %.3f, %.0f samples/s, data %.2f s, step %.2f s, lr %.1e, scale %.1f",
        step, recipe.steps, loss, recipe.batch / step_s, data_s, step_s,
        tiny_learning_rate(step / recipe.steps, recipe), model.logit_scale.exp().item(),
    )  # fmt: skip
