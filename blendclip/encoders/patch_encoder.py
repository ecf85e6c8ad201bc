"""The mini-PointNet of Point-BERT: the points of a patch to one vector.

Letters in names: P patches, K points of a patch, R rows (P * K), C channels, X rows that repeat another one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class PatchEncoder(nn.Module):
    """Two shared MLPs, each followed by a maximum over the patch (Point-BERT, arXiv 2111.14819, section 3.1).

    The second one sees each point's features beside the patch's maximum.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.local = nn.ModuleDict(
            {
                "linear": nn.Linear(channels, width // 2),
                "norm": RowNorm(width // 2),
                "out": nn.Linear(width // 2, width),
            }
        )
        self.joint = nn.ModuleDict(
            {"linear": nn.Linear(2 * width, 2 * width), "norm": RowNorm(2 * width), "out": nn.Linear(2 * width, width)}
        )

    def forward(self, points_PKC: Tensor, repeated_X: Tensor | None) -> Tensor:
        """(P, C) vectors of patches.

        Args:
            points_PKC: their members.
            repeated_X: which of the P * K members repeat another one of their patch; None where none does.
        """
        patches, size, _ = points_PKC.shape
        hidden_RC = self.local["norm"](self.local["linear"](points_PKC.flatten(0, 1)), repeated_X)
        local_RC = self.local["out"](F.relu(hidden_RC))
        whole_PC = local_RC.view(patches, size, -1).max(1).values
        # One linear layer on (whole, local) side by side, of which the part on the whole is done once a patch.
        for_whole, for_local = self.joint["linear"].weight.chunk(2, dim=1)
        of_whole_PC = F.linear(whole_PC, for_whole, self.joint["linear"].bias)
        hidden_PKC = F.linear(local_RC, for_local).view(patches, size, -1) + of_whole_PC[:, None]
        hidden_RC = self.joint["norm"](hidden_PKC.flatten(0, 1), repeated_X)
        return self.joint["out"](F.relu(hidden_RC)).view(patches, size, -1).max(1).values


class RowNorm(nn.BatchNorm1d):
    """Batch normalisation whose statistics are of real rows only, and of all ranks together where there are several."""

    def forward(self, input: Tensor, repeated_X: Tensor | None = None) -> Tensor:
        """(R, C) normalised rows; rows `repeated_X` are left out of the statistics, None where none is to be."""
        together = dist.is_initialized() and dist.get_world_size() > 1
        if not self.training or (repeated_X is None and not together):
            return super().forward(input)
        rows_RC = input.to(torch.promote_types(input.dtype, torch.float32))
        normal_RC, mean_C, variance_C, count = _Normalised.apply(rows_RC, repeated_X, self.eps, together)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_((variance_C * count / (count - 1)).to(self.running_var.dtype), self.momentum)
        return torch.addcmul(self.bias, normal_RC, self.weight).to(input.dtype)


class _Normalised(torch.autograd.Function):
    """Rows less their mean, over their deviation, with the gradient through both; repeated rows count in neither.

    Statistics and gradient sums are added up over ranks, so that ranks train as one process with all rows would.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows_RC: Tensor,
        repeated_X: Tensor | None,
        eps: float,
        together: bool,
    ) -> tuple[Tensor, ...]:
        number = len(rows_RC) - (0 if repeated_X is None else len(repeated_X))
        sums = _added_up(torch.cat([_sum(rows_RC, repeated_X), rows_RC.new_tensor([number])]), together)
        mean_C, count = sums[:-1] / sums[-1], sums[-1]
        normal_RC = rows_RC - mean_C
        variance_C = _added_up(_sum(normal_RC.square(), repeated_X), together) / count
        scale_C = (variance_C + eps).rsqrt()
        normal_RC *= scale_C
        ctx.save_for_backward(normal_RC, scale_C, repeated_X, count)
        ctx.together = together
        ctx.mark_non_differentiable(mean_C, variance_C, count)
        return normal_RC, mean_C, variance_C, count

    @staticmethod
    def backward(ctx: Any, grad_RC: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        normal_RC, scale_C, repeated_X, count = ctx.saved_tensors
        sums = torch.stack([grad_RC.sum(0), (grad_RC * normal_RC).sum(0)])
        through_mean_C, through_scale_C = _added_up(sums, ctx.together) / count
        through_RC = torch.addcmul(through_mean_C, normal_RC, through_scale_C)
        if repeated_X is not None:
            through_RC.index_fill_(0, repeated_X, 0)
        return through_RC.neg_().add_(grad_RC).mul_(scale_C), None, None, None


def _sum(rows_RC: Tensor, repeated_X: Tensor | None) -> Tensor:
    total_C = rows_RC.sum(0)
    return total_C if repeated_X is None else total_C - rows_RC[repeated_X].sum(0)


def _added_up(values: Tensor, together: bool) -> Tensor:
    if together:
        dist.all_reduce(values)
    return values
