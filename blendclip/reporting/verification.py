"""Whether a results folder is whole: all is there that summaries count, and files are as they were written.

A summary is small and outlives the files that it speaks of; a copy of a folder may be cut short, and a disk flips bits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from blendclip import storage
from blendclip.accounts import SplitTables
from blendclip.errors import UserError
from blendclip.results import Results

_UNHELD = ("datasets", "caches", "logs", "timings")
"""Folders of a results folder that hold no results: what is generated is not read back, caches mend themselves."""


def lost(files: Results, splits: Sequence[tuple[str, str]] = ()) -> list[str]:
    """What summaries count and files do not hold, a sentence each; no page of a file is read.

    Args:
        files: the results folder.
        splits: dataset and split of the summaries; all that are there, if none is given. One that is not there is
            lost.
    """
    summaries = [files.summary(*split) for split in splits] or files.summaries()
    faults = []
    for path in summaries:
        try:
            faults += list(_lost_of_split(files, path))
        except UserError as error:
            faults.append(str(error))
    return faults


def damaged(files: Results) -> Iterator[tuple[Path, str | None]]:
    """Every Parquet, Arrow and safetensors file of a results folder, and what is wrong with it, if anything.

    Pages and batches are held against their checksums, weights against theirs.
    """
    for path in _held(files.root):
        if read := _READERS.get(path.suffix):
            try:
                read(path)
            except UserError as error:
                yield path, str(error)
            else:
                yield path, None


def _held(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from () if path.parent == folder and path.name in _UNHELD else _held(path)
        else:
            yield path


def _lost_of_split(files: Results, path: Path) -> Iterator[str]:
    summary = read_summary(path)
    where, parts = (summary["dataset"], summary["split"]), summary["parts"]
    tables = SplitTables(files, *where, parts)
    for table, rows in summary["rows"].items():
        yield from _lost_rows(tables, table, rows, path)
    if (
        "scenes" in summary
        and (scenes := storage.open_parquet(files.index(*where)).num_row_groups) != summary["scenes"]
    ):
        yield f"{files.index(*where)} has {scenes} scenes, where {path} counts {summary['scenes']}: mine it again"
    files.check_parts(*where, parts)


def _lost_rows(tables: SplitTables, table: str, counted: int, summary: Path) -> Iterator[str]:
    """Files of a table that are not there, or how many rows are too few or too many."""
    paths = tables.paths(table)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        others = f" and {len(missing) - 1} more" if missing[1:] else ""
        yield f"{missing[0]}{others} of {len(paths)} parts missing: run `snakemake` again, which makes them"
        return
    if (rows := tables.rows(table)) != counted:
        yield (
            f"{paths[0].parent} holds {rows:,} rows of {table}, where {summary} counts {counted:,}: delete both and "
            "run `snakemake` again"
        )


def read_summary(path: Path) -> dict[str, Any]:
    """The JSON of `blendclip summary`.

    Raises:
        UserError: it is not there, is no JSON, or is of another version.
    """
    try:
        summary: dict[str, Any] = json.loads(storage.existing(path).read_text())
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}): delete it and run `blendclip summary` again") from None
    if not isinstance(summary, dict) or not {"parts", "rows"} <= summary.keys():
        raise UserError(f"{path} is of an older version: delete it and run `blendclip summary` again")
    return summary


def _read_pages(path: Path) -> int:
    """Read all pages of a Parquet file, a row group at a time; return the number of rows."""
    file = storage.open_parquet(path)
    return sum(file.read_row_group(number).num_rows for number in range(file.num_row_groups))


def _check_weights(path: Path) -> None:
    from blendclip.encoders.weights import read_weights  # of torch

    read_weights(path, "copy or train it again")


_READERS: dict[str, Callable[[Path], Any]] = {
    ".parquet": _read_pages,
    ".arrow": storage.check_arrow,
    ".safetensors": _check_weights,
}
