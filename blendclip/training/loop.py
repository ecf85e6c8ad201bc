"""The training loop: one process of a run, alone or among others that `torchrun` started."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

from blendclip.encoders.plan import kind_of
from blendclip.encoders.pointbert import PointBert
from blendclip.errors import UserError
from blendclip.randomness import key_of, uniform
from blendclip.storage import replacing
from blendclip.training.augmentation import augmented
from blendclip.training.data.batches import Batch, Batches, loader, sources_of
from blendclip.training.data.packed import PackedSplit
from blendclip.training.data.plan import BatchPlan, samples_per_epoch
from blendclip.training.distributed import Group
from blendclip.training.loss import Temperature, align
from blendclip.training.measurements import NEVER, FirstBroken, StepNumbers
from blendclip.training.metrics_log import MetricsLog
from blendclip.training.optimization import adamw, learning_rate
from blendclip.training.pace import Pace
from blendclip.training.preparation import Preparation
from blendclip.training.recipe import Recipe
from blendclip.training.state import load_state, save_state, states
from blendclip.training.stopping import StopRequest
from blendclip.training.validation import ValidationSplit, validation_metrics

log = logging.getLogger(__name__)


class Aligner(torch.nn.Module):
    """The point encoder, and the scale of the loss, which is trained with it.

    Letters in names: B samples, L blocks of the encoder, D width of the features.
    """

    def __init__(self, encoder: PointBert) -> None:
        super().__init__()
        self.encoder = encoder
        self.temperature = Temperature()

    def forward(self, batch: Batch, draws_BL2: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (B, D), not of unit length, and the scale; `draws_BL2` is an argument of `PointBert`."""
        return self.encoder(batch.clouds, draws_BL2, batch.plan), self.temperature()


@dataclass(frozen=True)
class Length:
    """Numbers of steps of a run."""

    epoch: int
    """Steps of an epoch."""
    warmup: int
    """Steps in which the learning rate rises."""
    total: int
    """Steps of the run."""


def length_of(recipe: Recipe, sizes: dict[str, int]) -> Length:
    """The length of a run, from the number of rows of each of its splits."""
    counted = recipe.data.synthetic or recipe.data.real
    samples = samples_per_epoch(sum(sizes[name] for name in counted), recipe.epochs.coverage, recipe.epochs.rule)
    epoch = math.ceil(samples / recipe.batch_size)
    return Length(epoch, round(recipe.epochs.warmup * epoch), recipe.epochs.count * epoch)


