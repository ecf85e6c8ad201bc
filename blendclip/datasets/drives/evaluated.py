"""Which annotations the official detection evaluation of a dataset keeps, by its devkit's own functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blendclip import plausible

Row = dict[str, Any]


@dataclass(frozen=True)
class Boxes:
    """The N annotations of a scene, and whence the evaluation measures their distance."""

    keyframe: NDArray[np.int64]
    """(N,) number of each in the scene."""
    category: Sequence[str]
    class_name: Sequence[str | None]
    """Of the detection benchmark."""
    translation: NDArray[np.float64]
    """(N, 3) global frame, metres."""
    size_wlh_m: NDArray[np.float64]
    """(N, 3)"""
    rotation_wxyz: NDArray[np.float64]
    """(N, 4)"""
    num_points: NDArray[np.float64]
    """(N,) of LiDAR and radar, NaN where unknown."""
    ego: Mapping[int, NDArray[np.float64]]
    """Number of a keyframe to the ego vehicle's place (3,) there; boxes of other keyframes are not evaluated."""


def evaluated(boxes: Boxes, loaders: ModuleType, class_range_m: Mapping[str, float]) -> NDArray[np.bool_]:
    """Which boxes (N,) the evaluation keeps: class, class range, points, bicycle racks.

    `loaders` is the devkit's module of `add_center_dist`, `filter_eval_boxes`, `EvalBoxes` and `DetectionBox`.
    """
    tables = _OneScene(boxes)
    of_keyframe = loaders.EvalBoxes()
    number_of: dict[int, int] = {}  # by id() of a box, which the devkit hands back as the same object
    for keyframe, numbers in tables.annotations.items():
        found = {number: tables.box(number, loaders) for number in numbers if boxes.class_name[number]}
        of_keyframe.add_boxes(str(keyframe), list(found.values()))
        number_of |= {id(box): number for number, box in found.items()}
    keeps = np.zeros(len(boxes.keyframe), bool)
    if number_of:  # at no box at all the devkit stops
        loaders.add_center_dist(tables, of_keyframe)
        kept = loaders.filter_eval_boxes(tables, of_keyframe, class_range_m)
        keeps[[number_of[id(box)] for box in kept.all]] = True
    return keeps


class _OneScene:
    """What the devkit's evaluation asks of its tables, for one scene, whose keyframes have their numbers as tokens.

    Boxes at which the devkit's assertions on NaN would stop, bicycle racks among them, or its squares overflow, are not
    in it.
    """

    def __init__(self, boxes: Boxes) -> None:
        self._boxes = boxes
        numbers = np.concatenate([boxes.translation, boxes.size_wlh_m, boxes.rotation_wxyz], axis=1)
        finite = np.flatnonzero((np.abs(numbers) <= plausible.COORDINATE_M).all(axis=1))
        self._place, self._size, self._rotation = (
            numbers[:, columns].tolist() for columns in (slice(3), slice(3, 6), slice(6, 10))
        )
        points = boxes.num_points
        self._points = np.where(np.isnan(points), -1, points).astype(int).tolist()  # -1: the devkit's "not known"
        self._ego = {keyframe: place.tolist() for keyframe, place in boxes.ego.items()}
        self.annotations: dict[int, list[int]] = {keyframe: [] for keyframe in boxes.ego}
        for number in finite.tolist():
            if (keyframe := int(boxes.keyframe[number])) in self.annotations:
                self.annotations[keyframe].append(number)

    def get(self, table: str, token: Any) -> Row:
        """As the devkit's `get`."""
        if table == "sample_annotation":
            place, size, rotation = self._place[token], self._size[token], self._rotation[token]
            category = self._boxes.category[token]
            return {"category_name": category, "translation": place, "size": size, "rotation": rotation}
        if table == "sample":
            return {"anns": self.annotations[int(token)], "data": defaultdict(lambda: token)}
        return {"ego_pose_token": token, "translation": self._ego[int(token)]}  # of its reading, and of that's pose

    def box(self, number: int, loaders: ModuleType) -> Any:
        """The devkit's ground-truth box, made without its assertions on NaN, which take ten times as long as it."""
        box = loaders.DetectionBox.__new__(loaders.DetectionBox)
        vars(box).update(
            sample_token=str(self._boxes.keyframe[number]),
            translation=self._place[number],
            size=self._size[number],
            rotation=self._rotation[number],
            num_pts=self._points[number],
            detection_name=self._boxes.class_name[number],
        )
        return box
