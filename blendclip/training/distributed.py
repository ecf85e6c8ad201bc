"""Processes that train together: started by `torchrun`, or a single one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from blendclip.errors import UserError

_PATIENCE = timedelta(hours=4)  # the others wait while the first one measures


@dataclass(frozen=True)
class Group:
    """This process among those that train together."""

    rank: int
    """Number of this process, from 0."""
    size: int
    """Number of processes."""
    device: torch.device
    """Where this process computes."""

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set in any process; all processes must call it together."""
        if self.size == 1:
            return list(flags)
        together = torch.tensor(flags, dtype=torch.uint8)
        distributed.all_reduce(together, distributed.ReduceOp.MAX)
        return together.bool().tolist()

    def least(self, number: int) -> int:
        """The least of the numbers of all processes, which must call it together."""
        if self.size == 1:
            return number
        together = torch.tensor(number)
        distributed.all_reduce(together, distributed.ReduceOp.MIN)
        return int(together)


@contextmanager
def training_group() -> Iterator[Group]:
    """The group that `torchrun` describes in the environment, or a group of one; each has its own GPU, if any.

    Raises:
        UserError: there are more processes than GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    on_gpu, local_rank = torch.cuda.is_available(), int(os.environ.get("LOCAL_RANK", "0"))
    if on_gpu and local_rank >= torch.cuda.device_count():
        raise UserError(
            f"process {local_rank} has no GPU, there are {torch.cuda.device_count()}: start as many processes"
        )
    device = torch.device("cuda", local_rank) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    if size == 1:
        yield Group(rank, size, device)
        return
    # What the processes agree on, such as stopping, is on the CPU, so that they do not wait for their GPUs to say it.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    try:
        yield Group(rank, size, device)
    finally:
        distributed.destroy_process_group()
