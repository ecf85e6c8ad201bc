"""Atomic, reproducible Parquet and Arrow files.

Same input gives the same bytes: no time stamps, no machine names, no paths of this run in a file. Every file carries
the metadata keys `blendclip` (code version, stage version, options, conventions) and, where it has rows to train on,
`huggingface` (features), so that `datasets.load_dataset("parquet", ...)` shows crops as images.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from blendclip import __version__
from blendclip.errors import UserError
from blendclip.schemas import CONVENTIONS, STAGE_VERSIONS, hf_features

ROW_GROUP_BYTES = 2**27
"""Above this a scene's rows are split into row groups, so that memory holds a part of them, however long the scene."""
_COORDINATES = "points.list.element.list.element"
_JPEG = "image.bytes"
_ABOUT = b"blendclip"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it at the end, removed on failure.

    The name is always the same, so that a run after a killed one writes over what that left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def metadata(stage: str, options: dict[str, Any]) -> dict[str, str]:
    """The value of the file metadata key `blendclip`: what made the file, and how to read it."""
    made_by = {"version": __version__, "stage": stage, "stage_version": STAGE_VERSIONS[stage], "options": options}
    return {"blendclip": json.dumps(made_by | {"conventions": CONVENTIONS}, sort_keys=True)}


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema, about: dict[str, str]) -> Iterator[Callable[[pa.Table], None]]:
    """What writes a table as a row group of one file, which appears when all went well. `about` is of `metadata`."""
    if "image" in schema.names:
        about = about | {"huggingface": json.dumps({"info": {"features": hf_features(schema)}}, sort_keys=True)}
    schema = schema.with_metadata(about)
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, **_writer_options(schema)) as writer:
        yield lambda table: writer.write_table(table.cast(schema), row_group_size=max(table.num_rows, 1))


def write_parquet(path: Path, schema: pa.Schema, batches: Iterable[pa.Table], about: dict[str, str]) -> int:
    """Write each table as row groups of one file, atomically, and return the number of rows.

    A file without rows is a valid file with the same schema. `about` comes from `metadata`.
    """
    rows = 0
    with parquet_writer(path, schema, about) as write:
        for batch in batches:
            write(batch)
            rows += batch.num_rows
    return rows


@contextmanager
def arrow_writer(path: Path, schema: pa.Schema, about: dict[str, str]) -> Iterator[Callable[[pa.Table], None]]:
    """What writes a table as a record batch of one uncompressed Arrow file, which appears when all went well.

    Such a file can be memory-mapped. `about` is of `metadata`.
    """
    schema = schema.with_metadata(about)
    with replacing(path) as temporary, pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        yield lambda table: writer.write_table(table.cast(schema).combine_chunks())


def table_of(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """A table with `schema` from a list of rows; a missing column is an error, not a column of nulls."""
    return pa.table({name: pa.array([row[name] for row in rows], schema.field(name).type) for name in schema.names})


def ragged(
    values_ND: NDArray[np.generic],
    lengths: NDArray[np.integer[Any]],
    kind: pa.ListType,
    mask: pa.BooleanArray | None = None,
) -> pa.ListArray:
    """Runs of rows (N, D) as an array of `kind`, list of lists of D; null where `mask` is true.

    Element b of the array has lengths[b] rows, of (B,).
    """
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    rows = pa.FixedSizeListArray.from_arrays(pa.array(values_ND.ravel()), type=kind.value_type)
    return pa.ListArray.from_arrays(pa.array(ends), rows, type=kind, mask=mask)


def existing(path: Path) -> Path:
    """`path`, which an earlier stage must have written.

    Raises:
        UserError: it is not there.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: run the stage that writes it first")
    return path


def open_parquet(path: Path) -> pq.ParquetFile:
    """The Parquet file `path`, which an earlier stage must have written.

    Raises:
        UserError: it is not there or is not Parquet.
    """
    try:
        return pq.ParquetFile(
            existing(path), pre_buffer=False
        )  # which would hold every row group that a caller streams
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is not a readable Parquet file ({error}): delete it and run its stage again") from None


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """The table in `path`, or some of its columns.

    Raises:
        UserError: the file is not there or is not Parquet.
    """
    return open_parquet(path).read(columns=columns)


def stream(
    file: pq.ParquetFile, groups: Iterable[int], rows: int, columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """Some row groups, or some columns of them, in tables of at most `rows` rows, fewer where rows are large."""
    for group in groups:
        about = file.metadata.row_group(group)
        at_once = rows_within(about.total_byte_size // max(about.num_rows, 1), rows)
        for batch in file.iter_batches(at_once, row_groups=[group], columns=columns):
            yield pa.Table.from_batches([batch])


def rows_within(row_bytes: int, rows: int) -> int:
    """At most `rows` rows of this size, of which a row group holds many times as much; at least one."""
    return max(1, min(rows, ROW_GROUP_BYTES // (8 * max(row_bytes, 1))))


def row_groups_with(file: pq.ParquetFile, column: str, value: str) -> list[int]:
    """The row groups in which a column of text may hold `value`, as far as the file's statistics tell."""
    number = file.schema.names.index(column)
    return [group for group in range(file.num_row_groups) if _may_hold(file.metadata.row_group(group), number, value)]


def _may_hold(group: pq.RowGroupMetaData, column: int, value: str) -> bool:
    known = group.column(column).statistics
    return known is None or not known.has_min_max or bool(known.min <= value <= known.max)


def options_of(path: Path) -> dict[str, Any]:
    """The options that a file was made with, from its metadata.

    Raises:
        UserError: the file is not there or is not Parquet.
    """
    options: dict[str, Any] = json.loads(open_parquet(path).schema_arrow.metadata[_ABOUT])["options"]
    return options


def stage_of(path: Path) -> str | None:
    """The stage that made a file, from its metadata; None where these do not say.

    Raises:
        UserError: the file is not there or is not Parquet.
    """
    about = (open_parquet(path).schema_arrow.metadata or {}).get(_ABOUT)
    return None if about is None else str(json.loads(about)["stage"])


def _writer_options(schema: pa.Schema) -> dict[str, Any]:
    """Coordinates are split into byte streams before zstd, JPEGs stored as they are, the rest dictionary-encoded."""
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    return {
        "compression": {leaf: "none" if leaf == _JPEG else "zstd" for leaf in leaves},
        "use_dictionary": [leaf for leaf in leaves if leaf not in (_JPEG, _COORDINATES)],
        "column_encoding": {leaf: "BYTE_STREAM_SPLIT" for leaf in leaves if leaf == _COORDINATES} or None,
        "write_page_checksum": True,
    }


def _leaves(path: str, kind: pa.DataType) -> Iterator[str]:
    """The Parquet column paths under a column of type `kind`."""
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{path}.{field.name}", field.type)
    elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    else:
        yield path
