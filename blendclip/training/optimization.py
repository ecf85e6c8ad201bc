"""Learning rate as a function of the step, and AdamW."""

from __future__ import annotations

import math

import torch

from blendclip.training.recipe import Optimization


def learning_rate(step: int, total_steps: int, warmup_steps: int, options: Optimization) -> float:
    """The rate of `step`, from 0: a line up to its height in warm-up, then half a cosine down to the final one."""
    if step < warmup_steps:
        return options.learning_rate * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(total_steps - 1 - warmup_steps, 1)
    height = (1 + math.cos(math.pi * progress)) / 2
    return options.final_learning_rate + (options.learning_rate - options.final_learning_rate) * height


def adamw(model: torch.nn.Module, options: Optimization) -> torch.optim.AdamW:
    """AdamW over the model's parameters in their order; those of one axis, and tokens, do not decay."""
    groups = [
        {"params": [parameter], "weight_decay": options.weight_decay if _decays(parameter) else 0.0}
        for parameter in model.parameters()
        if parameter.requires_grad
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=options.betas)


def _decays(parameter: torch.Tensor) -> bool:
    """Whether it is a matrix: norms, biases and the scale have one axis, a token has one that is not of length 1."""
    return sum(length > 1 for length in parameter.shape) > 1
