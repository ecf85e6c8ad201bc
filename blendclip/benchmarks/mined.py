"""Format `mined`: clouds that were mined, those that the dataset's official detection evaluation counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from blendclip.benchmarks.clouds import LabeledCloud
from blendclip.benchmarks.stored import part_files, read_clouds

_ABOUT = ("instance_token", "scene", "class_name", "timestamp_us", "distance_m", "visibility")


@dataclass(frozen=True)
class MinedOptions:
    """Which clouds."""

    results: Path
    split: str
    """dataset/split"""
    needed: ClassVar = ("results", "split")


class Mined:
    """Reads results/clouds/{dataset}/{split}."""

    def __init__(self, options: MinedOptions) -> None:
        """Find the files.

        Raises:
            UserError: there are none.
        """
        self._paths = part_files(options.results, "clouds", options.split)
        self.where = f"the clouds of {options.split}"

    def names(self) -> None:
        """Clouds of other classes are left out."""

    def clouds(self, left_out: Counter[str]) -> Iterator[LabeledCloud]:
        """The clouds that are evaluated and have a point, by part.

        Raises:
            UserError: a file is missing or is not Parquet.
        """
        for path in self._paths:
            for row, points, rgb in read_clouds(path, ("annotation_token", "evaluated", *_ABOUT)):
                if not row["evaluated"]:
                    left_out["not evaluated"] += 1
                elif not len(points):
                    left_out["no points"] += 1
                else:
                    about = {name: row[name] for name in _ABOUT}
                    yield LabeledCloud(row["annotation_token"], points=points, rgb=rgb, **about)
