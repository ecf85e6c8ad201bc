"""Nested columns of the scene index from arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def struct_of(kind: pa.StructType, **columns: Any) -> pa.StructArray:
    """N rows of type `kind` from its columns: arrays (N,), of lists of fixed size (N, ...), or of Arrow."""
    return pa.StructArray.from_arrays([_column(columns[one.name], one.type) for one in kind], fields=list(kind))


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values.cast(kind)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(values), kind.value_type), type=kind)
    return pa.array(values, kind)


def lists_of(rows: pa.Array, lengths: NDArray[np.integer[Any]], kind: pa.ListType) -> pa.ListArray:
    """Lists of so and so many rows each, of `lengths` (L,), in order."""
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32()), rows, type=kind)


def finite_or_null(vectors_ND: NDArray[np.float64], kind: pa.ListType) -> pa.ListArray:
    """Vectors (N, D) as lists of variable length; null where one is not finite."""
    known = np.isfinite(vectors_ND).all(axis=1)
    ends = np.concatenate([[0], np.cumsum(known * vectors_ND.shape[1])]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(ends), pa.array(vectors_ND[known].ravel()), type=kind, mask=pa.array(~known)
    )
