"""What an OBJ file lets on of its end: faces name vertices that are there, and vertices are followed by faces."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blendclip.datasets.cad import rules
from blendclip.datasets.cad.objects import BrokenObjectError
from blendclip.datasets.cad.rows import check_rows, refuse_row

_CONTINUED = re.compile(rb"\\\r?\n")
_VERTEX = re.compile(rb"^v\b[^\r\n#]*", re.MULTILINE)
_TEXTURE_VERTEX = re.compile(rb"^vt[ \t]", re.MULTILINE)
_ELEMENT = re.compile(rb"^(?:f|l|p|curv|curv2|surf)\b", re.MULTILINE)
_FACE = re.compile(rb"^f\b[^\r\n#]*", re.MULTILINE)
_DIGITS = b"-0123456789"
_ABSENT = re.compile(rb"/(?=[/\s]|\Z)")  # a number left out, as in 7//9


def check_obj(content: bytes) -> None:
    """Refuse an OBJ file whose end is missing, as far as it can be seen.

    Raises:
        BrokenObjectError: a line is incomplete, a face names what is not there, or the last vertices have no face.
        Exception: it is broken, in almost any way.
    """
    text = _CONTINUED.sub(b"", content)
    rows = _VERTEX.findall(text)
    check_rows(rows, lambda _: 4)
    faces = list(_FACE.finditer(text))
    if not faces:
        return
    last = [match.start() for match in _ELEMENT.finditer(text)][-1]
    counts = {"vertex": len(rows), "texture vertex": len(_TEXTURE_VERTEX.findall(text))}
    lowest, highest = _check_faces([match[0] for match in faces], counts)
    if unused := len(rows) - max(highest, len(_VERTEX.findall(text, 0, last))):
        raise BrokenObjectError(rules.TRUNCATED_MESH, rules.VERTICES_UNUSED.format(count=unused))
    if lowest < 0 and len(_VERTEX.findall(text, 0, faces[0].start())) < len(rows):
        raise BrokenObjectError(rules.UNREADABLE_MESH, rules.VERTICES_FROM_END)


def _check_faces(faces: Sequence[bytes], counts: dict[str, int]) -> tuple[int, int]:
    """The lowest and the highest number of a vertex in faces, whose numbers must be of things that are there."""
    lowest, highest = 1, 0
    check_rows(faces, lambda _: 4)
    for columns, rows in _by_columns(faces).items():
        numbers = np.array(b" ".join(rows).replace(b"/", b" ").split()).astype(np.int64).reshape(-1, columns)
        for what, column in zip(counts, numbers.T, strict=False):
            _check_numbers(column, what, counts[what])
        lowest, highest = min(lowest, int(numbers[:, 0].min())), max(highest, int(numbers[:, 0].max()))
    return lowest, highest


def _by_columns(faces: Sequence[bytes]) -> dict[int, list[bytes]]:
    """Faces by how many numbers each of their corners has; those left out are 0."""
    found: dict[int, list[bytes]] = {}
    for face in faces:
        found.setdefault(_columns(face), []).append(_ABSENT.sub(b"/0", face[1:]))
    return found


def _columns(face: bytes) -> int:
    forms = set(face[1:].translate(None, _DIGITS).split()) or {b""}
    if len(forms) > 1 or not forms <= {b"", b"/", b"//"}:
        refuse_row(face)
    return len(forms.pop()) + 1


def _check_numbers(numbers: NDArray[np.int64], what: str, count: int) -> None:
    """Refuse numbers that count to no vertex, from the first or, where negative, from the last."""
    if (wrong := np.abs(numbers).max()) > count or (what == "vertex" and (numbers == 0).any()):
        raise BrokenObjectError(rules.TRUNCATED_MESH, rules.CORNER_MISSING.format(what=what, number=wrong, count=count))
