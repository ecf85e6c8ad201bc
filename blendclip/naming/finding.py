"""Search in a file of embeddings, by text and by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blendclip.errors import UserError
from blendclip.naming.searching import search
from blendclip.naming.sheet import Shown, write_sheet
from blendclip.naming.sources import points_at
from blendclip.naming.tables import read_embeddings

if TYPE_CHECKING:
    from blendclip.model import Model


@dataclass(frozen=True)
class Hit:
    """A cloud that was found."""

    cloud_id: str
    class_name: str | None
    """Of its label, or the name it was given; None where it has neither."""
    score: float
    """Cosine to the query."""
    file: Path | None
    row: int | None


Found = list[tuple[str, list[Hit]]]
"""Queries, each with its hits, best first."""


def find_clouds(model: Model, embeddings: Path, texts: Sequence[str], images: Sequence[Path], top: int) -> Found:
    """The `top` clouds of a file of embeddings that are nearest to each text and each image.

    Raises:
        UserError: the file holds no embeddings, or some of a model with another CLIP; or an image is missing.
    """
    about, embeddings_ND, clip = read_embeddings(embeddings)
    if clip != model.description.clip_name:
        raise UserError(
            f"{embeddings} was made by a model of the CLIP {clip} and this one is of {model.description.clip_name}: "
            "encode the clouds with this model"
        )
    queries = [*([model.encode_text(texts)] if texts else []), *([model.encode_image(images)] if images else [])]
    rows = about.to_pylist()
    return [
        (query, [_hit(rows[row], score) for row, score in hits])
        for query, hits in zip(
            [*texts, *map(str, images)], search(embeddings_ND, np.concatenate(queries), top), strict=True
        )
    ]


def draw_found(found: Found, embeddings: Path, output: Path) -> None:
    """Draw the clouds that were found; files are looked for from here, then beside the file of embeddings.

    Raises:
        UserError: the file of a cloud is gone.
    """
    rows = [(query, [_shown(hit, embeddings.parent) for hit in hits]) for query, hits in found]
    write_sheet(rows, output)


def _hit(row: dict[str, Any], score: float) -> Hit:
    file = row.get("file")
    name = row.get("class_name") or row.get("name")
    return Hit(row["cloud_id"], name, score, Path(file) if file else None, row.get("row"))


def _shown(hit: Hit, beside: Path) -> Shown:
    if hit.file is None:
        raise UserError(
            f"nothing says in which file the cloud {hit.cloud_id} lies: encode clouds from files to draw it"
        )
    file = hit.file if hit.file.is_file() else beside / hit.file
    points = points_at(file, hit.row)
    return Shown(points, f"{hit.score:.3f}  {hit.class_name or ''}", f"{hit.cloud_id[-44:]}, {len(points)} points")
