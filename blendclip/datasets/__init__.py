"""All that knows a foreign format. An adapter turns a dataset into rows of the scene index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from blendclip import storage
from blendclip.datasets.validation import validate_index
from blendclip.errors import UserError

FORMATS = ("nuscenes", "truckscenes")


def write_index(
    root: Path, version: str, dataset: str, splits: Sequence[str], output: Path, *, format: str = "nuscenes"
) -> dict[str, int]:
    """Write `output`/{split}.parquet, a row group per scene, for each split; return the number of scenes of each.

    The dataset's tables are loaded once, by its devkit, whatever the number of splits.

    Raises:
        UserError: the dataset, its version or a split is not there, or what it holds breaks the index's contract.
    """
    if format not in FORMATS:
        raise UserError(f"there is no adapter for format {format!r}: set `format` to one of {', '.join(FORMATS)}")
    from blendclip.datasets import tables as devkit_tables  # devkits take seconds to import

    devkit = import_module(f"blendclip.datasets.{format}").DEVKIT
    tables = devkit_tables.load(devkit, root, version)
    # Complain before the first is written.
    scenes = {split: devkit_tables.split_scenes(devkit, tables, split) for split in splits}
    about = storage.metadata("index", {"format": format, "version": version})
    counts = {}
    for split in splits:
        rows = devkit_tables.index_rows(devkit, tables, scenes[split], dataset, split)
        counts[split] = _write_split(output / f"{split}.parquet", rows, about)
    return counts


def _write_split(path: Path, rows: Iterable[dict[str, Any]], about: dict[str, str]) -> int:
    """Write an index of these rows and check it; what breaks the contract is not left behind."""
    tables = (storage.table_of([row], storage.INDEX) for row in rows)
    count = storage.write_parquet(path, storage.INDEX, tables, about)
    try:
        validate_index(path)
    except UserError:
        path.unlink()
        raise
    return count
