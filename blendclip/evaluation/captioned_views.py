"""The views of a split with their captions, part by part, to train or evaluate a CLIP on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blendclip import storage
from blendclip.results import Results, part_number

_VIEW_COLUMNS = ["view_id", "image", "instance_token", "category", "class_name"]


@dataclass(frozen=True)
class CaptionedViews:
    """Views in the order of their file, as lists of one length."""

    view_ids: list[str]
    jpegs: list[bytes]
    """Encoded images."""
    captions: list[str | None]
    """None where a view was not captioned."""
    instances: list[str]
    """Instance tokens."""
    categories: list[str | None]
    """Categories as the dataset has them."""
    class_names: list[str | None]
    """Classes of the dataset's benchmark; None where it has none for the category."""


def captioned_views(results: Path, dataset: str, split: str) -> Iterator[CaptionedViews]:
    """The views of each part that has some, joined with the captions of the same part by `view_id`.

    Raises:
        UserError: the split has no views, or captions of a part are missing.
    """
    files = Results(results)
    for path in files.parts("views", dataset, split):
        table = storage.read_parquet(files.part("captions", dataset, split, part_number(path)), ["view_id", "caption"])
        captions = dict(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
        views = storage.read_parquet(path, _VIEW_COLUMNS)
        if not views.num_rows:
            continue
        ids, instances, categories, classes = (
            views[name].to_pylist() for name in (_VIEW_COLUMNS[0], *_VIEW_COLUMNS[2:])
        )
        jpegs = [image["bytes"] for image in views["image"].to_pylist()]
        yield CaptionedViews(ids, jpegs, [captions.get(view) for view in ids], instances, categories, classes)
