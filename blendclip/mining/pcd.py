"""PCD files, binary and binary_compressed, as columns."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import lzf
import numpy as np
from numpy.typing import NDArray

from blendclip.errors import DataFault
from blendclip.mining import rules

_KINDS = {"F": "f", "I": "i", "U": "u"}
_HEADER_LINES = 64  # at most, comments included

Columns = Mapping[str, NDArray[Any]]
"""Fields by name, (N,) each, or (N, count)."""


@dataclass(frozen=True)
class _Header:
    point: np.dtype[np.void]
    """The fields of one point, little-endian as all PCD writers have it."""
    points: int
    encoding: str

    @property
    def names(self) -> tuple[str, ...]:
        """Of the fields, in their order."""
        assert self.point.names is not None
        return self.point.names


def read_pcd(path: Path) -> Columns:
    """The fields of a PCD file by name, (N,) each, or (N, count), with the types they have there.

    Raises:
        DataFault: the file is no PCD, is ascii, or holds less than its header says.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        header = _header(file)
        rest = os.fstat(file.fileno()).st_size - file.tell()
        if header.encoding == "binary":
            return _binary(file, header, rest)
        return _compressed(file, header, rest)


def _header(file: BinaryIO) -> _Header:
    entries: dict[str, list[str]] = {}
    for _ in range(_HEADER_LINES):
        key, *values = file.readline(4096).decode("ascii", "replace").split() or [""]
        entries[key] = values
        if key == "DATA":
            break
    missing = [key for key in ("FIELDS", "SIZE", "TYPE", "POINTS", "DATA") if not entries.get(key)]
    if missing:
        raise DataFault(rules.PCD_WITHOUT_HEADER.format(missing=", ".join(missing)))
    try:
        points, point = int(entries["POINTS"][0]), _point(entries)
    except (KeyError, ValueError, TypeError) as error:
        raise DataFault(rules.PCD_HEADER_WRONG.format(error=error)) from None
    if points < 0:
        raise DataFault(rules.PCD_NEGATIVE.format(points=points))
    encoding = entries["DATA"][0]
    if encoding not in ("binary", "binary_compressed"):
        raise DataFault(rules.PCD_ENCODING.format(encoding=encoding))
    return _Header(point, points, encoding)


def _point(entries: Mapping[str, list[str]]) -> np.dtype[np.void]:
    names = [f"_{number}" if name == "_" else name for number, name in enumerate(entries["FIELDS"])]
    counts = entries.get("COUNT") or ["1"] * len(names)
    columns = zip(names, entries["TYPE"], entries["SIZE"], counts, strict=True)
    return np.dtype(
        [(name, f"<{_KINDS[kind]}{size}", () if count == "1" else (int(count),)) for name, kind, size, count in columns]
    )


def _binary(file: BinaryIO, header: _Header, rest: int) -> Columns:
    wanted = header.points * header.point.itemsize
    if wanted > rest:
        raise DataFault(rules.PCD_CUT_OFF.format(points=header.points, wanted=wanted, rest=rest))
    points = np.fromfile(file, header.point, header.points)
    return {name: points[name] for name in header.names}


def _compressed(file: BinaryIO, header: _Header, rest: int) -> Columns:
    """All values of a field stand together here, field after field, in one block of LZF."""
    packed, unpacked = struct.unpack("<II", file.read(8).ljust(8, b"\0"))
    wanted = header.points * header.point.itemsize
    if packed > rest - 8:
        raise DataFault(rules.PCD_BLOCK_CUT_OFF.format(packed=packed, rest=max(rest - 8, 0)))
    if unpacked != wanted:
        raise DataFault(rules.PCD_BLOCK_SIZE.format(points=header.points, wanted=wanted, unpacked=unpacked))
    try:
        data = lzf.decompress(file.read(packed), unpacked) if wanted else b""
    except ValueError as error:
        raise DataFault(rules.PCD_BLOCK_BROKEN.format(error=error)) from None
    if data is None or len(data) != wanted:
        raise DataFault(rules.PCD_BLOCK_SHORT.format(wanted=wanted, points=header.points))
    columns: dict[str, NDArray[Any]] = {}
    start = 0
    for name in header.names:
        kind = header.point[name]
        columns[name] = np.frombuffer(data, kind, header.points, start)
        start += kind.itemsize * header.points
    return columns
