"""Which rows a gallery shows: spread over classes, one of each object, the same in every run of the program."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_BANDS = 3  # near, middling, far


def stable_order(names: Sequence[str]) -> list[int]:
    """Places of the names in an order that looks random and depends on each name alone."""
    return sorted(range(len(names)), key=lambda row: hashlib.sha256(names[row].encode()).digest())


def in_turn(rows: Sequence[int], classes: Sequence[str], objects: Sequence[str], count: int) -> list[int]:
    """At most `count` of `rows`: a row of each class in turn, the first of each object only.

    Args:
        rows: places in the other two, the most wanted first; classes take turns in the order in which they come up.
        classes: class of each place.
        objects: what each place is a cloud of; clouds of one object share it.
        count: how many to choose.
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
    """The rows with those of each class reordered: near, middling and far ones alternate.

    Thirds are of the class's own distances; rows without a distance keep their order. The class's n-th place in `rows`
    stays a place of the class, and classes start with different thirds.
    """
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(classes[row], []).append(place)
    ordered = list(rows)
    for number, mine in enumerate(places.values()):
        for place, row in zip(mine, _alternating([rows[place] for place in mine], distances_m, number), strict=True):
            ordered[place] = row
    return ordered


def _alternating(rows: list[int], distances_m: Sequence[float | None], first_band: int) -> list[int]:
    by_distance = sorted((row for row in rows if distances_m[row] is not None), key=lambda row: distances_m[row])
    band_of = {row: _BANDS * place // len(by_distance) for place, row in enumerate(by_distance)}
    counts: dict[int, int] = {}
    keys = {}
    for row in rows:
        band = (band_of.get(row, 0) - first_band) % _BANDS
        counts[band] = counts.get(band, 0) + 1
        keys[row] = (counts[band], band)
    return sorted(rows, key=keys.__getitem__)
