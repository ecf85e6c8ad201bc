"""Tables in feather files, whose columns must be what they are said to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import feather

from blendclip.errors import UserError

_AGAIN = "unpack the log again"


class FeatherTable:
    """The columns of a feather file of N rows that are asked for."""

    def __init__(
        self, path: Path, *, numbers: Sequence[str] = (), whole: Sequence[str] = (), texts: Sequence[str] = ()
    ) -> None:
        """Read columns of `numbers`, NaN where null, of `whole` numbers and of `texts`, both without nulls.

        Raises:
            UserError: the file is missing, cut short or of another kind, or a column is missing or of another type.
        """
        self.path, self._texts, self._arrays = path, dict[str, pa.Array](), dict[str, NDArray[Any]]()
        table = _read(path)
        for name in (*numbers, *whole, *texts):
            if table.column_names.count(name) != 1:
                raise UserError(f"{path} has no column {name}, only {', '.join(table.column_names)}: {_AGAIN}")
            column = table[name].combine_chunks()
            column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
            if name in texts:
                self._texts[name] = self._typed(name, column, pa.string())
            else:
                kind = pa.float64() if name in numbers else pa.int64()
                self._arrays[name] = self._typed(name, column, kind).to_numpy(zero_copy_only=False)
        self._rows = table.num_rows

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column of numbers (N,)."""
        return self._arrays[name]

    def vectors(self, *names: str) -> NDArray[np.float64]:
        """Some columns as vectors (N, D)."""
        return np.stack([self._arrays[name] for name in names], axis=1)

    def text(self, name: str) -> pa.Array:
        """A column of texts (N,)."""
        return self._texts[name]

    def _typed(self, name: str, column: pa.Array, kind: pa.DataType) -> pa.Array:
        is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if pa.types.is_dictionary(column.type):
            column, is_text = column.dictionary_decode(), pa.types.is_string(column.type.value_type)
        is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        wanted = (
            is_text
            if kind == pa.string()
            else is_number and not (kind == pa.int64() and pa.types.is_floating(column.type))
        )
        if not wanted:
            raise UserError(f"{self.path}: column {name} is {column.type}, must be {kind}: {_AGAIN}")
        if kind != pa.float64() and column.null_count:
            row = pc.index(column.is_null(), True).as_py()
            raise UserError(f"{self.path}, row {row}: {name} is null, must be {kind}: {_AGAIN}")
        if pa.types.is_float16(column.type):
            column = pa.array(column.to_numpy(zero_copy_only=False).astype(np.float64))
        return column.cast(kind)


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise UserError(f"there is no {path}: {_AGAIN}")
    try:
        return feather.read_table(path, use_threads=False, memory_map=False)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is no sound feather file ({reason}): {_AGAIN}") from None
