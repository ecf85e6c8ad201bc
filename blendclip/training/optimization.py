"""Learning rate as a function of the step, and AdamW."""

from __future__ import annotations

import math

import torch

from blendclip.training.recipe import Optimization


def learning_rate(step: int, total_steps: int, warmup_steps: int, options: Optimization) -> float:
    """The learning rate of a step: rises linearly in warm-up, then falls along half a cosine.

    Args:
        step: number of the step, from 0.
        total_steps: of the run; the last one has the final rate.
        warmup_steps: steps that rise; the last of them has the highest rate.
        options: highest and final rate.
    """
    # 1. warm-up: (step + 1) / warmup_steps of the highest rate
    if step < warmup_steps:
        return options.learning_rate * (step + 1) / warmup_steps
    # 2. then: half a cosine from the highest to the final rate (arXiv 1608.03983, without restarts)
    progress = (step - warmup_steps) / max(total_steps - 1 - warmup_steps, 1)
    height = (1 + math.cos(math.pi * progress)) / 2
    return options.final_learning_rate + (options.learning_rate - options.final_learning_rate) * height


def adamw(model: torch.nn.Module, options: Optimization) -> torch.optim.AdamW:
    """AdamW (arXiv 1711.05101) over the parameters of a model; only matrices decay. On a GPU a kernel or two."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if _decays(parameter) is decays], "weight_decay": decay}
        for decays, decay in ((True, options.weight_decay), (False, 0.0))
    ]
    fused = True if all(parameter.is_cuda for parameter in trained) else None
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=options.betas, fused=fused)


def _decays(parameter: torch.Tensor) -> bool:
    """Whether a parameter is a matrix: norms, biases, tokens and the scale have one axis longer than 1, or none."""
    return sum(length > 1 for length in parameter.shape) > 1
