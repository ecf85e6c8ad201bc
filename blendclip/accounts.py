"""How many rows the tables of a mined split hold: a summary keeps it, and `blendclip verify` counts again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from blendclip import storage
from blendclip.results import STAGES, Results

_REJECTS = "rejects/"


def row_counts(
    files: Results, dataset: str, split: str, parts: int, stages: Iterable[str], rejecting: Iterable[str]
) -> dict[str, int]:
    """Rows of the tables of some stages, by stage, and of what some stages left out, by "rejects/" and stage.

    Raises:
        UserError: a part is not there.
    """
    tables = [*stages, *(f"{_REJECTS}{stage}" for stage in rejecting)]
    return {table: count_rows(parts_of(files, dataset, split, parts, table)) for table in tables}


def parts_of(files: Results, dataset: str, split: str, parts: int, table: str) -> list[Path]:
    """The files of a table of `row_counts`, in order of their parts."""
    if table.startswith(_REJECTS):
        return [files.rejects(table.removeprefix(_REJECTS), dataset, split, part) for part in range(parts)]
    (stage,) = [stage for stage in STAGES if stage == table]
    return [files.part(stage, dataset, split, part) for part in range(parts)]


def count_rows(paths: Sequence[Path]) -> int:
    """Rows of Parquet files, by their footers.

    Raises:
        UserError: a file is not there or is not Parquet.
    """
    return sum(storage.open_parquet(path).metadata.num_rows for path in paths)
