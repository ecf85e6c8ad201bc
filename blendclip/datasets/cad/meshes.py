"""Format `meshes`: a folder of GLB, GLTF, OBJ, OFF, PLY or STL files with a table that names them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from blendclip import storage
from blendclip.datasets.cad import rules
from blendclip.datasets.cad.objects import BrokenObjectError, CadObject, box_R_source
from blendclip.datasets.cad.options import MeshOptions
from blendclip.datasets.cad.rendering import render_views
from blendclip.datasets.cad.surface import read_surface
from blendclip.errors import UserError
from blendclip.randomness import stable_rng

TABLES = ("objects.jsonl", "objects.parquet", "objects.csv")
COLUMNS = ("path", "id", "name", "names", "caption", "captions", "category", "split", "up", "front")
_LISTS = ("names", "captions")
SEPARATOR = "|"  # between names, and between captions, in a CSV file
_Y_UP = (".glb", ".gltf")  # by their specification


@dataclass(frozen=True)
class MeshEntry:
    """A row of the table."""

    id: str
    """Unique in the table."""
    category: str | None
    """Class of the object; None where the table names none."""
    path: str
    """Mesh file, relative to the dataset's folder."""
    names: tuple[str, ...]
    """Names of the object, the first one first in captions."""
    captions: tuple[str, ...]
    """Sentences about the object; none where the table has only names."""
    up: str | None
    """Axis that points up in the file; None where the table says nothing."""
    front: str | None
    """Axis that points ahead in the file; None where the table says nothing."""


class Meshes:
    """Reads a folder of meshes."""

    def __init__(self, root: Path, options: MeshOptions) -> None:
        """Open the folder `root`.

        Raises:
            UserError: it has no table, or options name axes that are none.
        """
        self._root, self._options = root, options
        table = next((root / name for name in TABLES if (root / name).is_file()), None)
        if table is None:
            raise UserError(f"{root} has none of {', '.join(TABLES)}: write one with a row for each mesh (docs/cad.md)")
        self._table = table
        if options.up is not None:
            box_R_source(options.up, options.front)

    def entries(self, split: str) -> Sequence[MeshEntry]:
        """The objects of a split, in the order of the table.

        Raises:
            UserError: the table is broken, or has no such split.
        """
        rows = read_table(self._table)
        entries = [entry for number, row in enumerate(rows) if (entry := self._entry(number, row, split))]
        if not entries:
            found = sorted({str(row.get("split") or "train") for row in rows})
            raise UserError(f"{self._table} has no object in split {split!r}, but in {', '.join(found) or 'none'}")
        ids = [entry.id for entry in entries]
        if len(set(ids)) < len(ids):
            twice = next(name for name in ids if ids.count(name) > 1)
            raise UserError(f"{self._table} has two objects {twice!r}: give each an `id` of its own")
        return entries

    def _entry(self, number: int, row: Mapping[str, Any], split: str) -> MeshEntry | None:
        if not row.get("path"):
            raise UserError(f"row {number + 1} of {self._table} has no path: fill the column `path`")
        if (row.get("split") or "train") != split:
            return None
        names, captions = (_texts(row, one, many) for one, many in (("name", "names"), ("caption", "captions")))
        return MeshEntry(
            id=str(row.get("id") or Path(row["path"]).with_suffix("").as_posix()),
            category=row.get("category") or (names[0] if names else None),
            path=row["path"],
            names=names,
            captions=captions,
            up=row.get("up") or None,
            front=row.get("front") or None,
        )

    def prepare(self, entries: Sequence[MeshEntry]) -> None:
        """Nothing to prepare."""

    def read(self, entry: MeshEntry) -> CadObject:
        """The object of an entry.

        Raises:
            BrokenObjectError: its mesh is broken, or nothing names it.
            UserError: nothing says which axis of it points up.
        """
        texts, model = (entry.captions, "table") if entry.captions else (tuple(map(_named, entry.names)), "names")
        if not texts:
            raise BrokenObjectError(rules.NO_CAPTION, rules.ROW_WITHOUT_CAPTION)
        options = self._options
        box_R_mesh = box_R_source(self._up(entry), entry.front or options.front)
        surface = read_surface(self._root / entry.path).moved(box_R_mesh, options.unit_m or 1.0)
        points_m, rgb, _ = surface.sample(options.points, stable_rng(entry.id, "points"))
        views = render_views(
            surface, options.views, options.image_px, options.jpeg_quality, stable_rng(entry.id, "views")
        )
        described = (replace(view, caption=texts[number % len(texts)]) for number, view in enumerate(views))
        return CadObject(
            points_m=points_m,
            rgb=rgb,
            views=tuple(described),
            caption=texts[0],
            caption_model=model,
            size_lwh_m=surface.corners.max(axis=(0, 1)) - surface.corners.min(axis=(0, 1)),
        )

    def _up(self, entry: MeshEntry) -> str:
        known = "y" if entry.path.lower().endswith(_Y_UP) else None
        if up := entry.up or self._options.up or known:
            return up
        raise UserError(
            f"nothing says which axis of {entry.path} points up: set `up` of the dataset, or the column `up` of the "
            f"table, to x, y or z"
        )


def read_table(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV, JSON lines or Parquet table.

    Raises:
        UserError: it cannot be read, or has a column that means nothing.
    """
    try:
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        elif path.suffix == ".parquet":
            rows = storage.ParquetFile(path, cure="mend it").read().to_pylist()
        else:
            text = pa.csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()))
            rows = pa.csv.read_csv(path, convert_options=text).to_pylist()
    except (ValueError, pa.ArrowInvalid) as error:
        raise UserError(f"{path} cannot be read ({error}): mend it") from None
    for number, row in enumerate(rows):
        _check_row(row, f"row {number + 1} of {path}")
    if unknown := sorted({name for row in rows for name in row} - set(COLUMNS)):
        raise UserError(f"{path} has a column {unknown[0]!r}: the columns are {', '.join(COLUMNS)}")
    return rows


def _check_row(row: Any, where: str) -> None:
    if not isinstance(row, dict):
        raise UserError(f'{where} is no object: write the columns as {{"path": ...}}')
    for column in row.keys() & set(COLUMNS) - {"id"}:
        values = row[column] if isinstance(row[column], list) and column in _LISTS else [row[column]]
        if wrong := [value for value in values if not isinstance(value, str | None)]:
            raise UserError(f"{where} has {wrong[0]!r} for {column}: write a text")


def _texts(row: Mapping[str, Any], one: str, many: str) -> tuple[str, ...]:
    """The texts in a row's columns `one` and `many`, first the one."""
    given = row.get(many) or []
    listed = given.split(SEPARATOR) if isinstance(given, str) else list(given)
    texts = ([row[one]] if row.get(one) else []) + listed
    return tuple(dict.fromkeys(text.strip() for text in texts if text and text.strip()))


def _named(name: str) -> str:
    article = "An" if name[0].lower() in "aeiou" else "A"
    return f"{article} {name}."
