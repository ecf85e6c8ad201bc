"""Atomic, durable, reproducible Parquet and Arrow files, whose readers notice a flipped bit.

Same input gives the same bytes: no time stamps, no machine names, no paths of this run in a file. Every file carries
the metadata keys `blendclip` (code version, stage version, options, conventions) and, where it has rows to train on,
`huggingface` (features), so that `datasets.load_dataset("parquet", ...)` shows crops as images.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
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
_CHECKSUM = b"crc32"
RUN_AGAIN = "delete it and run its stage again"
"""What to do about a damaged file of `results/`."""
_ABOUT = b"blendclip"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it at the end, removed on failure.

    The name is always the same, so that a run after a killed one writes over what that left. File and folder are on the
    disk before and after the renaming, so that a machine that loses its power leaves the whole file or none.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _to_disk(temporary)
        temporary.replace(path)
        _to_disk(path.parent)
    except OSError as error:
        if error.filename is None:  # such as on a full disk, where pyarrow and numpy name no file
            error.filename = str(path)
        raise
    finally:
        if temporary.exists():
            temporary.unlink()


def _to_disk(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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

    Such a file can be memory-mapped; each batch has a checksum for `check_arrow`. `about` is of `metadata`.
    """
    schema = schema.with_metadata(about)
    with replacing(path) as temporary, pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, schema) as writer:

        def write(table: pa.Table) -> None:
            for batch in table.cast(schema).combine_chunks().to_batches():
                writer.write_batch(batch, custom_metadata={_CHECKSUM: _checksum(batch)})

        yield write


def check_arrow(path: Path) -> int:
    """Hold each batch of a file of `arrow_writer` against its checksum; return the number of rows.

    Raises:
        UserError: the file is not there, is damaged, or has no checksums.
    """
    rows = 0
    with _readable(existing(path), "Arrow"), pa.memory_map(str(path)) as memory:
        file = pa.ipc.open_file(memory)
        for number in range(file.num_record_batches):
            batch, about = file.get_batch_with_custom_metadata(number)
            if about is None or _CHECKSUM not in about:
                raise UserError(f"{path} was written by an older version, without checksums: {RUN_AGAIN}")
            if about[_CHECKSUM].decode() != _checksum(batch):
                raise UserError(f"{path} is damaged (batch {number} does not have its checksum): {RUN_AGAIN}")
            rows += batch.num_rows
    return rows


def _checksum(batch: pa.RecordBatch) -> str:
    """CRC-32 of the bytes that a batch has in a file."""
    return f"{zlib.crc32(pa.ipc.read_message(batch.serialize()).body):08x}"


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


class ParquetFile(pq.ParquetFile):  # type: ignore[misc]  # pyarrow comes without types
    """A Parquet file whose pages are held against their checksums as they are read.

    Where one is wrong, or the file is no Parquet, a UserError names the file and says `cure`.
    """

    def __init__(self, path: Path, cure: str = RUN_AGAIN) -> None:
        self._readable = partial(_readable, path, "Parquet", cure)
        with self._readable():
            super().__init__(
                path, page_checksum_verification=True, pre_buffer=False
            )  # it would hold all that is streamed

    def read(self, *args: Any, **options: Any) -> pa.Table:
        """As of pyarrow."""
        with self._readable():
            return super().read(*args, **options)

    def read_row_group(self, *args: Any, **options: Any) -> pa.Table:
        """As of pyarrow."""
        with self._readable():
            return super().read_row_group(*args, **options)

    def read_row_groups(self, *args: Any, **options: Any) -> pa.Table:
        """As of pyarrow."""
        with self._readable():
            return super().read_row_groups(*args, **options)

    def iter_batches(
        self, batch_size: int, row_groups: Iterable[int] | None = None, **options: Any
    ) -> Iterator[pa.RecordBatch]:
        """As of pyarrow, one row group at a time: asked for several, it holds all that it has read until the end."""
        for group in range(self.num_row_groups) if row_groups is None else row_groups:
            batches = super().iter_batches(batch_size, row_groups=[group], **options)
            while True:
                with self._readable():
                    batch = next(batches, None)
                if batch is None:
                    break
                yield batch


@contextmanager
def _readable(path: Path, kind: str, cure: str = RUN_AGAIN) -> Iterator[None]:
    """What pyarrow says of a damaged file as a UserError; what the system says of a file, with its name."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = error.filename or str(path)
            raise
        told = str(error).rstrip(".")
        raise UserError(f"{path} is not a readable {kind} file ({told}): {cure}") from None


def open_parquet(path: Path) -> ParquetFile:
    """The Parquet file `path`, which an earlier stage must have written.

    Raises:
        UserError: it is not there or is not Parquet; reading from it raises one where it is damaged.
    """
    return ParquetFile(existing(path))


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """The table in `path`, or some of its columns.

    Raises:
        UserError: the file is not there, is not Parquet, or is damaged.
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
    return options_in(open_parquet(path).schema_arrow)


def options_in(schema: pa.Schema) -> dict[str, Any]:
    """The options that a file of ours was made with, from the metadata of its schema."""
    options: dict[str, Any] = json.loads(schema.metadata[_ABOUT])["options"]
    return options


def in_metres(options: Mapping[str, Any]) -> bool:
    """Whether clouds of triplets made with `options` are in metres: mined ones, and CAD files of a known unit."""
    return "clouds" in options or options.get("unit_m") is not None


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
