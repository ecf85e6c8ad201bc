"""Rows of text in which files keep meshes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from blendclip.datasets.cad import rules
from blendclip.datasets.cad.objects import BrokenObjectError

_SHOWN = 60  # characters of a row in a message


def check_rows(rows: Iterable[bytes], width: Callable[[Sequence[bytes]], int]) -> None:
    """Refuse a row that has fewer words than `width` says of it.

    Raises:
        BrokenObjectError: there is one.
        ValueError: `width` finds no number where it looks for one.
    """
    for row in rows:
        words = row.split()
        if not words or len(words) < width(words):
            refuse_row(row)


def refuse_row(row: bytes) -> None:
    """Raise that a row is incomplete.

    Raises:
        BrokenObjectError: always.
    """
    line = row[:_SHOWN].decode("latin1").strip()
    raise BrokenObjectError(rules.TRUNCATED_MESH, rules.ROW_CUT.format(line=line))
