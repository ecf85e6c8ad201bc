"""Attention within sequences of different lengths in one call, where torch has a kernel for it."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from blendclip.encoders.buckets import Sequences

_HEAD_WIDTHS = range(8, 257, 8)  # that FlashAttention takes
_CAPABILITY = (8, 0)  # of the first GPU that it runs on


@cache
def has_varlen(head_width: int, device: torch.device) -> bool:
    """Whether there is a kernel for heads of this width, in half precision, on a device."""
    if device.type != "cuda" or torch.version.hip or head_width not in _HEAD_WIDTHS:
        return False
    return (
        find_spec("torch.nn.attention.varlen") is not None and torch.cuda.get_device_capability(device) >= _CAPABILITY
    )


def attention_of_sequences(
    query_TD: Tensor, key_TD: Tensor, value_TD: Tensor, heads: int, sequences: Sequences
) -> Tensor:
    """(T, D) multi-head attention within each of B sequences that lie end to end.

    Args:
        query_TD: in half precision, as keys and values.
        key_TD: of the same tokens.
        value_TD: of the same tokens.
        heads: which divide D.
        sequences: their rows.
    """
    from torch.nn.attention.varlen import varlen_attn  # not in every version

    query, key, value = (rows_TD.unflatten(1, (heads, -1)) for rows_TD in (query_TD, key_TD, value_TD))
    bounds, longest = sequences.bounds, sequences.longest
    attended = varlen_attn(query, key, value, bounds, bounds, longest, longest)
    assert isinstance(attended, Tensor)
    return attended.flatten(1)
