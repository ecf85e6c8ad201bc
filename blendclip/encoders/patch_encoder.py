"""The mini-PointNet of Point-BERT, which encodes the points of a patch as one vector.

Letters in names: P patches, K points of a patch, R rows (P * K), C channels, X rows that repeat another one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

_VALUES_AT_ONCE = 2**16  # 256 KB: with what is made of them, half of a core's cache


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
            points_PKC: points of each patch less its centre, C = 3, or 6 with colours.
            repeated_X: which of the P * K points repeat another one of their patch; None where none does.
        """
        first = self.joint["linear"]
        assert isinstance(first, nn.Linear)
        patches, size, _ = points_PKC.shape
        hidden_RC = self.local["norm"](self.local["linear"](points_PKC.flatten(0, 1)), repeated_X)
        local_RC = self.local["out"](F.relu(hidden_RC, inplace=True))
        whole_PC = local_RC.view(patches, size, -1).max(1).values
        # One linear layer on (whole, local) side by side: W (w, l) = W_w w + W_l l, and W_w w is the same for a patch.
        for_whole, for_local = first.weight.chunk(2, dim=1)
        of_whole_PC = F.linear(whole_PC, for_whole, first.bias)
        hidden_PKC = F.linear(local_RC, for_local).view(patches, size, -1) + of_whole_PC[:, None]
        hidden_RC = self.joint["norm"](hidden_PKC.flatten(0, 1), repeated_X)
        return self.joint["out"](F.relu(hidden_RC, inplace=True)).view(patches, size, -1).max(1).values


class RowNorm(nn.BatchNorm1d):
    """Batch normalisation (Ioffe & Szegedy, arXiv 1502.03167) over real rows only, of all ranks together."""

    def forward(self, input: Tensor, repeated_X: Tensor | None = None) -> Tensor:
        """(R, C) normalised rows of `input` (R, C).

        Args:
            input: rows, those that repeat another one included.
            repeated_X: rows that the statistics leave out; None where they leave out none.
        """
        together = dist.is_initialized() and dist.get_world_size() > 1
        if not self.training or (repeated_X is None and not together):
            return super().forward(input)
        running_mean, running_var, tracked = self.running_mean, self.running_var, self.num_batches_tracked
        momentum = self.momentum
        assert running_mean is not None and running_var is not None and tracked is not None and momentum is not None
        rows_RC = input.to(torch.promote_types(input.dtype, torch.float32))
        normal_RC, mean_C, variance_C, count = _Normalised.apply(
            rows_RC, self.weight, self.bias, repeated_X, self.eps, together
        )
        with torch.no_grad():
            tracked.add_(1)
            running_mean.lerp_(mean_C.to(running_mean.dtype), momentum)
            # The running variance is the unbiased one, as in torch.
            running_var.lerp_((variance_C * count / (count - 1)).to(running_var.dtype), momentum)
        return normal_RC.to(input.dtype)


class _Normalised(torch.autograd.Function):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias per channel, with the gradient through mean and variance.

    Repeated rows count in neither mean nor variance. Statistics and gradient sums are added up over ranks, so that
    ranks train as one process with all rows would. There are more rows than a CPU's cache holds, and moving them takes
    longer than computing: each pass goes over them in chunks, whose intermediate values stay in the cache.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows_RC: Tensor,
        weight_C: Tensor,
        bias_C: Tensor,
        repeated_X: Tensor | None,
        eps: float,
        together: bool,
    ) -> tuple[Tensor, ...]:
        # What repeated rows add to a sum over all rows is taken off it again.
        repeated_XC = rows_RC[:0] if repeated_X is None else rows_RC[repeated_X]
        number = rows_RC.new_full((1,), len(rows_RC) - len(repeated_XC))
        sums = _added_up(torch.cat([rows_RC.sum(0) - repeated_XC.sum(0), number]), together)
        mean_C, count = sums[:-1] / sums[-1], sums[-1]
        squares_C = -(repeated_XC - mean_C).square().sum(0)
        for chunk_RC in _chunks(rows_RC):
            squares_C += (chunk_RC - mean_C).square_().sum(0)
        variance_C = _added_up(squares_C, together) / count
        scale_C = (variance_C + eps).rsqrt()
        normal_RC = torch.empty_like(rows_RC)
        for chunk_RC, out_RC in zip(_chunks(rows_RC), _chunks(normal_RC), strict=True):
            torch.addcmul(bias_C, chunk_RC - mean_C, scale_C * weight_C, out=out_RC)
        ctx.save_for_backward(rows_RC, mean_C, scale_C, weight_C, repeated_X, count)
        ctx.together = together
        ctx.mark_non_differentiable(mean_C, variance_C, count)
        return normal_RC, mean_C, variance_C, count

    @staticmethod
    def backward(ctx: Any, grad_RC: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        # With g the gradient of y, s = 1 / sqrt(variance + eps) and n real rows, per channel:
        # gradient of bias = sum g; of weight = sum g (x - mean) s;
        # of x = weight s (g - sum g / n - (x - mean) s^2 sum g (x - mean) / n), and weight s g for a repeated row.
        rows_RC, mean_C, scale_C, weight_C, repeated_X, count = ctx.saved_tensors
        grad_C, product_C = torch.zeros_like(mean_C), torch.zeros_like(mean_C)
        for chunk_RC, upstream_RC in zip(_chunks(rows_RC), _chunks(grad_RC), strict=True):
            grad_C += upstream_RC.sum(0)
            product_C += (chunk_RC - mean_C).mul_(upstream_RC).sum(0)
        product_C *= scale_C
        through_mean_C, through_scale_C = _added_up(torch.stack([grad_C, product_C]), ctx.together) / count
        gain_C = scale_C * weight_C
        through_RC = torch.empty_like(rows_RC)
        for chunk_RC, upstream_RC, out_RC in zip(*map(_chunks, (rows_RC, grad_RC, through_RC)), strict=True):
            torch.addcmul(upstream_RC - through_mean_C, chunk_RC - mean_C, -scale_C * through_scale_C, out=out_RC)
            out_RC *= gain_C
        if repeated_X is not None:
            through_RC[repeated_X] = grad_RC[repeated_X] * gain_C
        return through_RC, product_C, grad_C, None, None, None


def _chunks(rows_RC: Tensor) -> tuple[Tensor, ...]:
    """The rows (R, C), on the CPU in chunks that its cache holds; elsewhere, where launching costs more, as one."""
    if rows_RC.device.type != "cpu":
        return (rows_RC,)
    return rows_RC.split(max(1, _VALUES_AT_ONCE // rows_RC.shape[1]))


def _added_up(values: Tensor, together: bool) -> Tensor:
    """The values, summed over ranks where `together`."""
    if together:
        dist.all_reduce(values)
    return values
