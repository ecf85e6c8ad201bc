"""A run on a benchmark: its labelled clouds encoded and classified, and the files that say how well."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from blendclip import schemas, storage
from blendclip.datasets.cad.objects import box_R_source
from blendclip.encoders.pointbert import PointBert
from blendclip.errors import UserError
from blendclip.evaluation.class_weights import ClassWeights
from blendclip.evaluation.cloud_retrieval import HeldOutTriplets, cloud_retrieval
from blendclip.evaluation.encoding import encode_clouds
from blendclip.evaluation.measures import BenchmarkPredictions, best_classes, metrics_of
from blendclip.evaluation.metrics import ranks
from blendclip.results import METRICS, PREDICTIONS

log = logging.getLogger(__name__)

_ABOUT_CLOUD = [field.name for field in schemas.BENCHMARKS if field.name not in ("points", "rgb")]


def encoded_benchmark(
    encoder: PointBert, path: Path, max_points: int, up: str = "z"
) -> tuple[pa.Table, NDArray[np.float32]]:
    """All columns of a benchmark but points and colours, and the unit features (N, D) of its clouds.

    Row groups are read one after another, so that memory does not grow with the benchmark. For an encoder with colours,
    clouds without any are grey; the log says how many.

    Args:
        encoder: encodes the clouds, on its device.
        path: Parquet file of the benchmark.
        max_points: of a cloud to encode.
        up: axis that points up for the encoder; clouds of a benchmark are z up.

    Raises:
        UserError: the benchmark is missing or holds no cloud.
    """
    file = storage.open_parquet(path)
    if not file.metadata.num_rows:
        raise UserError(f"{path} holds no cloud: look at what its source left out, and write it again")
    columns = ["points", "rgb"] if encoder.config.colors else ["points"]
    in_metres = storage.options_of(path)["in_metres"]
    features, grey = [], 0
    for group in range(file.num_row_groups):
        clouds = _Clouds(file.read_row_group(group, columns=columns), up)
        features.append(encode_clouds(encoder, clouds.read, clouds.num_points, max_points, in_metres=in_metres))
        grey += clouds.uncolored
    if grey:
        log.warning(
            "%d of %d clouds have no colors, which the encoder sees: they are grey", grey, file.metadata.num_rows
        )
    return file.read(columns=_ABOUT_CLOUD), np.concatenate(features)


def check_classes(path: Path, weights: ClassWeights) -> None:
    """Check that a benchmark was labelled with exactly the classes of some text weights, in their order.

    Raises:
        UserError: it was not, so that labels would stand for other classes.
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


def predictions_of(about: pa.Table, features_ND: NDArray[np.float32], weights: ClassWeights) -> BenchmarkPredictions:
    """Predictions of a run for the clouds of a benchmark, from what `encoded_benchmark` returned."""
    return BenchmarkPredictions(
        classes=weights.names,
        weights_CD=weights.weights_CD,
        features_ND=features_ND,
        labels_N=about["label"].to_numpy().astype(np.int64),
        instances=about["instance_token"].to_pylist(),
        timestamps_us=_numbers(about, "timestamp_us"),
        distances_m=_numbers(about, "distance_m"),
        visibilities=_numbers(about, "visibility"),
        num_points=about["num_points"].to_numpy().astype(np.int64),
        titles=weights.titles,
        rare=weights.rare,
    )


def write_evaluation(
    output: Path,
    about: pa.Table,
    predictions: BenchmarkPredictions,
    names: dict[str, Any],
    excluded: Sequence[str] = (),
    excluded_from: str = "both",
    triplets: HeldOutTriplets | None = None,
) -> dict[str, Any]:
    """Write predictions.parquet and metrics.json; return the content of metrics.json.

    Args:
        output: folder for both.
        about: columns of the benchmark, as `encoded_benchmark` returns them.
        predictions: of the run for its clouds.
        names: what metrics.json says of run, benchmark, command, files and, in `model`, of what is no run.
        excluded: classes that the run was not trained on.
        excluded_from: domain that `excluded` was left out of, as a recipe says it.
        triplets: captions and images to retrieve clouds by; None for no retrieval.
    """
    cloud_ids = about["cloud_id"].to_pylist()
    retrieval = None if triplets is None else cloud_retrieval(triplets, cloud_ids, predictions.features_ND)
    numbers = names | metrics_of(predictions, excluded, excluded_from) | {"retrieval": retrieval}
    options = {key: names[key] for key in ("run", "benchmark", "model") if names.get(key)}
    options |= {"classes": predictions.classes}
    table = _predictions_table(about, predictions)
    storage.write_parquet(output / PREDICTIONS, schemas.PREDICTIONS, [table], storage.metadata("evaluation", options))
    with storage.replacing(output / METRICS) as temporary:
        temporary.write_text(json.dumps(numbers, indent=1) + "\n")
    return numbers


def _predictions_table(about: pa.Table, predictions: BenchmarkPredictions) -> pa.Table:
    """Rows of `schemas.PREDICTIONS`, one for each cloud."""
    scores_NC = predictions.scores_NC()
    best_NK = best_classes(scores_NC, predictions.labels_N)
    made = {
        "rank": ranks(scores_NC, predictions.labels_N),
        "top5": list(best_NK),
        "top5_scores": list(np.take_along_axis(scores_NC, best_NK, axis=1)),
        "embedding": list(predictions.features_ND.astype(np.float16)),
    }
    schema = schemas.PREDICTIONS
    return pa.table(
        {name: pa.array(made[name], schema.field(name).type) if name in made else about[name] for name in schema.names}
    )


def _numbers(about: pa.Table, name: str) -> NDArray[np.float64]:
    """A column (N,) of numbers, NaN where it is null."""
    return about[name].cast(pa.float64()).to_numpy(zero_copy_only=False)


class _Clouds:
    """Clouds of a row group in the axes of an encoder; of those without `rgb` the points alone."""

    def __init__(self, table: pa.Table, up: str) -> None:
        self._points = table["points"].combine_chunks()
        self._rgb = table["rgb"].combine_chunks() if "rgb" in table.column_names else None
        self._z_up_R_up = box_R_source(up).astype(np.float32)
        self.num_points = pc.list_value_length(self._points).to_numpy()

    @property
    def uncolored(self) -> int:
        """Clouds without colours, where they were read."""
        return 0 if self._rgb is None else self._rgb.null_count

    def read(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Points (n, 3), and their colours (n, 3) from 0 to 1, grey where a cloud has none."""
        points = self._points[row].values.flatten().to_numpy().reshape(-1, 3) @ self._z_up_R_up
        if self._rgb is None or not self._rgb[row].is_valid:
            return points, np.full(points.shape, schemas.UNSEEN_GREY / 255, np.float32)
        return points, self._rgb[row].values.flatten().to_numpy().reshape(-1, 3).astype(np.float32) / 255
