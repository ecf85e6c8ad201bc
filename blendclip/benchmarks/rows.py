"""Labelled clouds as rows of `schemas.BENCHMARKS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import schemas, storage
from blendclip.benchmarks.clouds import LabeledCloud


def benchmark_rows(clouds: Sequence[LabeledCloud], label_of: Mapping[str | None, int]) -> pa.Table:
    """Clouds, whose class names are those of the benchmark, as a table.

    Args:
        label_of: each class name of the benchmark with its label, its index in the benchmark's list of classes.
    """
    columns = {
        name: [getattr(cloud, name) for cloud in clouds]
        for name in ("cloud_id", "scene", "class_name", "timestamp_us", "distance_m", "visibility")
    }
    columns |= {
        "instance_token": [cloud.instance_token or cloud.cloud_id for cloud in clouds],
        "label": [label_of[cloud.class_name] for cloud in clouds],
        "num_points": [len(cloud.points) for cloud in clouds],
        "points": _ragged([cloud.points for cloud in clouds], "points", np.float32),
        "rgb": _ragged([cloud.rgb for cloud in clouds], "rgb", np.uint8),
    }
    arrays = {
        field.name: columns[field.name]
        if isinstance(columns[field.name], pa.Array)
        else pa.array(columns[field.name], field.type)
        for field in schemas.BENCHMARKS
    }
    return pa.table(arrays, schemas.BENCHMARKS)


def _ragged(runs: Sequence[NDArray | None], column: str, dtype: type) -> pa.ListArray:
    """Runs of rows (N, 3) as a column; None becomes null."""
    rows = np.concatenate([np.zeros((0, 3), dtype), *(run for run in runs if run is not None)])
    lengths = np.array([0 if run is None else len(run) for run in runs], np.int64)
    missing = pa.array([run is None for run in runs], pa.bool_())
    return storage.ragged(rows, lengths, schemas.BENCHMARKS.field(column).type, missing)
