"""Format `cad`: objects of a CAD dataset, from its triplets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from blendclip import storage
from blendclip.benchmarks.clouds import LabeledCloud
from blendclip.benchmarks.options import CadBenchmarkOptions
from blendclip.benchmarks.stored import read_clouds
from blendclip.results import Results, split_of


class Cad:
    """Reads the triplets of a CAD dataset and split."""

    def __init__(self, options: CadBenchmarkOptions) -> None:
        """Find the files.

        Raises:
            UserError: there are none.
        """
        self._paths = Results(options.results).parts("triplets", *split_of(options.split))
        self.where = f"the triplets of {options.split}"
        self.in_metres = all(storage.in_metres(storage.options_of(path)) for path in self._paths)

    def names(self) -> None:
        """Objects of other classes are left out."""

    def clouds(self, left_out: Counter[str]) -> Iterator[LabeledCloud]:
        """The first cloud of each object, by part.

        Raises:
            UserError: a file is missing or is not Parquet.
        """
        seen: set[str] = set()
        for path in self._paths:
            for row, points, rgb in read_clouds(path, ("triplet_id", "instance_token", "class_name")):
                token = row["instance_token"]
                if token in seen:
                    left_out["further cloud of an object"] += 1
                    continue
                seen.add(token)
                yield LabeledCloud(row["triplet_id"], row["class_name"], points, rgb, token)
