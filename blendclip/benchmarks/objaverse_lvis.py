"""Format `objaverse_lvis`: the objects of Objaverse that have a category of LVIS, y up, colours 0-1.

- OpenShape's: `meta_data/split/lvis.json`, a list with uid, category and data_path, and `Objaverse/{group}/{uid}.npy`;
- ULIP-2's: `lvis.json`, which maps uids to files, and `objaverse_lvis_metadata.json` with the categories.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from blendclip import storage
from blendclip.benchmarks.clouds import LabeledCloud, colors, read_json, turned, usable
from blendclip.benchmarks.names import paired
from blendclip.benchmarks.options import ObjaverseLvisOptions
from blendclip.datasets.cad.openshape import path_below, read_shape
from blendclip.errors import UserError

_LISTS = ("meta_data/split/lvis.json", "split/lvis.json", "lvis.json")
_METADATA = "objaverse_lvis_metadata.json"


@dataclass(frozen=True)
class _Entry:
    uid: str
    category: str
    path: str
    """From the folder of the release on."""


class ObjaverseLvis:
    """Reads a folder of either release, a file for each object."""

    in_metres = False

    def __init__(self, options: ObjaverseLvisOptions) -> None:
        """Read the list of objects.

        Raises:
            UserError: there is none, or it is broken.
        """
        self._root, self._up = options.path, options.up
        self.where = str(_list_in(options.path))
        self._entries = _entries(_list_in(options.path))

    def names(self) -> Sequence[str]:
        """All categories of the list."""
        return sorted({entry.category for entry in self._entries})

    def clouds(self, left_out: Counter[str]) -> Iterator[LabeledCloud]:
        """The objects in the order of the list.

        Raises:
            UserError: a file is missing or broken, or is of another object.
        """
        for entry in self._entries:
            path = self._root / entry.path
            with usable(path):
                shape = read_shape(path)
            if shape.get("id", entry.uid) != entry.uid or "xyz" not in shape:
                raise UserError(f"{path} is not the object {entry.uid} with its xyz: unpack it again")
            points = turned(shape["xyz"], self._up, str(path))
            yield LabeledCloud(entry.uid, entry.category, points, colors(shape.get("rgb"), len(points), 1, str(path)))


def lvis_classes(path: Path) -> dict[str, list[str]]:
    """The categories with the words that their benchmark asks with: underscores become spaces, "(...)" stays.

    Args:
        path: a folder of either release, or Objaverse's own JSON of categories with lists of objects.

    Raises:
        UserError: it is none of these, or two categories are one but for spelling.
    """
    if path.is_dir():
        categories = [entry.category for entry in _entries(_list_in(path))]
    else:
        content = read_json(path, list, dict)
        own = isinstance(content, dict) and content and all(isinstance(uids, list) for uids in content.values())
        categories = list(content) if own else [entry.category for entry in _entries(path)]
    names = sorted(set(categories))
    paired(names, names, str(path))
    return {name: [" ".join(name.replace("_", " ").split())] for name in names}


def write_lvis_classes(path: Path, output: Path) -> int:
    """Write a file of prompts/classes with the categories at `path`, as of `lvis_classes`; return their number.

    Raises:
        UserError: there are none at `path`.
    """
    classes = lvis_classes(path)
    if not classes:
        raise UserError(f"{path} names no category: unpack it again")
    head = "# Categories of LVIS that objects of Objaverse have.\n"
    body = yaml.safe_dump({"classes": classes}, sort_keys=False, allow_unicode=True, default_flow_style=None)
    with storage.replacing(output) as temporary:
        temporary.write_text(head + body)
    return len(classes)


def _list_in(root: Path) -> Path:
    path = next((root / name for name in _LISTS if (root / name).is_file()), None)
    if path is None:
        raise UserError(
            f"{root} has none of {', '.join(_LISTS)}: set `path` to the folder of OpenShape's or ULIP-2's files"
        )
    return path


def _entries(path: Path) -> list[_Entry]:
    content = read_json(path, list, dict)
    try:
        return [_openshape(shape) for shape in content] if isinstance(content, list) else _ulip2(content, path)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no list of objects with their categories ({error!r}): unpack it again") from None


def _openshape(shape: Mapping[str, Any]) -> _Entry:
    return _Entry(shape["uid"], shape["category"], path_below(shape["data_path"], "Objaverse"))


def _ulip2(files: Mapping[str, str], path: Path) -> list[_Entry]:
    """Objects of ULIP-2's list, whose label numbers must stand for the names one to one."""
    metadata_path = path.with_name(_METADATA)
    metadata = read_json(metadata_path, dict)
    names, numbers = metadata["value_to_key_mapping"], metadata["key_to_id"]
    if unknown := sorted(uid for uid in files if names.get(uid) not in numbers):
        raise UserError(f"{metadata_path} has no category with a number for object {unknown[0]}: unpack it again")
    if sorted(numbers.values()) != list(range(len(numbers))):
        raise UserError(
            f"{metadata_path} numbers its {len(numbers)} categories otherwise than 0, 1, 2 ...: unpack it again"
        )
    return [_Entry(uid, names[uid], file) for uid, file in files.items()]
