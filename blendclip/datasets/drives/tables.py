"""Datasets in nuScenes' schema to the scene index: their tables are read here, their rules come from their devkits.

The devkit says which scenes a split holds, which detection class a category belongs to, and which boxes the official
detection benchmark evaluates. Its own loading needs several times the memory, and files that mining does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blendclip.datasets.drives.classes import Classes
from blendclip.datasets.drives.devkits import DevkitRules
from blendclip.datasets.drives.loading import Tables, load_tables
from blendclip.datasets.drives.options import MissingFiles
from blendclip.datasets.drives.poses import PoseStream
from blendclip.datasets.drives.presence import scenes_with_files, sweep_paths
from blendclip.datasets.drives.raw_columns import told_columns
from blendclip.datasets.drives.remarks import warn_of_remarkable
from blendclip.datasets.drives.scene_rows import SceneReader
from blendclip.errors import UserError

# Scenes of mini are in train or val as well: the devkits' evaluation refuses the mixture, and so do we.
_SPLITS_OF = {
    "mini": {"mini_train", "mini_val"},
    "trainval": {"train", "val", "train_detect", "train_track"},
    "test": {"test"},
}


@dataclass(frozen=True)
class Devkit(DevkitRules):
    """The adapter of a dataset in nuScenes' schema, given what that dataset has of its own."""

    def load(
        self,
        root: Path,
        version: str,
        missing_files: MissingFiles = "skip",
        lidar_columns: int | None = None,
        classes: Mapping[str, str] | None = None,
    ) -> LoadedTables:
        """The tables of `version` under `root`, and what `TableOptions` say of them.

        Raises:
            UserError: root, version, a needed table or a column is not there, a value has another type, or a class is
                not known.
        """
        own = Classes(classes or {}, self.detection_name, self.class_range_m)
        if not root.is_dir():
            raise UserError(f"there is no folder {root}: set `root` of the dataset to the folder that holds {version}/")
        if not (root / version).is_dir():
            found = sorted(path.parent.name for path in root.glob("*/sample_annotation.json"))
            raise UserError(
                f"{root} has no version {version!r}: set `version` to one of {found or 'the official names'}"
            )
        tables = load_tables(root, version, pose_stream=self.pose_stream)
        own.check_categories(tables.category.arrow("name").to_pylist())
        warn_of_remarkable(tables)
        return LoadedTables(tables, missing_files, own, lidar_columns)

    def split_scenes(self, loaded: LoadedTables, split: str) -> list[int]:
        """The scenes of a split that the tables hold and that have files, rows of `scene`, in the split's order.

        The split is an official one, or one of the dataset's own `splits.json` (name to list of scene names) beside the
        tables.

        Raises:
            UserError: no such split, it belongs to another version, or none of its scenes is there.
        """
        tables, official = loaded.tables, self.official_splits()
        suffix = next((suffix for suffix in _SPLITS_OF if tables.version.endswith(suffix)), None)
        if suffix and split in official and split not in _SPLITS_OF[suffix]:
            raise UserError(
                f"split {split!r} is not one of version {tables.version} in {tables.root}, which would hold a "
                f"fraction of it: set `splits` to some of {sorted(_SPLITS_OF[suffix])}"
            )
        names = official[split] if split in official else _own_splits(tables.folder).get(split)
        if not isinstance(names, list):
            raise UserError(
                f"{tables.folder} has no split {split!r}: set `splits` to some of {sorted(official)}, or define it "
                "in splits.json beside the tables"
            )
        by_name = {name: row for row, name in enumerate(tables.scene.arrow("name").to_pylist())}
        scenes = [by_name[name] for name in names if name in by_name]
        if not scenes:
            present = sorted(name for name, members in official.items() if by_name.keys() & set(members))
            raise UserError(
                f"{tables.folder} holds no scene of split {split!r}: set `splits` to some of {present}, or define "
                "one in splits.json beside the tables"
            )
        return scenes_with_files(tables, scenes, split, loaded.missing_files)

    def rows(self, loaded: LoadedTables, scenes: list[int]) -> Iterator[dict[str, Any]]:
        """The rows of the scene index (schema `schemas.INDEX`) but for dataset and split, one per scene.

        Raises:
            UserError: a table refers to a record that is not there, or two ego poses contradict each other.
        """
        stream = PoseStream(loaded.tables.ego_pose) if self.pose_stream else None
        columns = loaded.lidar_columns or told_columns(loaded.tables.root, sweep_paths(loaded.tables, scenes))
        for scene in scenes:
            yield SceneReader(self, loaded.tables, loaded.classes, columns, stream, scene).row()


@dataclass(frozen=True)
class LoadedTables:
    """The tables of a dataset, and what the user says of it."""

    tables: Tables
    missing_files: MissingFiles
    classes: Classes
    lidar_columns: int | None
    """Float32 values of a point in raw sweeps; None where the files are to tell."""


def _own_splits(folder: Path) -> Mapping[str, list[str]]:
    path = folder / "splits.json"
    if not path.is_file():
        return {}
    try:
        splits = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}): mend it") from None
    if not isinstance(splits, dict):
        raise UserError(f"{path} is a {type(splits).__name__}: it must map names of splits to lists of scene names")
    return splits
