"""Which samples each step trains on: a pure function of (seed, step), cut into the parts of ranks and micro-batches.

Nothing is drawn in sequence, so a run that resumes at step k needs k and no more.
Letters in names: B samples of a batch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from blendclip.errors import UserError
from blendclip.randomness import bits, key_of, permutation
from blendclip.training.data.mixture import Mixture

DOMAINS = ("synthetic", "real")
_UNIT = 1 << 32  # the expected number of real samples is summed as whole multiples of 1 / _UNIT, hence without drift


@dataclass(frozen=True)
class SampleSource:
    """A split of a dataset to draw from."""

    name: str
    """Name that seeds its draws and stands in errors; unique within a plan."""
    domain: str
    """`synthetic` or `real`."""
    rows: NDArray[np.int64]
    """(R,) rows of the split that may be drawn."""
    weight: float | None = None
    """How often it is drawn against the other sources of its domain; None in all of them stands for R."""


@dataclass(frozen=True)
class Draws:
    """The samples of a batch or of a part of one, in order."""

    source_B: NDArray[np.int64]
    """Number of each sample's source in the plan."""
    row_B: NDArray[np.int64]
    """Row of each sample in the source's split."""
    seed_B: NDArray[np.int64]
    """Seed of all that is random about each sample, hashed from the plan's seed, the source, its epoch and the row."""

    def __len__(self) -> int:
        return len(self.row_B)

    def part(self, rank: int = 0, world_size: int = 1, micro_batch: int = 0, micro_batches: int = 1) -> Draws:
        """The samples of one rank in one micro-batch.

        Micro-batch m of all ranks, end to end, holds the same samples in the same order whatever `world_size` is.

        Raises:
            UserError: the batch cannot be shared out evenly.
        """
        share, rest = divmod(len(self), world_size * micro_batches)
        if rest or not share:
            raise UserError(
                f"batch_size {len(self)} cannot be shared out evenly over {world_size} ranks and "
                f"{micro_batches} micro-batches: make it a multiple of {world_size * micro_batches}"
            )
        first = (micro_batch * world_size + rank) * share
        mine = slice(first, first + share)
        return Draws(self.source_B[mine], self.row_B[mine], self.seed_B[mine])


