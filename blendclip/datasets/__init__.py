"""All that knows a foreign format. An adapter turns a dataset into rows of the scene index."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from blendclip import storage
from blendclip.errors import UserError

FORMATS = ("nuscenes", "truckscenes")


def write_index(
    root: Path, version: str, dataset: str, splits: Sequence[str], output: Path, *, format: str = "nuscenes"
) -> dict[str, int]:
    """Write `output`/{split}.parquet, a row group per scene, for each split; return the number of scenes of each.

    The dataset's tables are loaded once, by its devkit, whatever the number of splits.

    Raises:
        UserError: the dataset, its version or a split is not there.
    """
    if format not in FORMATS:
        raise UserError(f"there is no adapter for format {format!r}: set `format` to one of {', '.join(FORMATS)}")
    from blendclip.datasets import tables as devkit_tables  # devkits take seconds to import

    devkit = import_module(f"blendclip.datasets.{format}").DEVKIT
    tables = devkit_tables.load(devkit, root, version)
    # Complain before the first is written.
    scenes = {split: devkit_tables.split_scenes(devkit, tables, split) for split in splits}
    about = storage.metadata("index", {"format": format, "version": version})
    return {
        split: storage.write_parquet(
            output / f"{split}.parquet",
            storage.INDEX,
            (
                storage.table_of([row], storage.INDEX)
                for row in devkit_tables.index_rows(devkit, tables, scenes[split], dataset, split)
            ),
            about,
        )
        for split in splits
    }
