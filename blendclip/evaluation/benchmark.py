"""A run on a benchmark: its labelled clouds encoded, told by their classes' names, and what came of it on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from blendclip import schemas, storage
from blendclip.encoders.pointbert import PointBert
from blendclip.errors import UserError
from blendclip.evaluation.class_weights import ClassWeights
from blendclip.evaluation.cloud_retrieval import HeldOutTriplets, cloud_retrieval
from blendclip.evaluation.encoding import encode_clouds
from blendclip.evaluation.measures import Answers, best_classes, measured
from blendclip.evaluation.metrics import ranks
from blendclip.results import METRICS, PREDICTIONS

_ABOUT_CLOUD = [field.name for field in schemas.BENCHMARKS if field.name not in ("points", "rgb")]


def encoded_benchmark(encoder: PointBert, path: Path, max_points: int) -> tuple[pa.Table, NDArray[np.float32]]:
    """All columns of a benchmark but the points, and the unit feature of each cloud (N, D).

    Row groups are read one after another, so that memory does not grow with the benchmark.

    Raises:
        UserError: the benchmark is missing or holds no cloud.
    """
    file = storage.open_parquet(path)
    if not file.metadata.num_rows:
        raise UserError(f"{path} holds no cloud: look at what its source left out, and write it again")
    columns = ["points", "rgb"] if encoder.config.colors else ["points"]
    features = []
    for group in range(file.num_row_groups):
        clouds = _Clouds(file.read_row_group(group, columns=columns))
        features.append(encode_clouds(encoder, clouds.read, clouds.num_points, max_points))
    return file.read(columns=_ABOUT_CLOUD), np.concatenate(features)


def check_classes(path: Path, weights: ClassWeights) -> None:
    """See that a benchmark was labelled with just the classes to choose from, in their order.

    Raises:
        UserError: it was not, so that labels would name other classes.
    """
    classes = storage.options_of(path)["classes"]
    if missing := sorted(set(classes) - set(weights.names)):
        raise UserError(
            f"{path} has the classes {', '.join(missing)}, for which there is no text weight: "
            "add them to the file of prompts/classes that the benchmark names"
        )
    if classes != weights.names:
        raise UserError(
            f"{path} was labelled with other classes, or in another order, than its file of prompts/classes has now: "
            "write the benchmark again"
        )


def answers_of(about: pa.Table, features_ND: NDArray, weights: ClassWeights) -> Answers:
    """What a run says to the clouds of a benchmark, from what `encoded_benchmark` returned."""
    return Answers(
        classes=weights.names,
        weights_CD=weights.weights_CD,
        features_ND=features_ND,
        labels_N=about["label"].to_numpy().astype(np.int64),
        instances=about["instance_token"].to_pylist(),
        timestamps_us=_numbers(about, "timestamp_us"),
        distances_m=_numbers(about, "distance_m"),
        visibilities=_numbers(about, "visibility"),
        num_points=about["num_points"].to_numpy().astype(np.int64),
    )


def write_evaluation(
    output: Path,
    about: pa.Table,
    answers: Answers,
    names: dict[str, str],
    excluded: Sequence[str] = (),
    excluded_from: str = "both",
    triplets: HeldOutTriplets | None = None,
) -> dict[str, Any]:
    """Write predictions.parquet and metrics.json, and return what is in the latter.

    Args:
        output: folder for both.
        about: the benchmark's columns.
        answers: of the run.
        names: what metrics.json says of run, benchmark, command and files.
        excluded: classes that the run was not trained on.
        excluded_from: the domain they were left out of, as a recipe says it.
        triplets: to ask for clouds with; None asks nothing.
    """
    cloud_ids = about["cloud_id"].to_pylist()
    retrieval = None if triplets is None else cloud_retrieval(triplets, cloud_ids, answers.features_ND)
    numbers = names | measured(answers, excluded, excluded_from) | {"retrieval": retrieval}
    options = {key: names[key] for key in ("run", "benchmark")} | {"classes": answers.classes}
    table = _predictions(about, answers)
    storage.write_parquet(output / PREDICTIONS, schemas.PREDICTIONS, [table], storage.metadata("evaluation", options))
    with storage.replacing(output / METRICS) as temporary:
        temporary.write_text(json.dumps(numbers, indent=1) + "\n")
    return numbers


def _predictions(about: pa.Table, answers: Answers) -> pa.Table:
    scores_NC = answers.scores_NC()
    best_NK = best_classes(scores_NC, answers.labels_N)
    made = {
        "rank": ranks(scores_NC, answers.labels_N),
        "top5": list(best_NK),
        "top5_scores": list(np.take_along_axis(scores_NC, best_NK, axis=1)),
        "embedding": list(answers.features_ND.astype(np.float16)),
    }
    schema = schemas.PREDICTIONS
    return pa.table(
        {name: pa.array(made[name], schema.field(name).type) if name in made else about[name] for name in schema.names}
    )


def _numbers(about: pa.Table, name: str) -> NDArray[np.float64]:
    """A column with NaN where it is null."""
    return about[name].cast(pa.float64()).to_numpy(zero_copy_only=False)


class _Clouds:
    """Points and colours of a row group."""

    def __init__(self, table: pa.Table) -> None:
        self._points = table["points"].combine_chunks()
        self._rgb = table["rgb"].combine_chunks() if "rgb" in table.column_names else None
        self.num_points = pc.list_value_length(self._points).to_numpy()

    def read(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        points = self._points[row].values.flatten().to_numpy().reshape(-1, 3)
        if self._rgb is None or not self._rgb[row].is_valid:
            return points, np.full(points.shape, schemas.UNSEEN_GREY / 255, np.float32)
        return points, self._rgb[row].values.flatten().to_numpy().reshape(-1, 3).astype(np.float32) / 255