class Training:
    """A run in one process of a group; `step` is the number of steps done."""

    def __init__(self, recipe: Recipe, splits: list[PackedSplit], group: Group) -> None:
        """Start a run before its first step.

        Args:
            recipe: of the run, `encoder.out_dim` equal to the width of the features.
            splits: packed splits in the order of `recipe.splits()`.
            group: the processes that train together.

        Raises:
            UserError: splits and recipe make no plan, or a batch cannot be shared out evenly.
        """
        self.recipe, self.group = recipe, group
        self._broken = FirstBroken(group.device)
        sources = sources_of(recipe.data, splits)
        self.length = length_of(recipe, {source.name: len(source.rows) for source in sources})
        self.plan = BatchPlan(
            sources,
            recipe.mixture,
            batch_size=recipe.batch_size,
            total_steps=self.length.total,
            seed=recipe.seed,
        )
        with _autocast(group.device):
            kind = kind_of(recipe.encoder, group.device)
        self.batches = Batches(
            self.plan,
            splits,
            recipe.data,
            colors=recipe.encoder.colors,
            sizes=recipe.encoder.size,
            rank=group.rank,
            world_size=group.size,
            micro_batches=recipe.micro_batches,
            prepare=Preparation(recipe.augmentation, recipe.encoder, kind),
        )
        torch.manual_seed(key_of("weights", recipe.seed))
        self.model = Aligner(PointBert(recipe.encoder)).to(group.device)
        self.optimizer = adamw(self.model, recipe.optimization)
        self.step = 0

    def resume(self, folder: Path) -> None:
        """Go on from the newest checkpoint in a folder, if there is one.

        Raises:
            UserError: the checkpoint is of another recipe, or is damaged.
        """
        if found := states(folder):
            self.step = load_state(found[-1], self.model, self.optimizer, self.recipe.decisive())
            log.info("going on from %s", found[-1])

    def save(self, folder: Path) -> None:
        """Write a checkpoint into a folder; only the process that leads does."""
        if self.group.leads:
            path = save_state(folder, self.step, self.model, self.optimizer, self.recipe.decisive())
            log.info("checkpoint %s", path.name)

    def run(
        self,
        folder: Path,
        workers: int,
        metrics_log: MetricsLog | None,
        validation: Sequence[ValidationSplit],
        stop: StopRequest,
    ) -> bool:
        """Train to the end; return False when a signal stopped the run before.

        Args:
            folder: for checkpoints.
            workers: processes that read batches ahead.
            metrics_log: where numbers go; None in processes that do not lead.
            validation: held-out splits to measure on.
            stop: the request of a signal to stop.

        Raises:
            UserError: loss or gradient was not finite; the last checkpoint is from before.
        """
        on_gpu = self.group.device.type == "cuda"
        reader = loader(self.batches, self.step * self.recipe.micro_batches, workers, on_gpu)
        model: Aligner | DistributedDataParallel = self.model
        if self.group.size > 1:
            model = DistributedDataParallel(model, broadcast_buffers=False)
        pace = Pace()
        if self.step == self.length.total:  # trained before, maybe validated otherwise
            self._validate(metrics_log, validation)
        while self.step < self.length.total:
            numbers = self._train_step(model, reader, pace)
            self.step += 1
            pace.step(self.recipe.batch_size)
            if metrics_log:
                metrics_log.advance(self.step)
            if self._is_due(self.recipe.log_every) or self._is_due(self.recipe.validate_every):
                self._check_finite(folder)
            if metrics_log and self._is_due(self.recipe.log_every):
                metrics_log.add(self.step, "train", numbers.read() | pace.read())
            if self.recipe.validation and self._is_due(self.recipe.validate_every):
                self._validate(metrics_log, validation)
                pace = Pace()
            (stopping,) = self.group.any(stop.requested)
            if stopping or self._is_due(self.recipe.checkpoint_every):
                self._check_finite(folder)
                self.save(folder)
            if stopping:
                return self.step == self.length.total
        return True

    def _validate(self, metrics_log: MetricsLog | None, validation: Sequence[ValidationSplit]) -> None:
        """Measure held-out splits, if any, in the process that leads."""

        def measure() -> None:
            if not metrics_log:
                return
            numbers = validation_metrics(validation, self.model.encoder, self.recipe.data.max_points)
            metrics_log.add(self.step, "validation", numbers)

        if self.recipe.validation:
            self.group.led(measure)

    def _is_due(self, every: int) -> bool:
        """True every `every` steps and at the last step."""
        return self.step == self.length.total or bool(every) and self.step % every == 0

    def _train_step(self, model: Aligner | DistributedDataParallel, reader: Iterator[Batch], pace: Pace) -> StepNumbers:
        """Take a step of the optimizer; return its numbers. Nothing here waits for a GPU."""
        recipe, device = self.recipe, self.group.device
        rate = learning_rate(self.step, self.length.total, self.length.warmup, recipe.optimization)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        parts: list[dict[str, torch.Tensor]] = []
        for micro_batch in range(recipe.micro_batches):
            batch = pace.next(reader).to(device)
            last = micro_batch == recipe.micro_batches - 1
            # Gradients of all processes are added up once, with those of the last micro-batch.
            with nullcontext() if last or isinstance(model, Aligner) else model.no_sync():
                with _autocast(device):
                    features_BD, scale = model(self._seen(batch), self._draws(batch))
                aligned = align(features_BD, batch.images, batch.texts, scale, recipe.same_caption)
                (aligned.loss / recipe.micro_batches).backward()
            parts.append({name: value.detach() for name, value in (vars(aligned) | {"scale": scale}).items()})
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.optimization.max_gradient_norm)
        self._broken.note(self.step, sum((part["loss"] for part in parts), norm))
        self.optimizer.step()
        share = float(self.recipe.mixture.real_share(self.step / max(self.length.total - 1, 1)))
        return StepNumbers(parts, norm, {"real_share": share, "learning_rate": rate})

    def _seen(self, batch: Batch) -> Batch:
        """The batch as the encoder takes it: augmented and normalised."""
        return replace(batch, clouds=augmented(batch.clouds, batch.seeds, self.recipe.augmentation))

    def _draws(self, batch: Batch) -> torch.Tensor:
        """Numbers from 0 to 1 (B, depth, 2) that decide which halves of blocks a sample skips, by its own seed."""
        depth = self.recipe.encoder.depth
        number_BL2 = torch.arange(2 * depth, device=batch.seeds.device).expand(len(batch.seeds), -1)
        draws = uniform(batch.seeds[:, None].expand_as(number_BL2), "drop path", number_BL2)
        return draws.view(-1, depth, 2)

    def _check_finite(self, folder: Path) -> None:
        """Raise a UserError if a number of a step was not finite in any process; each writes the ids of its samples."""
        step = self.group.least(self._broken.read())
        if step == NEVER:
            return
        path = folder / f"broken-step-{step:09d}.rank-{self.group.rank}.json"
        told = {"step": step, "rank": self.group.rank, "triplet_ids": self.batches.ids(step)}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(told, indent=2))
        raise UserError(
            f"loss or gradient of step {step} is not a finite number: look at the triplets of its batch, "
            f"which {path} lists, or lower optimization.learning_rate; the last checkpoint is from before"
        )


def _autocast(device: torch.device) -> AbstractContextManager[object]:
    """In which precision the encoder computes: half on a GPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
