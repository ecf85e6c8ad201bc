"""Confidence intervals of accuracies by bootstrap over instances: clouds of one object are alike, so objects are drawn.

Letters in names: N clouds, I instances, K accuracies, R draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS = 1000
_Z = 1.96  # of a normal variable 95 % is within so many deviations
_COUNTS_AT_ONCE = 1 << 23  # of draws times instances: 64 MB


@dataclass(frozen=True)
class Estimate:
    """An accuracy with its 95 % interval, all 0 to 1, or NaN where no cloud counts; or a difference of two, from -1."""

    value: float
    """The accuracy of the clouds as they are."""
    low: float
    """2.5 % of draws are below; where all draws are alike, the end of Wilson's interval."""
    high: float
    """2.5 % of draws are above; where all draws are alike, the end of Wilson's interval."""

    def as_json(self) -> dict[str, float]:
        """The fields, as metrics.json has them."""
        return asdict(self)


@dataclass(frozen=True)
class Bootstrap:
    """K accuracies of the same N clouds as they are, and in each of R draws of their instances."""

    values_K: NDArray[np.float64]
    """Accuracies of the clouds as they are; NaN where none counts."""
    draws_RK: NDArray[np.float64]
    """Accuracies in each draw; NaN where a draw holds no cloud that counts."""
    instances_K: NDArray[np.int64]
    """Instances that have a cloud that counts."""

    @classmethod
    def of(cls, columns_NK: NDArray, instances: Sequence[str], draws: int = _DRAWS, seed: int = 0) -> Bootstrap:
        """The mean of each column, and the means when I of I instances are drawn with replacement, with all clouds.

        Percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13) of clusters: an
        instance counts as often as it is drawn. The same clouds in any order give the same draws.

        Args:
            columns_NK: 1 where a cloud is right, 0 where it is wrong, NaN where it does not count.
            instances: name of the instance of each cloud.
            draws: R.
            seed: of the draws.
        """
        assert len(columns_NK) == len(instances) > 0, "a cloud for each row, and at least one"
        _, instance_N = np.unique(np.asarray(instances, object).astype(str), return_inverse=True)
        counted_NK = ~np.isnan(columns_NK)
        right_IK = _sums(np.where(counted_NK, columns_NK, 0), instance_N)
        counted_IK = _sums(counted_NK.astype(np.float64), instance_N)
        values_K = _ratio(right_IK.sum(axis=0), counted_IK.sum(axis=0))
        rng, count = np.random.default_rng(seed), len(right_IK)
        at_once = max(1, _COUNTS_AT_ONCE // count)
        chunks = []
        for begin in range(0, draws, at_once):
            # How often each instance is among I drawn with replacement is multinomial, and so a draw is two sums over
            # instances: sum(times * right clouds) / sum(times * counted clouds).
            times_RI = rng.multinomial(count, np.full(count, 1 / count), size=min(at_once, draws - begin))
            chunks.append(_ratio(times_RI @ right_IK, times_RI @ counted_IK))
        return cls(values_K, np.concatenate(chunks), (counted_IK > 0).sum(axis=0))

    def estimate(self, column: int) -> Estimate:
        """The estimate of a column, in which at least one cloud counts."""
        return self.mean([column])

    def mean(self, columns: Sequence[int], lowest: float = 0.0) -> Estimate:
        """The estimate of the mean of some columns; a draw leaves out those in which no cloud of it counts.

        Where all instances of a column are right, or all are wrong, its draws are the same and tell nothing. What it
        adds to the interval is then Wilson's (Probable Inference, JASA 1927) for as many trials as it has instances;
        columns are taken for independent, so that what they add is a root of squares.

        Args:
            columns: their numbers.
            lowest: what a value can be at least: -1 for differences of accuracies.
        """
        chosen = list(columns)
        value, draws_R = np.nanmean(self.values_K[chosen]), np.nanmean(self.draws_RK[:, chosen], axis=1)
        low, high = np.nanpercentile(draws_R, [2.5, 97.5])
        below, above = self._silent(chosen, lowest)
        if below:
            low = max(value - np.hypot(max(value - low, 0), below), lowest)
        if above:
            high = min(value + np.hypot(max(high - value, 0), above), 1.0)
        return Estimate(float(value), float(low), float(high))

    def _silent(self, chosen: list[int], lowest: float) -> tuple[float, float]:
        """How far the mean of columns may lie below and above by those columns whose draws are all alike."""
        known = [column for column in chosen if self.instances_K[column]]
        draws_RK, values_K = self.draws_RK[:, known], self.values_K[known]
        alike_K = np.nanmin(draws_RK, axis=0) == np.nanmax(draws_RK, axis=0)
        reach_K = np.where(alike_K, _Z**2 / (self.instances_K[known] + _Z**2), 0.0)
        below_K, above_K = np.minimum(reach_K, values_K - lowest), np.minimum(reach_K, 1.0 - values_K)
        return float(np.linalg.norm(below_K)) / len(known), float(np.linalg.norm(above_K)) / len(known)


def _sums(values_NK: NDArray[np.float64], instance_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """(I, K) sums over the clouds of each instance."""
    sums_IK = np.zeros((instance_N.max() + 1, values_NK.shape[1]))
    np.add.at(sums_IK, instance_N, values_NK)
    return sums_IK


def _ratio(right: NDArray[np.float64], counted: NDArray[np.float64]) -> NDArray[np.float64]:
    """`right` / `counted`, NaN where nothing is counted."""
    return np.divide(right, counted, out=np.full(right.shape, np.nan), where=counted > 0)
