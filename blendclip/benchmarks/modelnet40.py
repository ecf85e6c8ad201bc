"""Format `modelnet40`: the test split of ModelNet40 in one of its three common layouts.

- OpenShape's: `test_split.json` and `test_pc.npy`, y up, 10,000 points;
- `modelnet40_ply_hdf5_2048`: `shape_names.txt` and `ply_data_test*.h5`, y up, 2048 points;
- the meshes of Princeton: `{class}/test/*.off`, z up, sampled here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blendclip.benchmarks.clouds import LabeledCloud, colors, read_json, turned, usable
from blendclip.benchmarks.hdf5 import hdf5_clouds
from blendclip.benchmarks.names import check_order, listed_names, paired, plain
from blendclip.benchmarks.options import ModelNet40Options
from blendclip.datasets.cad.openshape import read_objects
from blendclip.datasets.cad.surface import read_surface
from blendclip.errors import UserError
from blendclip.randomness import stable_rng

log = logging.getLogger(__name__)

NAMES = (
    *("airplane", "bathtub", "bed", "bench", "bookshelf", "bottle", "bowl", "car", "chair", "cone", "cup", "curtain"),
    *(
        "desk",
        "door",
        "dresser",
        "flower_pot",
        "glass_box",
        "guitar",
        "keyboard",
        "lamp",
        "laptop",
        "mantel",
        "monitor",
    ),
    *("night_stand", "person", "piano", "plant", "radio", "range_hood", "sink", "sofa", "stairs", "stool", "table"),
    *("tent", "toilet", "tv_stand", "vase", "wardrobe", "xbox"),
)
"""The 40 classes in the order of their labels."""

_TEST_CLOUDS = 2468
_UP = {"openshape": "y", "hdf5": "y", "off": "z"}


class ModelNet40:
    """Reads a folder of one of the layouts."""

    in_metres = False

    def __init__(self, options: ModelNet40Options) -> None:
        """Find out the layout.

        Raises:
            UserError: the folder has none of them, or several.
        """
        self._path, self._points, self.where = options.path, options.points, str(options.path)
        marks = {"openshape": "test_pc.npy", "hdf5": "ply_data_test*.h5", "off": "*/test/*.off"}
        found = [layout for layout, mark in marks.items() if next(options.path.glob(mark), None)]
        if len(found) != 1:
            which = " and ".join(marks[layout] for layout in found) or f"none of {', '.join(marks.values())}"
            raise UserError(f"{options.path} has {which}: `path` must be a folder with one layout of ModelNet40")
        self._layout = found[0]
        self._up = options.up or _UP[self._layout]

    def names(self) -> Sequence[str]:
        """The 40 classes."""
        return NAMES

    def clouds(self, left_out: Counter[str]) -> Iterator[LabeledCloud]:
        """The clouds of the test split.

        Raises:
            UserError: a file is missing or broken, or labels, names and files do not agree.
        """
        read = {"openshape": self._openshape, "hdf5": self._hdf5, "off": self._off}[self._layout]
        number = 0
        for number, cloud in enumerate(read(), 1):  # noqa: B007
            yield cloud
        if number != _TEST_CLOUDS:
            log.warning("%s has %d clouds; the test split of ModelNet40 has %d", self.where, number, _TEST_CLOUDS)

    def _openshape(self) -> Iterator[LabeledCloud]:
        split_path, clouds_path = self._path / "test_split.json", self._path / "test_pc.npy"
        shapes = read_json(split_path, list)
        with usable(clouds_path):
            clouds = read_objects(clouds_path)
        try:
            pairs = [(shape["name"], shape["category"]) for shape in shapes]
        except (KeyError, TypeError) as error:
            raise UserError(f"{split_path} is no list of name and category ({error!r}): unpack it again") from None
        if len(pairs) != len(clouds.reshape(-1)):
            raise UserError(f"{clouds_path} has {clouds.size} clouds for the {len(pairs)} of {split_path.name}")
        class_of = paired(dict.fromkeys(category for _, category in pairs), NAMES, str(split_path))
        for (name, category), cloud in zip(pairs, clouds.reshape(-1), strict=True):
            _check_name(name, class_of[category], split_path)
            yield self._colored(name, class_of[category], cloud, f"{clouds_path}, cloud {name},")

    def _colored(self, name: str, class_name: str, cloud: Any, where: str) -> LabeledCloud:
        if not isinstance(cloud, dict) or "xyz" not in cloud:
            raise UserError(f"{where} is no dict with xyz: unpack it again")
        points = turned(cloud["xyz"], self._up, where)
        return LabeledCloud(name, class_name, points, colors(cloud.get("rgb"), len(points), 255, where))

    def _hdf5(self) -> Iterator[LabeledCloud]:
        names_path = self._path / "shape_names.txt"
        check_order(listed_names(names_path), NAMES, str(names_path))
        for path in sorted(self._path.glob("ply_data_test*.h5")):
            clouds = list(hdf5_clouds(path, len(NAMES)))
            meshes = _mesh_names(path, [label for _, label in clouds])
            for number, (points, label) in enumerate(clouds):
                name = meshes[number] if meshes else f"{path.stem}/{number}"
                yield LabeledCloud(name, NAMES[label], turned(points, self._up, str(path)))

    def _off(self) -> Iterator[LabeledCloud]:
        folders = sorted({path.parents[1].name for path in self._path.glob("*/test/*.off")})
        class_of = paired(folders, NAMES, str(self._path))
        for folder in folders:
            for path in sorted((self._path / folder / "test").glob("*.off")):
                _check_name(path.stem, class_of[folder], path)
                yield LabeledCloud(path.stem, class_of[folder], turned(self._sampled(path), self._up, str(path)))

    def _sampled(self, path: Path) -> NDArray[np.float32]:
        with usable(path):
            return read_surface(path).sample(self._points, stable_rng(path.stem, "points"))[0]


def _mesh_names(path: Path, labels: Sequence[int]) -> list[str] | None:
    """The mesh that each cloud was taken from, of the list beside `path`; None where there is no list.

    Raises:
        UserError: the meshes are of other classes than the labels say.
    """
    listing = path.with_name(f"{path.stem[:-1]}_{path.stem[-1]}_id2file.json")
    if not listing.is_file():
        return None
    files = read_json(listing, list)
    if len(files) != len(labels) or not all(isinstance(file, str) for file in files):
        raise UserError(f"{listing} is no list of the {len(labels)} clouds of {path.name}: unpack it again")
    for file, label in zip(files, labels, strict=True):
        if plain(file.split("/")[0]) != plain(NAMES[label]):
            raise UserError(
                f"{path} labels {file} as {NAMES[label]}: the two files are not of one release, unpack again"
            )
    return [Path(file).stem for file in files]


def _check_name(name: str, class_name: str, where: Path) -> None:
    """A shape such as night_stand_0250 is of the class that its name begins with."""
    stem = plain(name.rpartition("_")[0])
    if stem in map(plain, NAMES) and stem != plain(class_name):
        raise UserError(f"{where} says that {name} is a {class_name}: its labels are mixed up, unpack it again")