class BatchPlan:
    """The batches of a run.

    Real samples up to any step are as many as the mixture's shares add up to, rounded, so 1.5 % of 64 is 0.96 a batch.
    A domain's draws are split between its sources likewise. Each source is drawn without replacement, shuffled anew for
    each of its epochs, which may end within a batch.
    """

    def __init__(
        self, sources: Sequence[SampleSource], mixture: Mixture, *, batch_size: int, total_steps: int, seed: int
    ) -> None:
        """Plan the batches of a run.

        Args:
            sources: splits to draw from.
            mixture: share of real samples as a function of progress.
            batch_size: samples of a batch, of all ranks and micro-batches together.
            total_steps: number of batches, perhaps none.
            seed: of all draws.

        Raises:
            UserError: a domain that the mixture draws from has no source, weights are wrong, a name comes twice, or
                there is nothing to draw.
        """
        if batch_size < 1 or total_steps < 0:
            raise UserError(f"batch_size {batch_size} must be at least 1 and steps {total_steps} at least 0")
        assert batch_size * total_steps < 1 << 31, "the sum of expected samples overflows"
        self.sources, self.batch_size, self.total_steps, self.seed = tuple(sources), batch_size, total_steps, seed
        progress = np.arange(total_steps) / max(total_steps - 1, 1)
        expected = np.rint(mixture.real_share(progress) * (batch_size * _UNIT)).astype(np.int64)
        self._expected_real = np.concatenate([[0], np.cumsum(expected)])
        self._chains = {domain: _chain(domain, self.sources) for domain in DOMAINS}
        for domain, drawn in zip(DOMAINS, self._drawn_by_domain(total_steps), strict=True):
            if drawn and not self._chains[domain]:
                raise UserError(
                    f"the mixture asks for {domain} samples but no {domain} dataset is given: add one to data"
                )
        if twice := [name for name, count in Counter(source.name for source in sources).items() if count > 1]:
            raise UserError(f"{twice[0]} is given twice as a dataset to train on: name it once")
        self._order: dict[int, tuple[int, NDArray[np.int64]]] = {}

    def drawn(self, step: int) -> NDArray[np.int64]:
        """(sources,) number of samples that were drawn from each source before `step`."""
        counts = np.zeros(len(self.sources), np.int64)
        for domain, left in zip(DOMAINS, self._drawn_by_domain(step), strict=True):
            for source, share in self._chains[domain]:
                # Of k draws the first source takes k * share, rounded, and the sources after it share what is left.
                # Neither falls as k grows, so no source's count ever falls.
                taken = (2 * left * share.numerator + share.denominator) // (2 * share.denominator)
                counts[source] = taken
                left -= taken
        return counts

    def batch(self, step: int) -> Draws:
        """The whole batch of a step, counted from 0."""
        assert 0 <= step < self.total_steps, step
        before, after = self.drawn(step), self.drawn(step + 1)
        drawn = [
            self._draw(source, *ends) for source, ends in enumerate(zip(before, after, strict=True)) if np.ptp(ends)
        ]
        source_B, row_B, seed_B = (np.concatenate(column) for column in zip(*drawn, strict=True))
        order = permutation(self.batch_size, key_of("batch", self.seed, step))
        return Draws(source_B[order], row_B[order], seed_B[order])

    def _drawn_by_domain(self, step: int) -> tuple[int, int]:
        real = (int(self._expected_real[step]) + _UNIT // 2) // _UNIT
        return step * self.batch_size - real, real

    def _draw(self, source: int, first: int, end: int) -> tuple[NDArray[np.int64], ...]:
        """Source, row and seed, each (end - first,), of the draws `first` to `end` - 1 of a source."""
        epoch, index = np.divmod(np.arange(first, end), len(self.sources[source].rows))
        row = np.empty_like(index)
        for number in np.unique(epoch):
            row[epoch == number] = self._shuffled(source, int(number))[index[epoch == number]]
        row = self.sources[source].rows[row]
        return np.full_like(row, source), row, _sample_seeds(key_of(self.seed, self.sources[source].name), row, epoch)

    def _shuffled(self, source: int, epoch: int) -> NDArray[np.int64]:
        """(R,) order of a source's rows in one of its epochs, kept until another epoch is asked for."""
        if source not in self._order or self._order[source][0] != epoch:
            name, rows = self.sources[source].name, self.sources[source].rows
            self._order[source] = epoch, permutation(len(rows), key_of("epoch", self.seed, name, epoch))
        return self._order[source][1]


def kept_rows(
    splits: Mapping[str, tuple[Sequence[str | None], Sequence[str | None]]], excluded_classes: Sequence[str]
) -> dict[str, NDArray[np.int64]]:
    """The rows of each split whose class_name and category are both not excluded (for open-vocabulary experiments).

    Args:
        splits: columns class_name and category of each source that classes are excluded from, by its name.
        excluded_classes: class names or categories, as in the columns.

    Raises:
        UserError: nothing is left of a source, or no source knows an excluded class.
    """
    excluded = pa.array(excluded_classes, pa.string())
    known: set[str] = set()
    kept = {}
    for name, columns in splits.items():
        class_name, category = (pa.array(column, pa.string()) for column in columns)
        known |= {*class_name.unique().to_pylist(), *category.unique().to_pylist()}
        out = pc.or_(pc.is_in(class_name, value_set=excluded), pc.is_in(category, value_set=excluded))
        kept[name] = np.flatnonzero(~out.to_numpy(zero_copy_only=False))
        if not len(kept[name]):
            raise UserError(f"{name} has no rows left to train on: take some of its classes out of excluded_classes")
    if unknown := [name for name in excluded_classes if name not in known]:
        raise UserError(
            f"excluded_classes names {unknown[0]!r}, which is no class_name or category of "
            f"{', '.join(splits) or 'any split: data has none of the domain that data.excluded_from names'}"
        )
    return kept


def samples_per_epoch(objects: int, coverage: float = 0.8, rule: str = "coupon_collector") -> int:
    """Samples of an epoch that sees a share `coverage` of the objects.

    The published recipe draws with replacement: k draws miss one of N objects with probability (1 - 1 / N)^k, about
    exp(-k / N), so that k = N ln(1 / (1 - coverage)) (`coupon_collector`). This project draws without replacement,
    where coverage * N draws (`distinct`) see as much; the former makes epochs as long as the paper's.

    Args:
        objects: N.
        coverage: share of the objects, above 0 and below 1.
        rule: `coupon_collector` or `distinct`.

    Raises:
        UserError: a value is out of its range.
    """
    if rule == "distinct" and 0 < coverage <= 1:
        return math.ceil(objects * coverage)
    if rule == "coupon_collector" and 0 < coverage < 1:
        return math.ceil(objects * math.log(1 / (1 - coverage)))
    raise UserError(
        f"epochs.coverage {coverage} with epochs.rule {rule!r} makes no epoch: "
        "give a share above 0 and below 1, and the rule coupon_collector or distinct"
    )


def _chain(domain: str, sources: Sequence[SampleSource]) -> list[tuple[int, Fraction]]:
    """The sources of a domain by number, each with its share of what those before it leave: 1 for the last.

    Raises:
        UserError: weights are not all given or all left out, or not positive; or a source is empty.
    """
    own = [number for number, source in enumerate(sources) if source.domain == domain]
    for number in own:
        if not len(sources[number].rows):
            raise UserError(f"{sources[number].name} has no rows to train on: leave it out of data, or mine it again")
    if len({sources[number].weight is None for number in own}) > 1:
        raise UserError(f"some {domain} datasets have a weight and others none: give one to all of them or to none")
    weights = [_weight(sources[number]) for number in own]
    return [
        (number, weight / sum(weights[index:])) for index, (number, weight) in enumerate(zip(own, weights, strict=True))
    ]


def _weight(source: SampleSource) -> Fraction:
    if source.weight is None:
        return Fraction(len(source.rows))
    if not 0 < source.weight < math.inf:
        raise UserError(
            f"{source.name} has the weight {source.weight}: give a number above 0, or leave the dataset out"
        )
    return Fraction(str(source.weight))


def _sample_seeds(key: int, row_B: NDArray[np.int64], epoch_B: NDArray[np.int64]) -> NDArray[np.int64]:
    return bits(bits(np.full_like(row_B, key), "row", row_B), "epoch", epoch_B)
