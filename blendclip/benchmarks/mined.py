"""Format `mined`: clouds that were mined, those that the dataset's official detection evaluation counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from blendclip.benchmarks.clouds import LabeledCloud
from blendclip.benchmarks.options import MinedOptions
from blendclip.benchmarks.stored import read_clouds
from blendclip.results import Results, split_of

_ABOUT = ("instance_token", "scene", "class_name", "timestamp_us", "distance_m", "visibility")


class Mined:
    """Reads the clouds of a driving dataset and split."""

    in_metres = True

    def __init__(self, options: MinedOptions) -> None:
        """Find the files.

        Raises:
            UserError: there are none.
        """
        self._paths = Results(options.results).parts("clouds", *split_of(options.split))
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
