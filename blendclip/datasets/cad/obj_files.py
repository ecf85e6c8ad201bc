"""What an OBJ file lets on of its end: faces name vertices that are there, and vertices are followed by faces."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from blendclip.datasets.cad import rules
from blendclip.datasets.cad.objects import BrokenObjectError
from blendclip.datasets.cad.rows import check_rows, refuse_row

_CONTINUED = re.compile(rb"\\\r?\n")
_VERTEX = re.compile(rb"^v\b[^\r\n#]*", re.MULTILINE)
_TEXTURE_VERTEX = re.compile(rb"^vt\b", re.MULTILINE)
_FACE = re.compile(rb"^f\b[^\r\n#]*", re.MULTILINE)
_OTHER_ELEMENTS = (b"\nl ", b"\np ", b"\ncurv ", b"\ncurv2 ", b"\nsurf ")
_PLAIN = bytes.maketrans(b"f/", b"  ")
_DIGITS = b"-0123456789"
_ABSENT = re.compile(rb"/(?=[/\s]|\Z)")  # a number left out, as in 7//9


def check_obj(content: bytes) -> None:
    """Refuse an OBJ file whose end is missing, as far as it can be seen.

    Raises:
        BrokenObjectError: a line is incomplete, a face names what is not there, or the last vertices have no face.
        Exception: it is broken, in almost any way.
    """
    text = _CONTINUED.sub(b"", content)
    vertices, faces = list(_VERTEX.finditer(text)), list(_FACE.finditer(text))
    check_rows((match[0] for match in vertices), lambda _: 4)
    if not faces:
        return
    counts = {"vertex": len(vertices), "texture vertex": len(_TEXTURE_VERTEX.findall(text))}
    lowest, highest = _check_faces([match[0] for match in faces], counts)
    starts = [match.start() for match in vertices]
    last = max(faces[-1].start(), *(text.rfind(element) for element in _OTHER_ELEMENTS))
    if (unused := len(vertices) - max(highest, bisect_left(starts, last))) > 0:
        raise BrokenObjectError(rules.TRUNCATED_MESH, rules.VERTICES_UNUSED.format(count=unused))
    if lowest < 0 and starts[-1] > faces[0].start():
        raise BrokenObjectError(rules.UNREADABLE_MESH, rules.VERTICES_FROM_END)


def _check_faces(faces: Sequence[bytes], counts: Mapping[str, int]) -> tuple[int, int]:
    """The lowest and the highest number of a vertex in faces, whose numbers must be of things that are there."""
    found = []
    for form, rows in _by_form(faces).items():
        numbers = _numbers(b" ".join(rows), _columns(form, rows))
        if (numbers[:, 0] == 0).any():
            raise BrokenObjectError(rules.UNREADABLE_MESH, rules.VERTEX_ZERO)
        for (what, count), column in zip(counts.items(), numbers.T, strict=False):
            _check_numbers(column, what, count)
        found += [int(numbers[:, 0].min()), int(numbers[:, 0].max())]
    return min(found), max(found)


def _by_form(faces: Sequence[bytes]) -> dict[bytes, list[bytes]]:
    """Faces by what is left of them without digits."""
    found: dict[bytes, list[bytes]] = {}
    for form, face in zip(b"\n".join(faces).translate(None, _DIGITS).split(b"\n"), faces, strict=True):
        found.setdefault(form, []).append(face)
    return found


def _columns(form: bytes, faces: Sequence[bytes]) -> int:
    """How many numbers each corner has of faces of one form, which must have three corners or more, all alike."""
    mark, *corners = form.split()
    kinds = set(corners) or {b""}
    if mark != b"f" or len(kinds) > 1 or not kinds <= {b"", b"/", b"//"} or 0 < len(corners) < 3:
        refuse_row(faces[0])
    if not corners:
        check_rows(faces, lambda _: 4)
    return len(kinds.pop()) + 1


def _numbers(rows: bytes, columns: int) -> NDArray[np.int64]:
    """The numbers (C, columns) of the corners of faces; those left out are 0."""
    if columns > 1:
        rows = _ABSENT.sub(b"/0", rows)
    return np.fromstring(rows.translate(_PLAIN), np.int64, sep=" ").reshape(-1, columns)


def _check_numbers(numbers: NDArray[np.int64], what: str, count: int) -> None:
    """Refuse numbers that count to no vertex, from the first or, where negative, from the last."""
    if count and (wrong := np.abs(numbers).max()) > count:  # none at all are missing, not cut off
        raise BrokenObjectError(rules.TRUNCATED_MESH, rules.CORNER_MISSING.format(what=what, number=wrong, count=count))
