"""Intervals of accuracies by bootstrap over instances: clouds of one object are alike, so objects are drawn.

Letters in names: N clouds, I instances, K accuracies, R draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS = 1000
_WEIGHTS_AT_ONCE = 1 << 23


@dataclass(frozen=True)
class Estimate:
    """An accuracy, 0 to 1, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """For a file."""
        return asdict(self)


@dataclass(frozen=True)
class Bootstrap:
    """Accuracies of the same N clouds as they are, and as they would be with other instances."""

    values_K: NDArray[np.float64]
    draws_RK: NDArray[np.float64]
    """NaN where a draw holds no cloud that counts."""

    @classmethod
    def of(cls, columns_NK: NDArray, instances: Sequence[str], draws: int = _DRAWS, seed: int = 0) -> Bootstrap:
        """The mean of each column, drawn anew with I of I instances, each with all its clouds.

        Percentile bootstrap of clusters; Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. The
        same clouds in any order give the same draws.

        Args:
            columns_NK: 1 where a cloud is right, 0 where it is wrong, NaN where it does not count.
            instances: of each cloud.
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
        at_once = max(1, _WEIGHTS_AT_ONCE // count)
        chunks = []
        for begin in range(0, draws, at_once):
            times_RI = rng.multinomial(count, np.full(count, 1 / count), size=min(at_once, draws - begin))
            chunks.append(_ratio(times_RI @ right_IK, times_RI @ counted_IK))
        return cls(values_K, np.concatenate(chunks))

    def estimate(self, column: int) -> Estimate:
        """Of one column, which counts at least one cloud."""
        return _estimate(self.values_K[column], self.draws_RK[:, column])

    def mean(self, columns: Sequence[int]) -> Estimate:
        """Of the mean of columns, of those in a draw that count clouds."""
        chosen = list(columns)
        return _estimate(np.nanmean(self.values_K[chosen]), np.nanmean(self.draws_RK[:, chosen], axis=1))


def _sums(values_NK: NDArray, instance_N: NDArray) -> NDArray[np.float64]:
    sums_IK = np.zeros((instance_N.max() + 1, values_NK.shape[1]))
    np.add.at(sums_IK, instance_N, values_NK)
    return sums_IK


def _ratio(right: NDArray, counted: NDArray) -> NDArray[np.float64]:
    return np.divide(right, counted, out=np.full(right.shape, np.nan), where=counted > 0)


def _estimate(value: float, draws_R: NDArray) -> Estimate:
    low, high = np.nanpercentile(draws_R, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high))
