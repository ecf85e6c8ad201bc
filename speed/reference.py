"""The reference recipe of `training.py` in plain PyTorch, and what both sides share.

Each cloud is augmented alone, in numpy, and resampled to max_points points; all have the most patches that the encoder
takes, by the usual loops; CLIP sees picture and caption of each sample in each step. Pictures come as tensors, captions
as tokens, and synthetic clouds are not occluded: all in the reference's favour. Loss, gradient cut and optimizer are
ours.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable

import figures
import numpy as np
import open_clip
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.data import DataLoader

from blendclip.encoders import pointbert
from blendclip.encoders.clouds import Clouds, normalized
from blendclip.encoders.pointbert import PointBert
from blendclip.training.data.packed import PackedSplit
from blendclip.training.loop import Aligner, Training
from blendclip.training.loss import align
from blendclip.training.optimization import adamw
from blendclip.training.recipe import Recipe


class Clock:
    """Seconds of the stages of a step."""

    def __init__(self, device: torch.device) -> None:
        self._now, self._device = figures.clock(device), device
        self.start()

    def start(self) -> None:
        """Begin a step."""
        figures.wait(self._device)
        self.seconds, self._last = defaultdict(float), self._now()

    def mark(self, stage: str) -> None:
        """What was done since the last mark was this stage."""
        figures.wait(self._device)
        now = self._now()
        self.seconds[stage] += now - self._last
        self._last = now


class Samples:
    """Augmented clouds of the same draws, one by one, each of the same number of points."""

    def __init__(self, training: Training, splits: list[PackedSplit]) -> None:
        self._plan, self._splits, self._points = training.plan, splits, training.recipe.data.max_points
        self._size = training.recipe.batch_size

    def __len__(self) -> int:
        return self._plan.total_steps * self._size

    def __getitem__(self, number: int) -> Tensor:
        step, place = divmod(number, self._size)
        draws = self._plan.batch(step) if place == 0 else self._draws
        self._draws = draws
        points_n3 = self._splits[draws.source_B[place]].points(int(draws.row_B[place]))
        return torch.from_numpy(augmented_alone(points_n3, self._points, np.random.default_rng(number)))


def augmented_alone(points_n3: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """(count, 3) float32: resampled, normalised, thinned, scaled, shifted, tilted and turned about z."""
    chosen = random.choice(len(points_n3), count, replace=len(points_n3) < count)
    points = points_n3[chosen]
    points = points - points.mean(0)
    points = points / np.sqrt((points**2).sum(1)).max().clip(1e-9)
    points[random.random(count) <= random.random() * 0.875] = points[0]
    points = points * random.uniform(0.8, 1.25) + random.uniform(-0.1, 0.1, 3)
    roll, pitch = np.clip(0.06 * random.normal(size=2), -0.18, 0.18)
    for axis, angle in ((0, roll), (1, pitch), (2, random.uniform(0, 2 * np.pi))):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        rotation = np.eye(3)
        rotation[[first, second], [first, second]] = np.cos(angle)
        rotation[second, first], rotation[first, second] = np.sin(angle), -np.sin(angle)
        points = points @ rotation.T
    return points.astype(np.float32)


class Padded(nn.Module):
    """The encoder on clouds of one size: the weights of a `PointBert` in the layers of the published architecture."""

    def __init__(self, encoder: PointBert) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, points_BN3: Tensor, clock: Clock) -> Tensor:
        """(B, out_dim) features."""
        config, encoder = self.encoder.config, self.encoder
        groups_BPK3, center_BP3 = grouped_by_loops(points_BN3, config.max_patches, config.patch_points)
        clock.mark("grouping")
        token_BPD = encoder.to_token(self._patch_vectors(groups_BPK3))
        of_class = (
            parameter.expand(len(points_BN3), 1, -1) for parameter in (encoder.class_token, encoder.class_position)
        )
        tokens, positions = (
            torch.cat([first, rest], dim=1)
            for first, rest in zip(of_class, (token_BPD, encoder.position(center_BP3)), strict=True)
        )
        for block in encoder.blocks:
            tokens = tokens + positions
            tokens = tokens + self._dropped(self._attention(block.attention, block.norm1(tokens)), block.drop)
            tokens = tokens + self._dropped(block.mlp(block.norm2(tokens)), block.drop)
        tokens = encoder.norm(tokens)
        return encoder.projection(torch.cat([tokens[:, 0], tokens[:, 1:].max(1).values], dim=1))

    def _patch_vectors(self, groups_BPK3: Tensor) -> Tensor:
        batch, patches, size, _ = groups_BPK3.shape
        local, joint = self.encoder.patch_encoder.local, self.encoder.patch_encoder.joint
        features = local["out"](F.relu(local["norm"](local["linear"](groups_BPK3.reshape(-1, 3)))))
        features = features.view(batch * patches, size, -1)
        whole = features.max(1, keepdim=True).values.expand_as(features)
        hidden = joint["linear"](torch.cat([whole, features], dim=2)).flatten(0, 1)
        features = joint["out"](F.relu(joint["norm"](hidden)))
        return features.view(batch, patches, size, -1).max(2).values

    @staticmethod
    def _attention(attention: pointbert.Attention, tokens_BTD: Tensor) -> Tensor:
        batch, length, width = tokens_BTD.shape
        query, key, value = attention.qkv(tokens_BTD).view(batch, length, 3, attention.heads, -1).permute(2, 0, 3, 1, 4)
        weights = ((query @ key.transpose(-2, -1)) * query.shape[-1] ** -0.5).softmax(-1)
        return attention.out((weights @ value).transpose(1, 2).reshape(batch, length, width))

    def _dropped(self, change_BTD: Tensor, share: float) -> Tensor:
        if share == 0 or not self.training:
            return change_BTD
        return change_BTD * (torch.rand(len(change_BTD), 1, 1, device=change_BTD.device) >= share) / (1 - share)


@torch.no_grad()
def grouped_by_loops(points_BN3: Tensor, patches: int, size: int) -> tuple[Tensor, Tensor]:
    """Patches (B, P, K, 3) less their centres, and the centres (B, P, 3)."""
    batch, count, _ = points_BN3.shape
    row_B = torch.arange(batch, device=points_BN3.device)
    center_BP = torch.zeros(batch, patches, dtype=torch.int64, device=points_BN3.device)
    reach_BN = torch.full((batch, count), torch.inf, device=points_BN3.device)
    for number in range(1, patches):
        last_B13 = points_BN3[row_B, center_BP[:, number - 1], None]
        reach_BN = torch.minimum(reach_BN, ((points_BN3 - last_B13) ** 2).sum(2))
        center_BP[:, number] = reach_BN.argmax(1)
    center_BP3 = points_BN3[row_B[:, None], center_BP]
    squared_BPN = (center_BP3**2).sum(2)[:, :, None] + (points_BN3**2).sum(2)[:, None]
    squared_BPN -= 2 * center_BP3 @ points_BN3.transpose(1, 2)
    member_BPK = squared_BPN.topk(size, largest=False, sorted=False).indices
    return points_BN3[row_B[:, None, None], member_BPK] - center_BP3[:, :, None], center_BP3


class Reference:
    """Steps of the reference recipe, from the weights and draws of a `Training`."""

    def __init__(self, training: Training, samples: Samples, clip: nn.Module, workers: int, clock: Clock) -> None:
        self._recipe, self._device, self._clip, self._clock = training.recipe, training.group.device, clip, clock
        self._model = copy.deepcopy(training.model)
        encoder, width = self._model.encoder, clip.text_projection.shape[1]
        if encoder.config.out_dim != width:
            encoder.projection = nn.Linear(2 * encoder.config.width, width, bias=False, device=self._device)
        self._encoder = Padded(encoder)
        self._optimizer = adamw(self._model, training.recipe.optimization)
        size = training.recipe.batch_size
        self._reader = iter(DataLoader(samples, size, num_workers=workers, pin_memory=self._device.type == "cuda"))
        side = clip.visual.image_size[0]
        self._pixels = torch.randn(size, 3, side, side, device=self._device)
        words = [f"a white car number {number} parked at the side of a wet street" for number in range(size)]
        self._tokens = open_clip.tokenize(words).to(self._device)

    def step(self) -> None:
        """One step."""
        points_BN3 = next(self._reader).to(self._device, non_blocking=True)
        self._clock.mark("augmentation")
        update(self._model, self._optimizer, self._recipe, self._clock, lambda: self._features(points_BN3))

    def _features(self, points_BN3: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            images = self._clip.encode_image(self._pixels, normalize=True)
            texts = self._clip.encode_text(self._tokens, normalize=True)
        self._clock.mark("CLIP")
        return self._encoder(points_BN3, self._clock), self._model.temperature(), images, texts


def update(
    model: Aligner,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    clock: Clock,
    features: Callable[[], tuple[Tensor, ...]],
) -> None:
    """Forward, backward and optimizer, the same for both sides; `features` gives clouds, scale, images and texts."""
    device = model.temperature().device.type
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        clouds_BD, scale, images_BD, texts_BD = features()
    aligned = align(clouds_BD, images_BD, texts_BD, scale, recipe.same_caption)
    clock.mark("forward")
    aligned.loss.backward()
    clock.mark("backward")
    nn.utils.clip_grad_norm_(model.parameters(), recipe.optimization.max_gradient_norm)
    optimizer.step()
    assert torch.isfinite(aligned.loss), "both sides train"
    clock.mark("optimizer")


def check_same(training: Training, splits: list[PackedSplit]) -> None:
    """Both encoders give the same features, in evaluation, of clouds that have the most patches."""
    model, config = copy.deepcopy(training.model.encoder).eval(), training.recipe.encoder
    needed = int(np.ceil(config.max_patches / config.patches_per_point))
    random = torch.Generator().manual_seed(0)
    clouds = [torch.randn(needed, 3, generator=random) for _ in range(2)]
    whole = normalized(Clouds.of(clouds)).to(training.group.device)
    with torch.no_grad():
        ours = model(whole)
        theirs = Padded(model).eval()(whole.points.view(2, needed, 3), Clock(training.group.device))
    assert F.cosine_similarity(ours, theirs).min() > 0.9999, "both sides are the same encoder"
