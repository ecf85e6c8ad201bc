"""The triplets behind benchmarks: their splits, some to show, and those of given clouds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from blendclip import storage
from blendclip.reporting.gallery.choice import in_turn, near_and_far, stable_order
from blendclip.reporting.gallery.clouds import points_of, read_rows
from blendclip.results import Results


@dataclass(frozen=True)
class CaptionedView:
    """The view of a triplet with its caption."""

    image: bytes
    """The encoded image, as the triplet has it."""
    caption: str | None


@dataclass(frozen=True)
class ShownTriplet:
    """A triplet to show."""

    triplet_id: str
    view: CaptionedView
    points: NDArray[np.float32]
    """(N, 3) points, z up, metres where mined."""
    class_name: str
    """The category where the benchmark has no class for it."""
    num_points: int
    """N."""
    distance_m: float | None
    """Distance from the ego vehicle; None where unknown."""


@dataclass(frozen=True)
class _TripletFile:
    split: str
    """dataset/split."""
    path: Path
    cloud_ids: pa.Array
    """Names in benchmarks of the cloud of each row."""


class TripletIndex:
    """The triplets of all splits in a results folder, by the names of their clouds in benchmarks."""

    def __init__(self, results: Path) -> None:
        """Read the names of all triplets; a folder without triplets gives an index that finds none.

        Raises:
            UserError: a file of triplets is not Parquet.
        """
        self._parts = []
        for split, path in Results(results).every_part("triplets"):
            names = storage.read_parquet(path, ["triplet_id", "annotation_token", "scene"]).combine_chunks()
            cloud_ids = pc.if_else(pc.is_null(names["scene"]), names["triplet_id"], names["annotation_token"])
            self._parts.append(
                _TripletFile(split, path, pa.concat_arrays(cloud_ids.chunks or [pa.array([], pa.string())]))
            )

    def splits_of(self, cloud_ids: pa.ChunkedArray) -> list[str]:
        """The splits (dataset/split) that have a triplet of any of these clouds."""
        wanted = pc.unique(cloud_ids)
        held = {part.split for part in self._parts if pc.any(pc.is_in(part.cloud_ids, value_set=wanted)).as_py()}
        return sorted(held)

    def views(self, cloud_ids: Sequence[str]) -> dict[str, CaptionedView]:
        """The view and caption of each of these clouds that has a triplet, by cloud id."""
        found: dict[str, CaptionedView] = {}
        for part in self._parts:
            wanted = pa.array(sorted(set(cloud_ids) - set(found)), pa.string())
            rows = np.flatnonzero(pc.is_in(part.cloud_ids, value_set=wanted).to_numpy(zero_copy_only=False)).tolist()
            if rows:
                names = part.cloud_ids.take(rows).to_pylist()
                found |= dict(zip(names, _views(read_rows(part.path, rows, ["image", "caption"])), strict=True))
        return found

    def some(self, split: str, count: int) -> list[ShownTriplet]:
        """At most `count` triplets of a split, spread over classes and distances, no two of one object."""
        columns = ["triplet_id", "instance_token", "class_name", "category", "distance_m"]
        paths = [part.path for part in self._parts if part.split == split]
        tables = [storage.read_parquet(path, columns) for path in paths]
        about = pa.concat_tables(tables)
        classes = pc.coalesce(about["class_name"], about["category"]).to_pylist()
        order = stable_order(about["triplet_id"].to_pylist())
        order = near_and_far(order, classes, about["distance_m"].to_pylist())
        chosen = in_turn(order, classes, about["instance_token"].to_pylist(), count)
        begins = np.cumsum([0, *(table.num_rows for table in tables)])
        shown: dict[int, ShownTriplet] = {}
        for path, begin, end in zip(paths, begins, begins[1:], strict=False):
            rows = [row for row in chosen if begin <= row < end]
            if rows:
                shown |= dict(zip(rows, _triplets(path, [int(row - begin) for row in rows]), strict=True))
        return [shown[row] for row in chosen]


def _triplets(path: Path, rows: list[int]) -> list[ShownTriplet]:
    columns = ["triplet_id", "class_name", "category", "points", "num_points", "distance_m", "image", "caption"]
    table = read_rows(path, rows, columns)
    rest = table.drop_columns(["points", "image", "caption"]).to_pylist()
    return [
        ShownTriplet(
            triplet_id=row["triplet_id"],
            view=view,
            points=points,
            class_name=row["class_name"] or row["category"],
            num_points=row["num_points"],
            distance_m=row["distance_m"],
        )
        for row, view, points in zip(rest, _views(table), points_of(table), strict=True)
    ]


def _views(table: pa.Table) -> list[CaptionedView]:
    images = (image["bytes"] for image in table["image"].to_pylist())
    return [CaptionedView(image, caption) for image, caption in zip(images, table["caption"].to_pylist(), strict=True)]
