"""Samples of a step, read from packed splits: a pure function of (plan, step, rank).

Letters in names: B samples, D width of a feature, n points of a cloud.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from blendclip.encoders.clouds import Clouds
from blendclip.encoders.plan import EncodingPlan
from blendclip.errors import UserError
from blendclip.randomness import bits, subsample, uniform
from blendclip.schemas import UNSEEN_GREY
from blendclip.training.data.packed import PackedSplit
from blendclip.training.data.plan import BatchPlan, Draws, SampleSource, kept_rows
from blendclip.training.recipe import Data
from blendclip.training.stopping import SIGNALS


@dataclass(frozen=True)
class Batch:
    """B samples, on one device."""

    clouds: Clouds
    """Box frame, metres where the source has metres."""
    texts: Tensor
    """(B, D) float32 features of captions, unit length."""
    images: Tensor
    """(B, D) float32 features of views, unit length."""
    seeds: Tensor
    """(B,) int64, seed of all that is random about a sample."""
    synthetic: Tensor
    """(B,) bool: whether the cloud is of a CAD object."""
    ids: list[str]
    """Triplet ids."""
    plan: EncodingPlan | None = None
    """Of the encoder's work, where the clouds have the points that it will see."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return self._moved(self.clouds.to(device), lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory, from which copies to a GPU are asynchronous."""
        return self._moved(self.clouds.pin_memory(), Tensor.pin_memory)

    def _moved(self, clouds: Clouds, move: Callable[[Tensor], Tensor]) -> Batch:
        tensors = (self.texts, self.images, self.seeds, self.synthetic)
        texts, images, seeds, synthetic = map(move, tensors)
        plan = None if self.plan is None else self.plan.moved(move)
        return Batch(clouds, texts, images, seeds, synthetic, self.ids, plan)


def sources_of(data: Data, splits: Sequence[PackedSplit]) -> list[SampleSource]:
    """What a plan may draw from: of each split the rows that the options keep.

    Args:
        data: options of the recipe.
        splits: packed splits, the synthetic ones of `data` first, in its order.

    Raises:
        UserError: nothing is left of a split.
    """
    names = [*data.synthetic, *data.real]
    domains = ["synthetic"] * len(data.synthetic) + ["real"] * len(data.real)
    columns = {
        name: (list(split.column("class_name")), list(split.column("category")))
        for name, domain, split in zip(names, domains, splits, strict=True)
        if data.excluded_from in ("both", domain)
    }
    kept = kept_rows(columns, data.excluded_classes)
    sources = []
    for name, domain, split in zip(names, domains, splits, strict=True):
        rows = kept.get(name, np.arange(len(split)))
        rows = rows[np.asarray(split.num_points)[rows] >= data.min_points]
        if not len(rows):
            raise UserError(f"{name} has no cloud of data.min_points = {data.min_points} points: lower it")
        sources.append(SampleSource(name, domain, rows, data.weights.get(name)))
    return sources


