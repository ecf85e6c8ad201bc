"""What a model answers for clouds: classes with scores.

Letters in names: N clouds, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SCHEMA = pa.schema(
    [
        ("name", pa.string()),  # of the best class; null where the cloud was empty
        ("score", pa.float32()),  # its cosine; null where the cloud was empty
        ("top_names", pa.list_(pa.string())),  # the best classes, best first
        ("top_scores", pa.list_(pa.float32())),  # their cosines
    ]
)


@dataclass(frozen=True)
class Predictions:
    """Of each of N clouds how near it is to each of C classes."""

    classes: Sequence[str]
    """The names to choose from."""
    cosines_NC: NDArray[np.float32]
    """(N, C) cosines of clouds and texts; NaN in the rows of empty clouds."""
    top: int = 5
    """How many of the best classes `best`, iteration and `table` tell."""

    def __len__(self) -> int:
        return len(self.cosines_NC)

    def __getitem__(self, cloud: int) -> list[tuple[str, float]]:
        """The best classes of a cloud with their cosines, best first; none of an empty cloud."""
        scores = self.cosines_NC[cloud]
        if np.isnan(scores).any():
            return []
        return [(self.classes[place], float(scores[place])) for place in self._order_NK[cloud].tolist()]

    def __iter__(self) -> Iterator[list[tuple[str, float]]]:
        return (self[cloud] for cloud in range(len(self)))

    @property
    def names(self) -> list[str | None]:
        """The best class of each cloud; None of an empty one."""
        return [best[0][0] if best else None for best in self]

    @property
    def scores(self) -> NDArray[np.float32]:
        """(N,) the cosine of each cloud's best class; NaN of an empty cloud."""
        return self.cosines_NC.max(axis=1)

    @cached_property
    def table(self) -> pa.Table:
        """A row for each cloud, with the columns of `SCHEMA`."""
        bests = list(self)
        rows = [
            {
                "name": best[0][0] if best else None,
                "score": best[0][1] if best else None,
                "top_names": [name for name, _ in best],
                "top_scores": [score for _, score in best],
            }
            for best in bests
        ]
        return pa.Table.from_pylist(rows, SCHEMA)

    @cached_property
    def _order_NK(self) -> NDArray[np.int64]:  # noqa: N802
        """The best classes of each cloud; of equals the earlier ones first."""
        return np.argsort(-self.cosines_NC, axis=1, kind="stable")[:, : self.top]
