"""Format `mined`: clouds that were mined, by the class of the official detection evaluation or by category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from blendclip.benchmarks.clouds import LabeledCloud
from blendclip.benchmarks.options import MinedOptions
from blendclip.benchmarks.stored import read_clouds
from blendclip.results import Results, split_of

_ABOUT = ("instance_token", "scene", "timestamp_us", "distance_m", "visibility")


class Mined:
    """Reads the clouds of a driving dataset and split."""

    in_metres = True

    def __init__(self, options: MinedOptions) -> None:
        """Find the files.

        Raises:
            UserError: there are none.
        """
        self._paths = Results(options.results).parts("clouds", *split_of(options.split))
        self._by_category = options.by == "category"
        self.where = f"the clouds of {options.split}"

    def names(self) -> None:
        """Clouds of other classes are left out."""

    def clouds(self, left_out: Counter[str]) -> Iterator[LabeledCloud]:
        """The clouds that have a point and, by class, are evaluated; by part.

        The official evaluation knows no range of a category that is none of its classes, so that by category all count.

        Raises:
            UserError: a file is missing or is not Parquet.
        """
        label = "category" if self._by_category else "class_name"
        for path in self._paths:
            for row, points, rgb in read_clouds(path, ("annotation_token", "evaluated", label, *_ABOUT)):
                if not (row["evaluated"] or self._by_category):
                    left_out["not evaluated"] += 1
                elif not len(points):
                    left_out["no points"] += 1
                else:
                    about = {name: row[name] for name in _ABOUT}
                    yield LabeledCloud(row["annotation_token"], row[label], points, rgb, **about)