class Batches(Dataset):
    """Micro-batches of one process by number: micro-batch m of step s has number s * micro_batches + m."""

    def __init__(
        self,
        plan: BatchPlan,
        splits: Sequence[PackedSplit],
        data: Data,
        *,
        colors: bool = False,
        sizes: bool = False,
        rank: int = 0,
        world_size: int = 1,
        micro_batches: int = 1,
        prepare: Callable[[Batch], Batch] | None = None,
    ) -> None:
        """Read the samples that a plan draws.

        Args:
            plan: of the run.
            splits: packed splits of the plan's sources, in their order.
            data: options of the recipe.
            colors: whether clouds have colours.
            sizes: whether clouds say which of them are in metres.
            rank: number of this process.
            world_size: processes that share a batch.
            micro_batches: parts of the share of each process.
            prepare: what is done to a batch once it is read, in the same process; None hands it over as it is.

        Raises:
            UserError: a batch cannot be shared out evenly.
        """
        self._plan, self._splits, self._data, self._colors, self._sizes = plan, splits, data, colors, sizes
        self._ids = [split.column("triplet_id") for split in splits]
        self._rank, self._world_size, self._micro_batches = rank, world_size, micro_batches
        self._prepare = prepare
        if plan.total_steps:
            plan.batch(0).part(rank, world_size, 0, micro_batches)  # says at once when it cannot be shared out

    def __len__(self) -> int:
        return self._plan.total_steps * self._micro_batches

    def __getitem__(self, number: int) -> Batch:
        batch = self.read(self._draws(*divmod(number, self._micro_batches)))
        return batch if self._prepare is None else self._prepare(batch)

    def ids(self, step: int) -> list[str]:
        """Triplet ids of this process's share of a step, which are all that is read of it."""
        parts = [self._draws(step, micro_batch) for micro_batch in range(self._micro_batches)]
        return [name for draws in parts for name in self._ids_of(draws)]

    def _draws(self, step: int, micro_batch: int) -> Draws:
        return self._plan.batch(step).part(self._rank, self._world_size, micro_batch, self._micro_batches)

    def _ids_of(self, draws: Draws) -> list[str]:
        return [self._ids[source][row] for source, row in zip(draws.source_B, draws.row_B.tolist(), strict=True)]

    def read(self, draws: Draws) -> Batch:
        """The samples of some draws, on the CPU."""
        splits = [self._splits[source] for source in draws.source_B]
        rows, seeds = draws.row_B.tolist(), draws.seed_B
        most = self._data.max_points
        drawn = list(zip(splits, rows, map(int, seeds), strict=True))
        domains = [source.domain == "synthetic" for source in self._plan.sources]
        windows = self._windows(drawn, [domains[source] for source in draws.source_B], seeds)
        points = [
            subsample(split.points(row)[window], most, seed)
            for (split, row, seed), window in zip(drawn, windows, strict=True)
        ]
        rgb = None
        if self._colors:
            rgb = [
                subsample(cloud_colors(split, row)[window], most, seed)
                for (split, row, seed), window in zip(drawn, windows, strict=True)
            ]
        return Batch(
            clouds=Clouds(
                torch.from_numpy(np.concatenate(points)),
                torch.tensor([len(cloud) for cloud in points]),
                None if rgb is None else torch.from_numpy(np.concatenate(rgb)),
                torch.tensor([split.in_metres for split in splits]) if self._sizes else None,
            ),
            texts=self._features([split.texts(row) for split, row in zip(splits, rows, strict=True)], seeds, "text"),
            images=self._features([split.images(row) for split, row in zip(splits, rows, strict=True)], seeds, "view"),
            seeds=torch.from_numpy(seeds),
            synthetic=torch.tensor([domains[source] for source in draws.source_B]),
            ids=self._ids_of(draws),
        )

    def _windows(
        self, drawn: Sequence[tuple[PackedSplit, int, int]], synthetic: Sequence[bool], seeds: NDArray[np.int64]
    ) -> list[slice | NDArray[np.bool_]]:
        """Which points of each drawn cloud the sample sees: all, or those of the latest sweeps."""
        windows: list[slice | NDArray[np.bool_]] = [slice(None)] * len(drawn)
        shares, chosen = uniform(seeds, "window"), uniform(seeds, "short window") < self._data.short_windows
        for number in np.flatnonzero(chosen & ~np.array(synthetic)):
            split, row, _ = drawn[number]
            if (lag_s := split.time_lag_s(row)) is not None:
                windows[number] = latest(lag_s, shares[number], self._data.min_points)
        return windows

    def _features(self, candidates: list[NDArray[np.float16]], seeds: NDArray[np.int64], name: str) -> Tensor:
        """(B, D) a feature of each sample: of its candidates (k, D) the first, which is its own, or a random one."""
        if self._data.views == "own":
            chosen = np.zeros(len(candidates), np.int64)
        else:
            chosen = (bits(seeds, name) & 0x7FFFFFFF) % np.array([len(features) for features in candidates])
        rows = [features[which] for features, which in zip(candidates, chosen, strict=True)]
        return torch.from_numpy(np.stack(rows).astype(np.float32))


def latest(lag_s: NDArray[np.float32], share: float, min_points: int) -> NDArray[np.bool_]:
    """Which points (n,) of a cloud were measured last.

    Args:
        lag_s: (n,) seconds by which each point is older than the keyframe.
        share: of the time that the cloud was gathered over, 0 to 1; 0 leaves the latest sweep.
        min_points: as many of the latest points stay in any case.
    """
    cut_s = lag_s.min() + share * np.ptp(lag_s)
    return lag_s <= max(cut_s, np.sort(lag_s)[min(min_points, len(lag_s)) - 1])


def loader(batches: Batches, first: int, workers: int, on_gpu: bool) -> Iterator[Batch]:
    """Micro-batches from number `first` to the last.

    Args:
        batches: of this process.
        first: number of the first micro-batch.
        workers: processes that read ahead; 0 reads in this one.
        on_gpu: whether to hand them over in page-locked memory.
    """
    return iter(
        DataLoader(
            batches,
            batch_size=None,
            sampler=range(first, len(batches)),
            num_workers=workers,
            pin_memory=on_gpu,
            worker_init_fn=_leave_signals,
        )
    )


def _leave_signals(worker: int) -> None:
    """Ignore signals in a process that reads: the one that trains needs it until it has stopped itself."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def cloud_colors(split: PackedSplit, row: int) -> NDArray[np.float32]:
    """The colours (n, 3) of a packed cloud, 0 to 1; grey where it has none."""
    rgb = split.rgb(row)
    if rgb is None:
        return np.full((int(split.num_points[row]), 3), UNSEEN_GREY / 255, np.float32)
    return rgb.astype(np.float32) / 255
