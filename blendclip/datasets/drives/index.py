"""Driving datasets to the scene index, by the adapter of their format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from tqdm import tqdm

from blendclip import schemas, storage
from blendclip.datasets.drives.validation import validate_index
from blendclip.datasets.formats import format_named
from blendclip.errors import UserError
from blendclip.options import Options, plain
from blendclip.plain_names import inside, plain_name


class Adapter(Protocol):
    """What `write_index` asks of a format's reader. Tables and scenes are what the adapter likes them to be.

    A class `Options` of it, if any, says what config.yaml may hold for its datasets; else that is `DriveOptions`.
    """

    def load(self, root: Path, **options: Any) -> Any:
        """The tables of a dataset, given each of its options; UserError where they are not there."""

    def split_scenes(self, tables: Any, split: str) -> Sequence[Any]:
        """The scenes of a split, in an order that stays; UserError where there are none."""

    def rows(self, tables: Any, scenes: Sequence[Any]) -> Iterable[dict[str, Any]]:
        """A row of `schemas.INDEX`, but for dataset and split, for each scene.

        Its nested tables are lists of dictionaries, or Arrow arrays of structs.
        """


def write_index(
    root: Path, options: Options, dataset: str, splits: Sequence[str], output: Path, *, format: str = "nuscenes"
) -> dict[str, int]:
    """Write `output`/{split}.parquet, a row group per scene, for each split; return the number of scenes of each.

    The dataset's tables are loaded once, whatever the number of splits.

    Raises:
        UserError: the dataset, its version or a split is not there, cannot name a file, or breaks the
            index's contract.
    """
    plain_name(dataset)
    paths = {split: inside(output, split, suffix=".parquet") for split in splits}
    adapter: Adapter = format_named(format, "drive").open()
    tables = adapter.load(root, **asdict(options))
    scenes = {split: adapter.split_scenes(tables, split) for split in splits}  # complain before the first is written
    about = storage.metadata("index", {"format": format} | _unusual(options))
    counts = {}
    for split in splits:
        rows = tqdm(adapter.rows(tables, scenes[split]), f"index {dataset}/{split}", len(scenes[split]), unit="scene")
        named = ({"dataset": dataset, "split": split} | row for row in rows)
        counts[split] = _write_split(paths[split], named, about)
    return counts


def _unusual(options: Options) -> dict[str, Any]:
    """Options that are not at their defaults, so that a new one changes no byte of an index that does without it."""
    defaults = {one.name: one.default for one in fields(options)}
    return {name: value for name, value in plain(options).items() if value != defaults[name]}


def _table_of(row: dict[str, Any]) -> pa.Table:
    """The table of one scene."""
    columns = [_column(row[one.name], one.type) for one in schemas.INDEX]
    return pa.table(columns, schema=schemas.INDEX)


def _column(value: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(value, pa.StructArray):
        return pa.ListArray.from_arrays(pa.array([0, len(value)], pa.int32()), value, type=kind)
    return pa.array([value], kind)


def _write_split(path: Path, rows: Iterable[dict[str, Any]], about: dict[str, str]) -> int:
    """Write an index of these rows and check it; what breaks the contract is not left behind."""
    tables = (_table_of(row) for row in rows)
    count = storage.write_parquet(path, schemas.INDEX, tables, about)
    try:
        validate_index(path)
    except UserError:
        path.unlink()
        raise
    return count
