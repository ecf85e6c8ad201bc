"""Whether the file of a mesh is whole: what its header counts against what it holds.

trimesh takes what is there. What a file cannot tell: an OBJ has no header, an ASCII STL may end after any of its
solids, and the last number of a text may have had more digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from blendclip.datasets.cad import rules
from blendclip.datasets.cad.obj_files import check_obj
from blendclip.datasets.cad.objects import BrokenObjectError
from blendclip.datasets.cad.rows import check_rows

_STL_HEADER, _STL_TRIANGLE, _GLB_HEADER = 84, 50, 20  # bytes
_OFF_COMMENT = re.compile(rb"#[^\r\n]*")
_PLY_HEADER = re.compile(rb"\A(.*?^end_header[ \t]*\r?\n)", re.MULTILINE | re.DOTALL)
_STL_START = re.compile(rb"\s*solid\b.*?\b(?:facet|endsolid)\b", re.IGNORECASE | re.DOTALL)


def whole_mesh(content: bytes, suffix: str) -> bytes:
    """The content of a mesh's file, found to be whole, as trimesh reads it best.

    Args:
        suffix: of the file, such as .off; of those that have nothing to compare all is taken to be whole.

    Raises:
        BrokenObjectError: it is cut short.
        Exception: it is broken, in almost any way.
    """
    check = _CHECKS.get(suffix)
    return content if check is None else check(content)


def check_ply(content: bytes) -> None:
    """Hold the rows of an ASCII PLY against its header; of a binary one trimesh compares the size.

    Raises:
        BrokenObjectError: it is cut short.
        Exception: it is broken, in almost any way.
    """
    header = _PLY_HEADER.match(content)
    if header is None:
        raise BrokenObjectError(rules.TRUNCATED_MESH, rules.MESH_WITHOUT_HEADER)
    lines = [line.decode("latin1").split() for line in header[1].splitlines()]
    if ["format", "ascii"] not in [words[:2] for words in lines]:
        return
    rows, start = content[header.end() :].splitlines(), 0
    for element in _ply_elements(lines):
        found = rows[start : start + element.count]
        _compare(f"{element.name} elements", element.count, len(found))
        check_rows(found, element.width)
        start += element.count


@dataclass
class _PlyElement:
    """A run of rows in a PLY file."""

    name: str
    count: int
    is_list: list[bool] = field(default_factory=list)
    """Of each property."""

    def width(self, words: Sequence[bytes]) -> int:
        """How many words a row has that begins so."""
        place = 0
        for is_list in self.is_list:
            place += 1 + (int(words[place]) if is_list else 0)
        return place


def _ply_elements(header: Sequence[Sequence[str]]) -> Iterator[_PlyElement]:
    element = None
    for words in header:
        if words[:1] == ["element"]:
            if element:
                yield element
            element = _PlyElement(words[1], int(words[2]))
        elif words[:1] == ["property"] and element:
            element.is_list.append(words[1] == "list")
    if element:
        yield element


def _compare(what: str, expected: int, found: int) -> None:
    if found < expected:
        reason = rules.MESH_SHORT.format(expected=expected, what=what, found=found)
        raise BrokenObjectError(rules.TRUNCATED_MESH, reason)


def _ply(content: bytes) -> bytes:
    check_ply(content)
    return content


def _off(content: bytes) -> bytes:
    """Also without its comments, at which trimesh reads what stands before them twice."""
    content = _OFF_COMMENT.sub(b"", content)
    lines = [line for line in content.partition(b"OFF")[2].splitlines() if line.strip()]
    if not lines:
        raise BrokenObjectError(rules.TRUNCATED_MESH, rules.MESH_WITHOUT_HEADER)
    vertices, faces = map(int, lines[0].split()[:2])
    _compare("vertices", vertices, len(lines) - 1)
    rows = lines[1 + vertices : 1 + vertices + faces]
    _compare("faces", faces, len(rows))
    if not _are_triangles(rows):
        check_rows(rows, lambda words: 1 + int(words[0]))
    return content


def _are_triangles(rows: Sequence[bytes]) -> bool:
    """Whether the rows of faces are triangles, each with its three vertices and nothing else: most are."""
    text = b" ".join(rows)
    if text.translate(None, b"0123456789 \t"):
        return False
    numbers = np.fromstring(text, np.int64, sep=" ")
    return len(numbers) == 4 * len(rows) and bool((numbers[::4] == 3).all())


def _stl(content: bytes) -> bytes:
    triangles = int.from_bytes(content[_STL_HEADER - 4 : _STL_HEADER], "little")
    if len(content) == _STL_HEADER + _STL_TRIANGLE * triangles:
        return content
    if not _STL_START.match(content):
        _compare("bytes", _STL_HEADER + _STL_TRIANGLE * triangles, len(content))
        return content  # longer than its header says, which trimesh refuses
    if content.rstrip().rpartition(b"\n")[2].lower().split()[:1] != [b"endsolid"]:
        raise BrokenObjectError(rules.TRUNCATED_MESH, rules.SOLID_WITHOUT_END)
    words = content.lower()
    facets, vertices = words.count(b"endfacet"), words.count(b"vertex")
    if vertices != 3 * facets:  # which trimesh would make other triangles of
        raise BrokenObjectError(rules.TRUNCATED_MESH, rules.FACETS_CUT.format(facets=facets, vertices=vertices))
    return content


def _glb(content: bytes) -> bytes:
    if content.startswith(b"glTF"):
        _compare("bytes", max(_GLB_HEADER, int.from_bytes(content[8:12], "little")), len(content))
    return content


def _gltf(content: bytes) -> bytes:
    json.loads(content)  # else trimesh reads the model.gltf of the folder instead
    return content


def _obj(content: bytes) -> bytes:
    check_obj(content)
    return content


_CHECKS: dict[str, Callable[[bytes], bytes]] = {
    ".off": _off,
    ".ply": _ply,
    ".stl": _stl,
    ".glb": _glb,
    ".gltf": _gltf,
    ".obj": _obj,
}
