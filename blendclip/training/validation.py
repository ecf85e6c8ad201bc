"""Zero-shot accuracy on held-out splits while a run trains.

Letters in names: V clouds that are measured, C classes, D width of the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blendclip.encoders.pointbert import PointBert
from blendclip.errors import UserError
from blendclip.evaluation.class_weights import ClassWeights
from blendclip.evaluation.encoding import encode_clouds
from blendclip.evaluation.metrics import mean_class_accuracy, top_k_accuracy
from blendclip.training.data.batches import cloud_colors
from blendclip.training.data.packed import PackedSplit
from blendclip.training.recipe import Validation


@dataclass(frozen=True)
class ValidationSplit:
    """Clouds of a held-out split whose class is among those to choose from."""

    name: str
    """dataset/split."""
    split: PackedSplit
    rows: NDArray[np.int64]
    """(V,) rows of the split."""
    labels: NDArray[np.int64]
    """(V,) number of the class of each."""
    weights_CD: NDArray[np.float32]
    """Text weights of the classes, unit length."""

    @classmethod
    def of(cls, asked: Validation, split: PackedSplit, classes: ClassWeights) -> ValidationSplit:
        """The clouds of a packed split that a validation of the recipe asks for.

        Raises:
            UserError: no cloud has one of the classes.
        """
        labels = classes.labels(list(split.column("class_name")))
        rows = np.flatnonzero(labels >= 0)
        if not len(rows):
            raise UserError(
                f"no cloud of {asked.split} has a class of prompts/classes/{asked.classes}.yaml: "
                "set `classes` of the validation to the file for this dataset"
            )
        if 0 < asked.max_clouds < len(rows):
            rows = rows[np.linspace(0, len(rows) - 1, asked.max_clouds).round().astype(np.int64)]
        return cls(asked.split, split, rows, labels[rows], classes.weights_CD)

    def measure(self, encoder: PointBert, max_points: int) -> dict[str, float]:
        """Top-1, top-5 and mean class accuracy, and what predicting the most frequent class would reach, 0 to 1."""
        counts, in_metres = self.split.num_points[self.rows], self.split.in_metres
        features = encode_clouds(encoder, self._read, counts, max_points, in_metres=in_metres)
        scores = features @ self.weights_CD.T
        return {
            "top1": top_k_accuracy(scores, self.labels, 1),
            "top5": top_k_accuracy(scores, self.labels, 5),
            "mean_class": mean_class_accuracy(scores, self.labels),
            "most_frequent": float(np.bincount(self.labels).max() / len(self.labels)),
        }

    def _read(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Points (n, 3) and colours (n, 3) of cloud `number` of V."""
        row = int(self.rows[number])
        return self.split.points(row), cloud_colors(self.split, row)


def validation_metrics(splits: Sequence[ValidationSplit], encoder: PointBert, max_points: int) -> dict[str, float]:
    """All numbers of all splits, by dataset/split/number."""
    return {f"{one.name}/{name}": value for one in splits for name, value in one.measure(encoder, max_points).items()}
