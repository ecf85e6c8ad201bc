"""The tables that mining made of a split, all parts together, and how many rows they hold.

A summary keeps the numbers of rows, and `blendclip verify` counts again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from blendclip import storage
from blendclip.results import STAGES, Results, Stage

_REJECTS = "rejects/"


@dataclass(frozen=True)
class SplitTables:
    """The tables of one dataset and split."""

    files: Results
    dataset: str
    split: str
    parts: int

    def column(self, stage: Stage, names: list[str]) -> pa.Table:
        """Some columns of all parts of a stage.

        Raises:
            UserError: a part is not there, or is damaged.
        """
        return _joined(self.paths(stage), names)

    def rejects(self, stage: str, names: list[str]) -> pa.Table:
        """Some columns of all that a stage left out.

        Raises:
            UserError: a part is not there, or is damaged.
        """
        return _joined(self.paths(f"{_REJECTS}{stage}"), names)

    def paths(self, table: str) -> list[Path]:
        """The files of a stage, or of "rejects/" and a stage, in order of their parts."""
        if table.startswith(_REJECTS):
            stage = table.removeprefix(_REJECTS)
            return [self.files.rejects(stage, self.dataset, self.split, part) for part in range(self.parts)]
        (known,) = [stage for stage in STAGES if stage == table]
        return [self.files.part(known, self.dataset, self.split, part) for part in range(self.parts)]

    def rows(self, table: str) -> int:
        """Rows of a stage, or of "rejects/" and a stage, by the footers of its files.

        Raises:
            UserError: a part is not there or is not Parquet.
        """
        return sum(storage.open_parquet(path).metadata.num_rows for path in self.paths(table))

    def row_counts(self, stages: Iterable[str], rejecting: Iterable[str]) -> dict[str, int]:
        """Rows of the tables of some stages, by stage, and of what some stages left out, by "rejects/" and stage."""
        return {table: self.rows(table) for table in [*stages, *(f"{_REJECTS}{stage}" for stage in rejecting)]}


def _joined(paths: Iterable[Path], names: list[str]) -> pa.Table:
    return pa.concat_tables(storage.read_parquet(path, names) for path in paths)
