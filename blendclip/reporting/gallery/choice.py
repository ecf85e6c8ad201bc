"""Which rows a gallery shows: spread over classes, one for each object, the same on every run of the program."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_BANDS = 3  # near, middling, far


def stable_order(names: Sequence[str]) -> list[int]:
    """Indices of the names in an order that looks random and depends on each name alone."""
    return sorted(range(len(names)), key=lambda row: hashlib.sha256(names[row].encode()).digest())


def in_turn(rows: Sequence[int], classes: Sequence[str], objects: Sequence[str], count: int) -> list[int]:
    """At most `count` of `rows`: a row of each class in turn, the first of each object only.

    Args:
        rows: indices of `classes` and `objects`, the most wanted first; classes take turns in the order of their first.
        classes: class of each row.
        objects: name of the object of each row.
        count: rows to choose.
    """
    seen: set[str] = set()
    taken: dict[str, int] = {}
    turns = []
    for row in rows:
        if objects[row] not in seen:
            seen.add(objects[row])
            taken[classes[row]] = taken.get(classes[row], 0) + 1
            turns.append((taken[classes[row]], row))
    return [row for _, row in sorted(turns, key=lambda turn: turn[0])[:count]]


def near_and_far(rows: Sequence[int], classes: Sequence[str], distances_m: Sequence[float | None]) -> list[int]:
    """The rows with those of each class reordered, so that near, middling and far ones alternate.

    Thirds are of the class's own distances; rows without a distance keep their order. Each position in the order stays
    one of the same class, and classes start with different thirds.

    Args:
        rows: indices of `classes` and `distances_m`, in order.
        classes: class of each row.
        distances_m: distance of each row, None where unknown.
    """
    positions: dict[str, list[int]] = {}
    for position, row in enumerate(rows):
        positions.setdefault(classes[row], []).append(position)
    ordered = list(rows)
    for number, own in enumerate(positions.values()):
        alternating = _alternating([rows[position] for position in own], distances_m, number)
        for position, row in zip(own, alternating, strict=True):
            ordered[position] = row
    return ordered


def _alternating(rows: list[int], distances_m: Sequence[float | None], first_band: int) -> list[int]:
    """The rows of a class, one of each third of its distances in turn."""
    known = {row: distance_m for row in rows if (distance_m := distances_m[row]) is not None}
    by_distance = sorted(known, key=known.__getitem__)
    band_of = {row: _BANDS * index // len(by_distance) for index, row in enumerate(by_distance)}
    counts: dict[int, int] = {}
    keys = {}
    for row in rows:
        band = (band_of.get(row, 0) - first_band) % _BANDS
        counts[band] = counts.get(band, 0) + 1
        keys[row] = (counts[band], band)
    return sorted(rows, key=keys.__getitem__)
