"""Processes that train together: started by `torchrun`, or a single one."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from blendclip.errors import UserError

_PATIENCE = timedelta(minutes=5)
_BEAT_S = 5.0
_LOST = re.compile(r"gloo|nccl|timed out|connection (closed|reset)", re.IGNORECASE)


@dataclass(frozen=True)
class Group:
    """This process among those that train together."""

    rank: int
    """Number of this process, from 0."""
    size: int
    """Number of processes."""
    device: torch.device
    """Where this process computes."""
    beats: distributed.ProcessGroup | None = None
    """The same processes, for signs of life on the CPU; None of a single one."""

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

    def led(self, work: Callable[[], None]) -> None:
        """Have the process that leads do `work`, while the others wait; all processes must call it together.

        However long it takes, the others notice within minutes when the one that works is gone.
        """
        if self.beats is None:
            work()
        elif not self.leads:
            while not self._beat(False):
                pass
        else:
            done = threading.Event()
            beating = threading.Thread(target=self._beat_until, args=(done,), daemon=True)
            beating.start()
            try:
                work()
            finally:
                done.set()
                beating.join()

    def _beat_until(self, done: threading.Event) -> None:
        while not self._beat(done.wait(_BEAT_S)):
            pass

    def _beat(self, done: bool) -> bool:
        """Exchange a sign of life; return whether the process that leads is done."""
        flag = torch.tensor([done], dtype=torch.uint8)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX, self.beats)
        return bool(flag)


@contextmanager
def training_group() -> Iterator[Group]:
    """The group that `torchrun` describes in the environment, or a group of one; each has its own GPU, if any.

    Raises:
        UserError: there are more processes than GPUs, or one of the others is gone.
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
    is_whole = True
    try:
        beats = distributed.new_group(backend="gloo", timeout=_PATIENCE)
        assert not isinstance(beats, int), "all processes are in it"
        yield Group(rank, size, device, beats)
    except RuntimeError as error:
        is_whole = not _LOST.search(str(error))
        if is_whole:
            raise
        raise UserError(
            f"process {rank} of {size} lost another one ({str(error).splitlines()[0]}): see what its host says, and "
            "run the same command on all hosts to go on from the last checkpoint"
        ) from None
    finally:
        if is_whole:  # else it would wait for what is gone
            distributed.destroy_process_group()
