"""Clouds whose truth is known, and seeds for them."""

import numpy as np
import torch

from blendclip.encoders.clouds import Clouds
from blendclip.randomness import key_of


def seeds(count, name="test"):
    return torch.tensor([key_of(name, number) for number in range(count)])


def sphere(count, seed=0):
    """Points of the unit sphere; each is its own normal."""
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return torch.tensor(points / np.linalg.norm(points, axis=1, keepdims=True), dtype=torch.float32)


def scattered(lengths, seed=0, rgb=False):
    """Clouds of normally distributed points."""
    generator = torch.Generator().manual_seed(seed)
    clouds = [torch.randn(length, 3, generator=generator) for length in lengths]
    colours = [torch.rand(length, 3, generator=generator) for length in lengths] if rgb else None
    return Clouds.of(clouds, colours)


def one_by_one(clouds):
    """Each cloud in a batch of its own."""
    points = clouds.points.split(clouds.lengths.tolist())
    rgb = [None] * len(points) if clouds.rgb is None else clouds.rgb.split(clouds.lengths.tolist())
    return [Clouds.of([own], None if colour is None else [colour]) for own, colour in zip(points, rgb, strict=True)]
