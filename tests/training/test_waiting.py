"""What a training step reads from its device: nothing, so that a GPU is never waited for.

The step runs on torch's `meta` device, whose tensors have shapes and no numbers: `.item()`, `.tolist()`, `nonzero`, a
mask as an index and a copy to the CPU have nothing to give there, and raise. A tensor of the CPU in an operation
is recorded: a GPU would be waited for until it is copied, unless it is page-locked, as batches are. The kernels that
group points are replaced, since they have no shapes to tell. What CUDA itself waits for, inside an operation, no other
device shows.
"""

from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from blendclip.encoders import grouping
from blendclip.training.data.packed import PackedSplit
from blendclip.training.distributed import Group
from blendclip.training.loop import Training
from blendclip.training.pace import Pace
from tests.training import toy

META = torch.device("meta")


class Copies(TorchDispatchMode):
    """Notes the operations that take tensors of the CPU to the device, and counts all."""

    def __init__(self):
        super().__init__()
        self.found, self.calls = [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.calls += 1
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        if {"cpu", "meta"} <= {tensor.device.type for tensor in tensors}:
            self.found.append(str(function))
        return result


def without_numbers(points, division):
    """Centres and members as the kernels of a GPU make them, of no value."""
    patches = sum(division.counts)
    make = lambda *shape: torch.zeros(shape, dtype=torch.int64, device=points.device)  # noqa: E731
    return make(patches), make(patches, division.patch_points)


@pytest.fixture
def on_meta(monkeypatch):
    """Torch and the encoder as they would be on a GPU, without numbers."""
    monkeypatch.setattr(grouping, "_chosen", without_numbers)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which knows no meta


@pytest.mark.usefixtures("on_meta")
@pytest.mark.parametrize("changes", [{}, {"encoder__drop_path": 0.2, "micro_batches": 2, "encoder__colors": True}])
def test_a_step_reads_nothing_from_its_device(results, changes):
    splits = [PackedSplit.open(results, "tiny", name, "train") for name in ("cad", "road")]
    recipe = toy.toy_recipe(encoder__out_dim=toy.WIDTH, **changes)
    training = Training(recipe, splits, Group(0, 1, META))
    batches = [training.batches[number].to(META) for number in range(recipe.micro_batches)]
    with Copies() as copies:
        numbers = training._train_step(training.model, iter(batches), Pace())
    assert copies.calls > 100 and copies.found == []
    with pytest.raises(RuntimeError, match="meta"):
        numbers.read()
    with pytest.raises(RuntimeError, match="meta"):
        training._broken.read()
