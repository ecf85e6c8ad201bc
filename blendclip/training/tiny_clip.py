"""Training of the tiny CLIP from scratch, for machines without weights or network.

Letters in names: B pictures and texts of a batch, D width of the features, L tokens of a text.
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
from blendclip.training.tiny_data import FILL, UNKNOWN, Batch, TrainingViews, augmented, batch_of

LOG = logging.getLogger(__name__)
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
    steps: int = 900
    batch: int = 256
    learning_rate: float = 2e-3
    """Peak, reached after the warm-up; falls to zero as a half cosine."""
    warmup: float = 0.05
    """Share of the steps."""
    weight_decay: float = 0.05
    """Of matrices, embeddings left out."""
    class_share: float = 0.5
    """Share of the views with a class whose text is a word of it in a template, not the caption."""
    unknown_share: float = 0.15
    """Share of a template's own words that are left out."""
    stored_px: int = 112
    """Side of the pictures in memory, which augmentation samples from."""
    architecture: dict[str, Any] = field(default_factory=_architecture)
    """`model_cfg` of open_clip."""


def train_tiny_clip(
    recipe: TinyRecipe,
    views: TrainingViews,
    words: Mapping[str, list[str]],
    templates: Sequence[str],
    device: torch.device | str = "cpu",
) -> CLIP:
    """A CLIP trained from random weights; on one machine and number of threads the same recipe gives the same one."""
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
        stored = views.pictures_V3SS[torch.from_numpy(batch.views_B)].to(device)
        pictures = augmented(stored, batch.flipped_B, model.visual.image_size, seed)
        ready = time.perf_counter()
        rate = learning_rate(step / recipe.steps, recipe)
        loss = _learn(model, optimizer, rate, pictures, tokens_BL.to(device), batch)
        if step % 20 == 0 or step == recipe.steps - 1:
            _log(step, recipe, loss.item(), model, ready - began, time.perf_counter() - began)
    _forget_unseen(model, tokenizer, seen)
    return model.eval()


def new_model(recipe: TinyRecipe) -> CLIP:
    """The architecture with random weights of the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return CLIP(**recipe.architecture)


def learning_rate(progress: float, recipe: TinyRecipe) -> float:
    """The rate at a progress of 0 to 1: a line up to the peak, then half a cosine down to zero."""
    if progress < recipe.warmup:
        return recipe.learning_rate * (progress / recipe.warmup + 0.01)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - recipe.warmup) / (1 - recipe.warmup)))


def contrastive_loss(images_BD: Tensor, texts_BD: Tensor, scale: Tensor, right_BB: Tensor, unsure_BB: Tensor) -> Tensor:
    """CLIP's loss where a picture may have several right texts and a text several right pictures.

    Cross entropy, both ways, with a target that is uniform over the right ones, as in supervised contrastive learning
    (Khosla et al. 2020, arXiv 2004.11362, L_out). Unsure pairs are neither right nor wrong: they are left out.

    Args:
        images_BD: unit features of pictures.
        texts_BD: unit features of texts; text b was drawn for picture b.
        scale: inverse temperature.
        right_BB: bool, picture (row) and text (column) belong together; holds the diagonal.
        unsure_BB: bool, nobody knows.
    """
    logits = (scale * images_BD @ texts_BD.T).masked_fill(unsure_BB, torch.finfo(images_BD.dtype).min)
    target = right_BB.to(logits.dtype)
    by_image = functional.cross_entropy(logits, target / target.sum(dim=1, keepdim=True))
    by_text = functional.cross_entropy(logits.T, (target / target.sum(dim=0, keepdim=True)).T)
    return (by_image + by_text) / 2


def save_tiny_clip(model: CLIP, recipe: TinyRecipe, folder: Path) -> None:
    """Write what open_clip loads as `local-dir:FOLDER`; matrices in float16, the few vectors as they are."""
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
    """Write a JSON file that people read too, whole or not at all."""
    with storage.replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def made_by(recipe: TinyRecipe, views: TrainingViews) -> dict[str, Any]:
    """What made the weights, as it is written beside them: data, recipe, versions, threads."""
    import open_clip

    from blendclip import __version__

    return {
        "trained_on": views.counts,
        "recipe": asdict(recipe),
        "versions": {"blendclip": __version__, "torch": torch.__version__, "open_clip": open_clip.__version__},
        "threads": torch.get_num_threads(),
    }


def _learn(
    model: CLIP, optimizer: torch.optim.Optimizer, rate: float, pictures_B3PP: Tensor, tokens_BL: Tensor, batch: Batch
) -> Tensor:
    """One step of the optimizer; the loss before it."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = contrastive_loss(
        model.encode_image(_normalized(pictures_B3PP), normalize=True),
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
    matrices, others = [], []
    for name, value in model.named_parameters():
        (matrices if value.ndim > 1 and "embedding" not in name else others).append(value)
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _normalized(pictures_B3PP: Tensor) -> Tensor:
    mean, std = (pictures_B3PP.new_tensor(v)[:, None, None] for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    return ((pictures_B3PP - mean) / std).contiguous(memory_format=torch.channels_last)


def _forget_unseen(model: CLIP, tokenizer: SimpleTokenizer, seen: Tensor) -> None:
    """Tokens that training never saw mean what the stand-in for left-out words means, instead of something random."""
    (unknown,) = tokenizer.encode(UNKNOWN)
    with torch.no_grad():
        weight = model.token_embedding.weight
        weight[~seen.to(weight.device)] = weight[unknown].clone()


def _log(step: int, recipe: TinyRecipe, loss: float, model: CLIP, data_s: float, step_s: float) -> None:
    LOG.info(
        "step %d of %d: loss %.3f, %.0f samples/s, data %.2f s, step %.2f s, lr %.1e, scale %.1f",
        step, recipe.steps, loss, recipe.batch / step_s, data_s, step_s,
        learning_rate(step / recipe.steps, recipe), model.logit_scale.exp().item(),
    )  # fmt: skip
