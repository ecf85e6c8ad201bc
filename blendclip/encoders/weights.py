"""Safetensors files with a digest of their weights, so that a flipped bit gives no other model without a word."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from blendclip.errors import UserError
from blendclip.storage import existing, replacing

_DIGEST = "weights_sha256"


def save_weights(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write tensors as a safetensors file, atomically; same tensors, same bytes.

    Args:
        path: the file.
        tensors: on any device.
        about: what the file's header says beside their digest.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(state, temporary, metadata={**about, _DIGEST: _digest(state)})


def read_weights(path: Path, cure: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of `save_weights`, on the CPU, and what it was told about them.

    Files of earlier versions have no digest and are taken as they are.

    Args:
        path: the file.
        cure: what to do where it is damaged, for the sentence that says so.

    Raises:
        UserError: it is not there, is no safetensors file, or does not have its digest.
    """
    try:
        with safe_open(existing(path), framework="pt") as file:
            about = dict(file.metadata() or {})
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{path} is not a readable safetensors file ({error}): {cure}") from None
    if about.pop(_DIGEST, None) not in (None, _digest(state)):
        raise UserError(f"{path} is damaged (its weights do not have their checksum): {cure}")
    return state, about


def _digest(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
