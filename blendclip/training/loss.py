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

_SAME = 0.9999  # cosine above which two captions are the same


@dataclass(frozen=True)
class Alignment:
    """The loss of a batch and its parts, as scalars over the samples of all ranks."""

    loss: Tensor
    """Sum of the two below; the only one with a gradient."""
    text_loss: Tensor
    """Loss of clouds with captions, the mean of both directions."""
    image_loss: Tensor
    """Loss of clouds with images, the mean of both directions."""
    text_accuracy: Tensor
    """Share of clouds whose nearest caption in the batch is their own or the same as it."""
    image_accuracy: Tensor
    """Share of clouds whose nearest image in the batch is their own or that of a sample with the same caption."""


class Temperature(nn.Module):
    """The learned scale of cosines, the inverse of a softmax's temperature.

    It is held as its logarithm, starts at 1 / 0.07 and never exceeds 100, as in CLIP (arXiv 2103.00020, section 2.5).
    """

    def __init__(self, initial: float = 1 / 0.07, highest: float = 100.0) -> None:
        """Start at `initial`, limited to `highest`."""
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(initial)))
        self.log_highest = math.log(highest)

    def forward(self) -> Tensor:
        """The scale, a scalar."""
        # Clamped in place: a scale that an optimizer pushed above the limit would get no gradient through a clamp.
        with torch.no_grad():
            self.log_scale.clamp_(max=self.log_highest)
        return self.log_scale.exp()


def align(
    clouds_BD: Tensor, images_BD: Tensor, texts_BD: Tensor, scale: Tensor, same_caption: float | None = None
) -> Alignment:
    """Symmetric InfoNCE (Oord et al., arXiv 1807.03748) of clouds with images plus that of clouds with captions.

    As in CLIP (arXiv 2103.00020): with unit features c of clouds and t of captions (or images), and scale s, the loss
    is the mean over i of -log(exp(s c_i t_i) / sum_j exp(s c_i t_j)) and of the same with c and t exchanged, halved.

    Every rank gives its own samples, as many as the others, and gets the loss of all; gradients flow back to the rank
    that a feature came from, summed over ranks, which the averaging of DistributedDataParallel turns into those of
    one process with the whole batch. Computed in float32, also under autocast.

    A street has many a "white car". With `same_caption`, samples i and j whose captions have a cosine above it are
    left out of each other's sums, neither pushed apart nor pulled together. Soft targets would pull a cloud to the
    image of another car as well, and need a second temperature; this stays the plain loss where no captions meet.

    Args:
        clouds_BD: features of clouds, of any length.
        images_BD: features of their images, unit length.
        texts_BD: features of their captions, unit length.
        scale: scalar that multiplies cosines.
        same_caption: cosine of captions above which two samples do not compete; None to let all compete.
    """
    assert len(clouds_BD) == len(images_BD) == len(texts_BD), "one image and one caption for each cloud"
    with torch.autocast(clouds_BD.device.type, enabled=False):
        clouds_BD = _of_all_ranks(F.normalize(clouds_BD.float(), dim=1))
        images_BD, texts_BD = _of_all_ranks(images_BD.float()), _of_all_ranks(texts_BD.float())
        cosine_BB = texts_BD @ texts_BD.T
        # No cosine exceeds 2. A sample always competes with itself, which is its own positive.
        masked_BB = _others(cosine_BB > (2.0 if same_caption is None else same_caption))
        good_BB = masked_BB | (cosine_BB > _SAME)
        text_loss, text_accuracy = _pair(scale.float() * clouds_BD @ texts_BD.T, masked_BB, good_BB)
        image_loss, image_accuracy = _pair(scale.float() * clouds_BD @ images_BD.T, masked_BB, good_BB)
    return Alignment(
        text_loss + image_loss, text_loss.detach(), image_loss.detach(), text_accuracy.detach(), image_accuracy.detach()
    )


def _pair(logits_BB: Tensor, masked_BB: Tensor, good_BB: Tensor) -> tuple[Tensor, Tensor]:
    """Loss, the mean of both directions, and accuracy of clouds (rows) with images or captions (columns).

    Args:
        logits_BB: scaled cosines.
        masked_BB: bool, pairs that do not compete.
        good_BB: bool, pairs that count as right beside the diagonal.
    """
    competing_BB = logits_BB.masked_fill(masked_BB, -torch.inf)
    own_B = torch.arange(len(logits_BB), device=logits_BB.device)
    loss = (F.cross_entropy(competing_BB, own_B) + F.cross_entropy(competing_BB.T, own_B)) / 2
    nearest_B = logits_BB.argmax(1)
    right_B = (nearest_B == own_B) | good_BB[own_B, nearest_B]
    return loss, right_B.float().mean()


def _others(pairs_BB: Tensor) -> Tensor:
    """The pairs, bool, without those of a sample with itself."""
    return pairs_BB & ~torch.eye(len(pairs_BB), dtype=torch.bool, device=pairs_BB.device)


def _of_all_ranks(features_BD: Tensor) -> Tensor:
    """The features of all ranks, in the order of ranks; gradients flow back to each."""
    if not (dist.is_available() and dist.is_initialized()):
        return features_BD
    return torch.cat(all_gather(features_BD.contiguous()))
