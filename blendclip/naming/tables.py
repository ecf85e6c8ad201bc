"""Embeddings and names of many clouds as Parquet, written as they are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import storage
from blendclip.errors import UserError
from blendclip.naming.predictions import SCHEMA as PREDICTION
from blendclip.naming.sources import ABOUT, CloudBatch, cloud_batches

if TYPE_CHECKING:
    from blendclip.evaluation.class_weights import ClassWeights
    from blendclip.model import Model

EMBEDDING = pa.schema([("embedding", pa.list_(pa.field("element", pa.float32(), nullable=False)))])
"""Of unit length; null of an empty cloud."""
EMBEDDINGS = pa.schema([*ABOUT, *EMBEDDING])
NAMES = pa.schema([*ABOUT, *PREDICTION, *EMBEDDING])


def write_embeddings(model: Model, inputs: Sequence[Path], output: Path, unit_m: float | None = 1.0) -> int:
    """Write the embeddings of clouds (schema `EMBEDDINGS`) and return their number.

    Args:
        model: what encodes.
        inputs: as `cloud_batches` takes them.
        output: Parquet to write; it says which CLIP its embeddings are aligned to.
        unit_m: as `Model.encode` takes it.

    Raises:
        UserError: as `cloud_batches`, or the output is not named .parquet.
    """
    tables = (_joined(batch.about, {"embedding": column}) for batch, column in _encoded(model, inputs, unit_m))
    return storage.write_parquet(parquet_path(output), EMBEDDINGS, tables, about(model))


def write_names(
    model: Model,
    inputs: Sequence[Path],
    weights: ClassWeights,
    output: Path,
    top: int = 5,
    unit_m: float | None = 1.0,
) -> Counter[str | None]:
    """Write names, scores and embeddings of clouds (schema `NAMES`); return how many got each name, None the empty.

    Args:
        model: what encodes.
        inputs: as `cloud_batches` takes them.
        weights: the classes to choose from.
        output: Parquet to write.
        top: how many of the best classes to write for each cloud.
        unit_m: as `Model.encode` takes it.

    Raises:
        UserError: as `cloud_batches`, or the output is not named .parquet.
    """
    counts: Counter[str | None] = Counter()

    def tables() -> Iterator[pa.Table]:
        for batch, column in _encoded(model, inputs, unit_m):
            predictions = model.named(embeddings_of(column, model.encoder.config.out_dim), weights, top)
            counts.update(predictions.names)
            columns = {name: predictions.table[name] for name in PREDICTION.names}
            yield _joined(batch.about, columns | {"embedding": column})

    storage.write_parquet(parquet_path(output), NAMES, tables(), about(model, classes=weights.names))
    return counts


def read_embeddings(path: Path) -> tuple[pa.Table, NDArray[np.float32], str | None]:
    """What a file of embeddings says of its clouds, the embeddings (N, D), NaN of empty ones, and their CLIP's name.

    Raises:
        UserError: the file is missing, empty, or holds no embeddings.
    """
    table = storage.read_parquet(path)
    metadata = table.schema.metadata or {}
    if "embedding" not in table.column_names or b"blendclip" not in metadata:
        raise UserError(f"{path} holds no embeddings: make it with `blendclip encode`")
    valid = [cell for cell in table["embedding"] if cell.is_valid]
    if not valid:
        raise UserError(f"{path} holds no cloud that is not empty: encode some that are not")
    clip = storage.options_of(path).get("clip")
    return table.drop_columns(["embedding"]), embeddings_of(table["embedding"], len(valid[0])), clip


def about(model: Model, **options: Any) -> dict[str, str]:
    """The metadata of a file of embeddings or names."""
    description = model.description
    shared = {"clip": description.clip_name, "max_points": description.max_points}
    return storage.metadata("naming", shared | options)


def parquet_path(path: Path) -> Path:
    """A path to write Parquet to.

    Raises:
        UserError: it is not named so.
    """
    if path.suffix != ".parquet":
        raise UserError(f"{path} is not named .parquet: give the output that ending")
    return path


def embedding_column(embeddings_ND: NDArray[np.float32]) -> pa.Array:
    """Embeddings as a column; null where they are NaN."""
    rows = [None if np.isnan(row).any() else row for row in embeddings_ND]
    return pa.array(rows, EMBEDDING.field("embedding").type)


def embeddings_of(column: pa.ChunkedArray | pa.Array, width: int) -> NDArray[np.float32]:
    """A column of embeddings as (N, width); NaN where it is null."""
    found = np.full((len(column), width), np.nan, np.float32)
    for row, cell in enumerate(column):
        if cell.is_valid:
            found[row] = cell.values.to_numpy()
    return found


def _encoded(model: Model, inputs: Sequence[Path], unit_m: float | None) -> Iterator[tuple[CloudBatch, pa.Array]]:
    for batch in cloud_batches(inputs, colors=model.encoder.config.colors):
        if batch.clouds:
            yield batch, embedding_column(model.encode(batch.clouds, unit_m))


def _joined(table: pa.Table, columns: dict[str, Any]) -> pa.Table:
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table
