"""Which annotations the official detection evaluation of a dataset keeps, by its devkit's own functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from blendclip.datasets.drives.points import known_points

Row = dict[str, Any]


def evaluated_tokens(
    tables: Any,
    samples: list[Row],
    loaders: ModuleType,
    detection_name: Callable[[str], str | None],
    class_range_m: Mapping[str, float],
) -> set[str]:
    """Tokens of the annotations of `samples` that the evaluation keeps: class, class range, points, bicycle racks.

    `loaders` is the devkit's module of `add_center_dist`, `filter_eval_boxes`, `EvalBoxes` and `DetectionBox`.
    """
    finite = _FiniteBoxes(tables)
    boxes = loaders.EvalBoxes()
    token_of: dict[int, str] = {}  # by id() of a box, which the devkit hands back as the same object
    for sample in samples:
        names = {token: detection_name(finite.category(token)) for token in finite.annotations(sample)}
        sample_boxes = {token: _box(tables, token, name, loaders) for token, name in names.items() if name}
        boxes.add_boxes(sample["token"], list(sample_boxes.values()))
        token_of |= {id(box): token for token, box in sample_boxes.items()}
    if not token_of:
        return set()  # at no box at all the devkit stops
    loaders.add_center_dist(tables, boxes)
    kept = loaders.filter_eval_boxes(finite, boxes, class_range_m)
    return {token_of[id(box)] for box in kept.all}


class _FiniteBoxes:
    """The tables without the boxes at which the devkit's assertions on NaN would stop, bicycle racks among them."""

    def __init__(self, tables: Any) -> None:
        self._tables = tables

    def category(self, token: str) -> str:
        """The category of an annotation."""
        return self._tables.get("sample_annotation", token)["category_name"]

    def annotations(self, sample: Row) -> list[str]:
        """Tokens of the sample's boxes whose numbers are finite."""
        rows = (self._tables.get("sample_annotation", token) for token in sample["anns"])
        return [
            row["token"] for row in rows if np.isfinite([*row["translation"], *row["size"], *row["rotation"]]).all()
        ]

    def get(self, table: str, token: str) -> Row:
        """As the devkit's `get`."""
        row = self._tables.get(table, token)
        return row | {"anns": self.annotations(row)} if table == "sample" else row


def _points(annotation: Row) -> int:
    """The points of an annotation; -1, which the devkit keeps, where it may have some or none."""
    lidar, radar = (known_points(annotation, f"num_{sensor}_pts") for sensor in ("lidar", "radar"))
    if lidar is None:
        return radar or -1
    return lidar + (radar or 0)


def _box(tables: Any, token: str, name: str, loaders: ModuleType) -> Any:
    """The devkit's ground-truth box of an annotation."""
    annotation = tables.get("sample_annotation", token)
    return loaders.DetectionBox(
        sample_token=annotation["sample_token"],
        translation=annotation["translation"],
        size=annotation["size"],
        rotation=annotation["rotation"],
        num_pts=_points(annotation),
        detection_name=name,
    )
