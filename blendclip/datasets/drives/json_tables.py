"""Tables of JSON records, read piece by piece into columns, so that memory grows with what is kept alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, get_args

import msgspec
import pyarrow as pa

from blendclip.datasets.drives.records import Record, columns_of
from blendclip.errors import UserError

RECORD_NUMBER = "record number"
"""The column with which a table says where in its file a record stood."""

_PIECE = 1 << 24  # bytes of JSON that become records at a time: 50,000 of them, in 50 MB
_PLACE = re.compile(r"(?P<what>.*) - at `\$\[(?P<number>\d+)\](?:\.(?P<field>\w+))?.*`", re.DOTALL)
_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")
_WORDS = {"float": "a number", "int": "a whole number", "str": "text", "bool": "true or false", "array": "a list"}


def read_columns(path: Path, record: type[Record], keep: Callable[[Any], bool] | None = None) -> pa.Table:
    """The columns of the records in a JSON file that `keep` holds true for, and their numbers in the file.

    Raises:
        UserError: the file is not there, is no list of records, or a record lacks a field or has one of a wrong type.
    """
    if not path.is_file():
        raise UserError(f"{path} is not there: unpack the dataset again")
    schema = columns_of(record).append(pa.field(RECORD_NUMBER, pa.int64()))
    tables, first = [schema.empty_table()], 0
    with path.open("rb") as file:
        for records in _records(path, file, record):
            kept = [(number, row) for number, row in enumerate(records, first) if keep is None or keep(row)]
            tables.append(_table(kept, schema))
            first += len(records)
    return pa.concat_tables(tables).combine_chunks()


def _table(rows: list[tuple[int, Record]], schema: pa.Schema) -> pa.Table:
    numbers = [number for number, _ in rows]
    columns = [list(column) for column in zip(*(msgspec.structs.astuple(row) for _, row in rows), strict=True)]
    columns = [*columns, numbers] if rows else [[] for _ in schema]
    return pa.table([pa.array(column, one.type) for column, one in zip(columns, schema, strict=True)], schema=schema)


def _records(path: Path, file: BinaryIO, record: type[Record]) -> Iterator[list[Any]]:
    """The records of a file, as many at a time as a piece of it holds."""
    pending, first, opening = b"", 0, b""
    decoder = msgspec.json.Decoder(list[record])  # type: ignore[valid-type]  # known at run time alone
    while block := file.read(max(_PIECE, len(pending))):
        pending += block
        end = _last_end(pending)
        records = _decoded(path, opening + pending[:end] + b"]", decoder, first) if end else None
        if records is None:
            continue  # the end of a list or a string inside of a record: read on to the next
        yield records
        first += len(records)
        pending, opening = pending[end + 1 :], b"["
    records = _decoded(path, opening + pending, decoder, first)
    if records is None:
        raise UserError(f"{path} is no whole list of JSON records: unpack the dataset again")
    yield records


def _last_end(pending: bytes) -> int:
    """Where the comma stands that ends the last whole record, as far as braces tell; 0 where there is none."""
    comma = len(pending)
    while (comma := pending.rfind(b",", 0, comma)) > 0:
        if pending[max(comma - 64, 0) : comma].rstrip().endswith(b"}"):
            return comma
    return 0


def _decoded(path: Path, text: bytes, decoder: msgspec.json.Decoder[list[Any]], first: int) -> list[Any] | None:
    """The records of a JSON list, of which the first is number `first` of its file; None where it is no JSON."""
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decoded_slowly(path, text, decoder.type, first)


def _decoded_slowly(path: Path, text: bytes, kind: Any, first: int) -> list[Any] | None:
    """The same with NaN and infinity, which Python writes and JSON has not."""
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):  # brackets in brackets ten thousand deep are no table
        return None
    if _HALF_CHARACTER.search(text):
        _check_text(path, rows, kind, first)
    try:
        records: list[Any] = msgspec.convert(rows, kind)
    except msgspec.ValidationError as error:
        raise UserError(_complaint(path, str(error), rows, first)) from None
    return records


def _check_text(path: Path, rows: Any, kind: Any, first: int) -> None:
    """Complain of the first record whose fields hold half of a character, which JSON can write and nothing else can."""
    (record,) = get_args(kind)
    for number, row in enumerate(rows if isinstance(rows, list) else [], first):
        used = {field: row.get(field) for field in record.__struct_fields__} if isinstance(row, dict) else row
        try:
            json.dumps(used, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            token = row.get("token") if isinstance(row, dict) else None
            where, half = record_name(path, number, token), ascii(error.object[error.start : error.end])
            raise UserError(f"{where} holds {half}, which is half of a character: mend it") from None


def _complaint(path: Path, error: str, rows: Any, first: int) -> str:
    """The sentence on what msgspec finds wrong."""
    place = _PLACE.fullmatch(error)
    if place is None:
        return f"{path} holds a {type(rows).__name__}, must be a list of records: unpack the dataset again"
    number = int(place["number"])
    where = record_name(path, first + number, rows[number].get("token") if isinstance(rows[number], dict) else None)
    expected = re.match(r"Expected `([^`]*)`(.*)", place["what"])
    if missing := re.search(r"required field `(\w+)`", place["what"]):
        return f"{where} has no {missing[1]}, which mining needs: write that column, or unpack the dataset again"
    wanted = re.sub(r"\w+", lambda word: _WORDS.get(word[0], word[0]), expected[1]) if expected else place["what"]
    of_length = re.match(r" of length \d+| [<>]= -?[\d.e+]+", expected[2]) if expected else None
    wanted = wanted.replace(" | ", " or ") + (of_length[0] if of_length else "")
    if place["field"] is None:
        return f"{where} is {rows[number]!r:.80}, must be a record of fields: mend it"
    return f"{where}: {place['field']} is {rows[number][place['field']]!r:.80}, must be {wanted}: mend it"


def record_name(path: Path, number: int, token: Any) -> str:
    """A record by its file, its number counted from 0, and its token."""
    shown = str(token).encode(errors="backslashreplace").decode()
    return f"{path}, record {number}" + (f" (token {shown:.80})" if token else "")
