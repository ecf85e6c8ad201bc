"""Which views of a part get a caption, and reading them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import storage
from blendclip.sampling import spread


@dataclass(frozen=True)
class ChosenViews:
    """Rows of one Parquet file of views."""

    path: Path
    chosen: NDArray[np.bool_]
    """For each row of the file."""
    views_of_instance: dict[str, int] = field(default_factory=dict)
    """How many views each instance has in the file."""

    def __len__(self) -> int:
        return int(self.chosen.sum())

    def tables(self, columns: list[str], at_once: int, only: NDArray[np.bool_] | None = None) -> Iterator[pa.Table]:
        """The chosen rows, or `only` some rows, in order and in tables of at most `at_once` rows."""
        wanted = self.chosen if only is None else only
        start = 0
        file = storage.open_parquet(self.path)
        for number in range(file.num_row_groups):
            stop = start + file.metadata.row_group(number).num_rows
            if wanted[start:stop].any():
                for batch in file.iter_batches(at_once, row_groups=[number], columns=columns):
                    mask = wanted[start : start + len(batch)]
                    start += len(batch)
                    if mask.any():
                        yield pa.Table.from_batches([batch.filter(pa.array(mask))])
            start = stop

    @property
    def left_out(self) -> NDArray[np.bool_]:
        """The other rows."""
        return ~self.chosen


def choose_views(path: Path, max_views_per_instance: int | None) -> ChosenViews:
    """All views of a part, or at most `max_views_per_instance` of each instance, evenly spaced along its track.

    Raises:
        UserError: there is no such file.
    """
    table = storage.read_parquet(path, ["instance_token", "timestamp_us", "channel"])
    chosen = np.ones(table.num_rows, bool)
    order = table.append_column("row", pa.array(np.arange(table.num_rows))).sort_by(
        [("timestamp_us", "ascending"), ("channel", "ascending")]
    )
    rows_of = defaultdict(list)
    for instance, row in zip(order["instance_token"].to_pylist(), order["row"].to_pylist(), strict=True):
        rows_of[instance].append(row)
    if max_views_per_instance is not None:
        for rows in rows_of.values():
            chosen[rows] = False
            chosen[spread(np.array(rows), max_views_per_instance)] = True
    return ChosenViews(path, chosen, {instance: len(rows) for instance, rows in rows_of.items()})


def sample_views(paths: list[Path], count: int) -> list[ChosenViews]:
    """At most `count` views, evenly spaced over the rows of all files.

    Raises:
        UserError: there is no such file.
    """
    sizes = [storage.open_parquet(path).metadata.num_rows for path in paths]
    chosen = np.zeros(sum(sizes), bool)
    chosen[spread(np.arange(len(chosen)), count)] = True
    parts = np.split(chosen, np.cumsum(sizes)[:-1])
    return [ChosenViews(path, part) for path, part in zip(paths, parts, strict=True)]
