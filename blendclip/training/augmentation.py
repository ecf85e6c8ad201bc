"""Augmentation of clouds in training: occlusion, dropout, normalisation, rotation, scale and shift, in this order.

Occlusion and dropout, which decide how many points a cloud has, are for the processes that read a batch (`remaining`);
the rest is for the device that trains (`augmented`). Each works on a whole batch at once. Nothing depends on other
clouds of the batch, on the rank or on what was drawn before: every number is hashed from a cloud's own seed.

Letters in names: N points of all clouds together, B clouds.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from blendclip.encoders.clouds import Clouds, normalized
from blendclip.randomness import normal, uniform
from blendclip.training.augmentation_options import Augmentation
from blendclip.training.occlusion import occluded
from blendclip.training.ragged import indices, kept, reduced, spread


def remaining(clouds: Clouds, seed_B: Tensor, synthetic_B: Tensor, config: Augmentation) -> Clouds:
    """The clouds of a batch with the points that occlusion and dropout leave.

    Args:
        clouds: in box frame, z up, any unit.
        seed_B: int64, seed of each sample (`Draws.seed_B`), on the clouds' device.
        synthetic_B: bool, which clouds are of CAD objects and may be occluded, on the clouds' device.
        config: options of each step.
    """
    return thinned(occluded(clouds, seed_B, synthetic_B, config.occlusion), seed_B, config)


def augmented(clouds: Clouds, seed_B: Tensor, config: Augmentation) -> Clouds:
    """The `remaining` clouds of a batch, normalised for the encoder and moved at random.

    Args:
        clouds: in box frame, z up, any unit.
        seed_B: int64, seed of each sample, on the clouds' device.
        config: options of each step.
    """
    clouds = normalized(clouds)
    points_N3 = moved(clouds.points, clouds.owners(), seed_B, config)
    size_B3 = None if clouds.size is None else told_size(clouds.size, seed_B, config)
    return replace(clouds, points=points_N3, size=size_B3)


def told_size(size_B3: Tensor, seed_B: Tensor, config: Augmentation) -> Tensor:
    """(B, 3) sizes as the encoder is told them: scaled as the clouds are, roughly, and of some not at all.

    Args:
        size_B3: `Clouds.size`.
        seed_B: int64, seed of each sample.
        config: range of the scale, deviation of what is told, share of clouds of which nothing is.
    """
    noise_B3 = torch.stack([normal(seed_B, f"size {length}") for length in ("radius", "height", "flat radius")], 1)
    told_B3 = size_B3 + scales(seed_B, config).log()[:, None] + config.size_noise * noise_B3
    return told_B3.where((uniform(seed_B, "size") >= config.size_unknown)[:, None], torch.nan)


def thinned(clouds: Clouds, seed_B: Tensor, config: Augmentation) -> Clouds:
    """The clouds without the points that dropout takes, which are never all.

    Args:
        clouds: in any frame and unit.
        seed_B: int64, seed of each sample.
        config: `dropout` is the highest share of points that a cloud loses.
    """
    if config.dropout == 0:
        return clouds
    owner_N = clouds.owners()
    share_B = config.dropout * uniform(seed_B, "dropout share")
    share_B = share_B.minimum(1 - config.min_points / clouds.lengths)
    draw_N = uniform(spread(seed_B, owner_N), "dropout", indices(clouds))
    highest_B = reduced(draw_N[:, None], clouds, "max")[:, 0]
    return kept(clouds, draw_N >= spread(share_B.minimum(highest_B), owner_N))


def moved(points_N3: Tensor, owner_N: Tensor, seed_B: Tensor, config: Augmentation) -> Tensor:
    """(N, 3) points of normalised clouds after tilt, rotation about z, scale and shift.

    Args:
        points_N3: points of normalised clouds.
        owner_N: int64, cloud of each point.
        seed_B: int64, seed of each sample.
        config: ranges to draw from.
    """
    shift_B3 = config.shift * torch.stack([2 * uniform(seed_B, f"shift {axis}") - 1 for axis in "xyz"], 1)
    rotation_B33 = scales(seed_B, config)[:, None, None] * rotations(seed_B, config)
    # Column by column: a matrix for each point would take three times the room of the points.
    return sum((rotation_B33[owner_N, :, axis] * points_N3[:, axis, None] for axis in range(3)), shift_B3[owner_N])


def scales(seed_B: Tensor, config: Augmentation) -> Tensor:
    """(B,) factors by which clouds are scaled.

    Args:
        seed_B: int64, seed of each sample.
        config: their range.
    """
    low, high = config.scale
    return low + (high - low) * uniform(seed_B, "scale")


def rotations(seed_B: Tensor, config: Augmentation) -> Tensor:
    """(B, 3, 3) rotation matrices: random roll and pitch, then a random turn about z.

    Args:
        seed_B: int64, seed of each sample.
        config: deviation and limit of roll and pitch, and whether to turn.
    """
    limit = config.tilt_limit_rad
    roll_B, pitch_B = (
        (config.tilt_sigma_rad * normal(seed_B, name)).clamp(-limit, limit) for name in ("roll", "pitch")
    )
    angle_B = 2 * math.pi * uniform(seed_B, "turn") * config.rotation
    return _about(2, angle_B) @ _about(1, pitch_B) @ _about(0, roll_B)


def _about(axis: int, angle_B: Tensor) -> Tensor:
    """(B, 3, 3) right-handed rotation matrices about axis 0, 1 or 2 by angles in radians."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    rotation_B33 = torch.zeros(len(angle_B), 3, 3, device=angle_B.device)
    rotation_B33[:, axis, axis] = 1
    rotation_B33[:, first, first] = rotation_B33[:, second, second] = angle_B.cos()
    rotation_B33[:, second, first] = angle_B.sin()
    rotation_B33[:, first, second] = -angle_B.sin()
    return rotation_B33
