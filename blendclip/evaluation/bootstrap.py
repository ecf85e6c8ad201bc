"""Confidence intervals of accuracies by bootstrap over instances: clouds of one object are alike, so objects are drawn.

Letters in names: N clouds, I instances, K accuracies, R draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS = 1000
_COUNTS_AT_ONCE = 1 << 23  # of draws times instances: 64 MB


@dataclass(frozen=True)
class Estimate:
    """An accuracy with its 95 % bootstrap interval, all 0 to 1, or NaN where no cloud counts."""

    value: float
    """The accuracy of the clouds as they are."""
    low: float
    """2.5 % of draws are below."""
    high: float
    """2.5 % of draws are above."""

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
        return cls(values_K, np.concatenate(chunks))

    def estimate(self, column: int) -> Estimate:
        """The estimate of a column, in which at least one cloud counts."""
        return _estimate(self.values_K[column], self.draws_RK[:, column])

    def mean(self, columns: Sequence[int]) -> Estimate:
        """The estimate of the mean of some columns; a draw leaves out those in which no cloud of it counts."""
        chosen = list(columns)
        return _estimate(np.nanmean(self.values_K[chosen]), np.nanmean(self.draws_RK[:, chosen], axis=1))


def _sums(values_NK: NDArray[np.float64], instance_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """(I, K) sums over the clouds of each instance."""
    sums_IK = np.zeros((instance_N.max() + 1, values_NK.shape[1]))
    np.add.at(sums_IK, instance_N, values_NK)
    return sums_IK


def _ratio(right: NDArray[np.float64], counted: NDArray[np.float64]) -> NDArray[np.float64]:
    """`right` / `counted`, NaN where nothing is counted."""
    return np.divide(right, counted, out=np.full(right.shape, np.nan), where=counted > 0)


def _estimate(value: float, draws_R: NDArray[np.float64]) -> Estimate:
    """A value with the 2.5 and 97.5 percentiles of its draws."""
    low, high = np.nanpercentile(draws_R, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high))
