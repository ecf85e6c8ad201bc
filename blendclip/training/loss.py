"""Alignment of clouds with the frozen features of their images and captions.

Letters in names: B samples of all ranks together, D feature width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather

_SAME = 0.9999  # cosine above which two captions are the same one


@dataclass(frozen=True)
class Alignment:
    """The loss of a batch and what it is made of; all of no dimensions, over the samples of all ranks."""

    loss: Tensor
    """Sum of the two below; the only one with a gradient."""
    text_loss: Tensor
    """Cloud to caption and back, averaged."""
    image_loss: Tensor
    """Cloud to image and back, averaged."""
    text_accuracy: Tensor
    """Share of clouds whose nearest caption in the batch is their own, or as good as theirs."""
    image_accuracy: Tensor
    """Share of clouds whose nearest image in the batch is their own, or of a sample with as good as their caption."""


class Temperature(nn.Module):
    """The learned scale of cosines, held as its logarithm; starts at 1 / 0.07 and never exceeds 100, as in CLIP."""

    def __init__(self, initial: float = 1 / 0.07, highest: float = 100.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(initial)))
        self.log_highest = math.log(highest)

    def forward(self) -> Tensor:
        """The scale. What an optimiser pushed above the limit is brought back, so that its gradient does not vanish."""
        with torch.no_grad():
            self.log_scale.clamp_(max=self.log_highest)
        return self.log_scale.exp()


def align(
    clouds_BD: Tensor, images_BD: Tensor, texts_BD: Tensor, scale: Tensor, same_caption: float | None = None
) -> Alignment:
    """Symmetric InfoNCE (CLIP; Radford et al. 2021) of clouds with images plus that of clouds with captions.

    Every rank gives its own samples, as many as the others, and gets the loss of all; gradients flow back to the rank
    that a feature came from, summed over ranks, which the averaging of DistributedDataParallel turns into those of
    one process with the whole batch. Computed in float32, also under autocast.

    A street has many a "white car". With `same_caption`, samples i and j whose captions have a cosine above it are
    left out of each other's denominators, neither pushed apart nor pulled together. Soft targets would pull a cloud to
    the image of another car as well, and need a second temperature; this stays the plain loss where no captions meet.

    Args:
        clouds_BD: features of clouds, of any length.
        images_BD: of their images, unit length.
        texts_BD: of their captions, unit length.
        scale: what cosines are multiplied by, no dimensions.
        same_caption: cosine of captions above which two samples do not compete; None to let all compete.
    """
    assert len(clouds_BD) == len(images_BD) == len(texts_BD), "one image and one caption for each cloud"
    with torch.autocast(clouds_BD.device.type, enabled=False):
        clouds_BD = _of_all_ranks(F.normalize(clouds_BD.float(), dim=1))
        images_BD, texts_BD = _of_all_ranks(images_BD.float()), _of_all_ranks(texts_BD.float())
        cosine_BB = texts_BD @ texts_BD.T
        masked_BB = _others(cosine_BB > (2.0 if same_caption is None else same_caption))
        good_BB = masked_BB | (cosine_BB > _SAME)
        text_loss, text_accuracy = _pair(scale.float() * clouds_BD @ texts_BD.T, masked_BB, good_BB)
        image_loss, image_accuracy = _pair(scale.float() * clouds_BD @ images_BD.T, masked_BB, good_BB)
    return Alignment(
        text_loss + image_loss, text_loss.detach(), image_loss.detach(), text_accuracy.detach(), image_accuracy.detach()
    )


def _pair(logits_BB: Tensor, masked_BB: Tensor, good_BB: Tensor) -> tuple[Tensor, Tensor]:
    """Loss, both ways averaged, and accuracy of clouds (rows) with images or texts (columns)."""
    competing_BB = logits_BB.masked_fill(masked_BB, -torch.inf)
    own_B = torch.arange(len(logits_BB), device=logits_BB.device)
    loss = (F.cross_entropy(competing_BB, own_B) + F.cross_entropy(competing_BB.T, own_B)) / 2
    nearest_B = logits_BB.argmax(1)
    right_B = (nearest_B == own_B) | good_BB[own_B, nearest_B]
    return loss, right_B.float().mean()


def _others(pairs_BB: Tensor) -> Tensor:
    """Without the pairs of a sample with itself."""
    return pairs_BB & ~torch.eye(len(pairs_BB), dtype=torch.bool, device=pairs_BB.device)


def _of_all_ranks(features_BD: Tensor) -> Tensor:
    """Those of all ranks, in the order of ranks; gradients find their way back."""
    if not (dist.is_available() and dist.is_initialized()):
        return features_BD
    return torch.cat(all_gather(features_BD.contiguous()))
