"""Format `scanobjectnn`: the test split of ScanObjectNN, scans of real objects, y up.

- The authors' HDF5 files: `main_split` is with background, `main_split_nobg` without;
- OpenShape's `xyz_label.npy`, a pickled dict of `xyz`, `label` and perhaps `rgb` (0-1).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from blendclip.benchmarks.clouds import LabeledCloud, colors, turned, usable
from blendclip.benchmarks.hdf5 import hdf5_clouds
from blendclip.benchmarks.names import check_order, label_numbers, listed_names
from blendclip.benchmarks.options import ScanObjectNNOptions
from blendclip.datasets.cad.openshape import read_shape
from blendclip.errors import UserError

log = logging.getLogger(__name__)

NAMES = (
    *("bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table", "bed", "pillow", "sink"),
    *("sofa", "toilet"),
)
"""The 15 classes in the order of their labels, which is not that of the alphabet."""

VARIANTS = {
    "obj_only": "main_split_nobg/test_objectdataset.h5",
    "obj_bg": "main_split/test_objectdataset.h5",
    "pb_t25": "main_split/test_objectdataset_augmented25_norot.h5",
    "pb_t25_r": "main_split/test_objectdataset_augmented25rot.h5",
    "pb_t50_r": "main_split/test_objectdataset_augmentedrot.h5",
    "pb_t50_rs": "main_split/test_objectdataset_augmentedrot_scale75.h5",
    "openshape": "xyz_label.npy",
}
_TEST_CLOUDS = {"obj_only": 581, "obj_bg": 581, "pb_t50_rs": 2882}


class ScanObjectNN:
    """Reads one file."""

    in_metres = False

    def __init__(self, options: ScanObjectNNOptions) -> None:
        """Find the file.

        Raises:
            UserError: there is no such file, or nothing says which.
        """
        self._path, self._up = options.path, options.up
        self._variant: str | None = options.variant
        if options.variant is not None and options.variant not in VARIANTS:
            raise UserError(f"ScanObjectNN has no variant {options.variant!r}: set one of {', '.join(VARIANTS)}")
        if options.path.is_dir():
            self._path = options.path / VARIANTS[options.variant or self._only_variant(options.path)]
        elif options.variant is not None and options.path.name != Path(VARIANTS[options.variant]).name:
            raise UserError(f"{options.path} is not variant {options.variant}: leave `variant` out, or set `path` anew")
        if not self._path.is_file():
            raise UserError(f"there is no file {self._path}: unpack the release there, or set another `variant`")
        self.where = str(self._path)

    def _only_variant(self, folder: Path) -> str:
        there = [variant for variant, name in VARIANTS.items() if (folder / name).is_file()]
        if len(there) != 1:
            raise UserError(f"{folder} holds {', '.join(there) or 'no variant'}: set `variant` to one that is there")
        self._variant = there[0]
        return there[0]

    def names(self) -> Sequence[str]:
        """The 15 classes."""
        return NAMES

    def clouds(self, left_out: Counter[str]) -> Iterator[LabeledCloud]:
        """The clouds of the file.

        Raises:
            UserError: it is broken, or its labels are not those of the 15 classes.
        """
        names_path = self._path.with_name("shape_names.txt")
        if names_path.is_file():
            check_order(listed_names(names_path), NAMES, str(names_path))
        number = 0
        read = self._openshape if self._path.suffix == ".npy" else self._hdf5
        for number, cloud in enumerate(read(), 1):  # noqa: B007
            yield cloud
        expected = _TEST_CLOUDS.get(self._variant) if self._variant else None
        if expected not in (None, number):
            log.warning("%s has %d clouds; variant %s has %d", self.where, number, self._variant, expected)

    def _hdf5(self) -> Iterator[LabeledCloud]:
        for number, (points, label) in enumerate(hdf5_clouds(self._path, len(NAMES))):
            yield LabeledCloud(f"{self._path.stem}/{number}", NAMES[label], turned(points, self._up, self.where))

    def _openshape(self) -> Iterator[LabeledCloud]:
        with usable(self._path):
            content = read_shape(self._path)
        if missing := sorted({"xyz", "label"} - set(content)):
            raise UserError(f"{self._path} has no {missing[0]}: it is not OpenShape's xyz_label.npy, unpack it again")
        labels = label_numbers(content["label"], len(NAMES), len(content["xyz"]), self.where)
        rgb = content.get("rgb", [None] * len(labels))
        for number, (xyz, label) in enumerate(zip(content["xyz"], labels.tolist(), strict=True)):
            where = f"{self.where}, cloud {number},"
            points = turned(xyz, self._up, where)
            yield LabeledCloud(f"openshape/{number}", NAMES[label], points, colors(rgb[number], len(points), 1, where))
