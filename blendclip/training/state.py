"""The checkpoint of a run: a safetensors file of weights and optimizer moments, with the step in its header.

Everything else follows from recipe and step, since batches, augmentation and learning rate are functions of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from blendclip.encoders.weights import read_weights, save_weights
from blendclip.errors import UserError
from blendclip.schemas import STAGE_VERSIONS
from blendclip.training.data.packed import PackedSplit

_SAMPLED = 64  # rows of a split
_NAME = re.compile(r"step-(\d{9})\.safetensors")


def save_state(
    folder: Path,
    step: int,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: dict[str, Any],
    keep: int = 2,
) -> Path:
    """Write `step-{step}.safetensors` into `folder`, atomically, and remove all but the newest `keep`.

    Args:
        folder: for checkpoints of one run.
        step: steps done.
        model: whose weights are saved.
        optimizer: whose moments are saved.
        recipe: what the weights depend on, which `load_state` compares.
        keep: checkpoints that stay.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    names = _names(model, optimizer)
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{names[index]}.{key}": value for key, value in moments.items()}
    path = folder / f"step-{step:09d}.safetensors"
    save_weights(path, tensors, {"step": str(step), "recipe": json.dumps(recipe, sort_keys=True)})
    for old in states(folder)[:-keep]:
        old.unlink()
    return path


def fingerprint(recipe: dict[str, Any], splits: Sequence[PackedSplit]) -> str:
    """A name for what a run's weights depend on: other recipes or data have other names.

    Of the data it hashes the metadata of packed files, the size of every cloud, and the clouds and features of
    `_SAMPLED` rows, evenly spaced over each split.
    """
    digest = hashlib.sha256(json.dumps([STAGE_VERSIONS["runs"], recipe], sort_keys=True).encode())
    for split in splits:
        for file in (*split.clouds, *split.features):
            about = sorted((pa.ipc.open_file(pa.memory_map(str(file))).schema.metadata or {}).items())
            digest.update(repr(about).encode())
        digest.update(split.num_points.tobytes())
        for row in np.unique(np.linspace(0, len(split) - 1, _SAMPLED).astype(np.int64)).tolist():
            for values in (split.points(row), split.rgb(row), split.images(row), split.texts(row)):
                digest.update(b"" if values is None else values.tobytes())
    return digest.hexdigest()[:12]


def states(folder: Path) -> list[Path]:
    """The files of `save_state` in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*.safetensors") if _NAME.fullmatch(path.name))


def load_state(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, recipe: dict[str, Any]) -> int:
    """Restore model and optimizer in place; return the number of steps done.

    Raises:
        UserError: the file is of another recipe, or is damaged.
    """
    tensors, header = read_weights(path, "delete it to go on from the one before")
    if not {"step", "recipe"} <= header.keys():
        raise UserError(f"{path} is no checkpoint of training: move it out of this folder")
    if changed := _differences(json.loads(header["recipe"]), recipe):
        raise UserError(
            f"{path} was trained by another recipe (differs in {', '.join(changed)}): move it out of this folder"
        )
    model.load_state_dict({name.removeprefix("model."): v for name, v in tensors.items() if name.startswith("model.")})
    names = _names(model, optimizer)
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            parameter, key = name.removeprefix("optimizer.").rsplit(".", 1)
            state.setdefault(names.index(parameter), {})[key] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    return int(header["step"])


def _names(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """The names of the parameters that an optimizer has, in its order."""
    name_of = {parameter: name for name, parameter in model.named_parameters()}
    return [name_of[parameter] for group in optimizer.param_groups for parameter in group["params"]]


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the keys in which two recipes differ."""
    found = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}")
    return found
