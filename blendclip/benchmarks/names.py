"""Pairs the class names of a source with those of a benchmark, so that no cloud is scored under a wrong name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blendclip.errors import UserError

_SHOWN = 8


def plain(name: str) -> str:
    """A name without what spelling adds: small letters, words parted by single spaces."""
    return " ".join(name.replace("_", " ").split()).casefold()


def paired(names: Iterable[str], classes: Sequence[str], where: str) -> dict[str, str]:
    """For each name of a source the class with that name; `night_stand` is "Night stand".

    Raises:
        UserError: a name is no class, or two names differ in spelling alone.
    """
    names = list(names)
    _check_distinct(names, where)
    _check_distinct(classes, "the list of classes")
    by_plain = {plain(one): one for one in classes}
    if missing := [name for name in names if plain(name) not in by_plain]:
        raise UserError(
            f"{where} has the class {listed(missing)}, which the benchmark's file of prompts/classes has not: add it "
            "there, or name the file that is of these clouds"
        )
    return {name: by_plain[plain(name)] for name in names}


def check_order(names: Sequence[str], known: Sequence[str], where: str) -> None:
    """See that the names of a file's labels 0, 1, ... are those that its dataset is known to have, in their order.

    Raises:
        UserError: they are not, so that label numbers mean other classes.
    """
    for label, (name, expected) in enumerate(zip(names, known, strict=False)):
        if plain(name) != plain(expected):
            raise UserError(
                f"{where} calls label {label} {name!r}, where the dataset has {expected!r}: unpack it again"
            )
    if len(names) != len(known):
        raise UserError(f"{where} has {len(names)} names for the {len(known)} classes of the dataset: unpack it again")


def listed_names(path: Path) -> list[str]:
    """The names in a text file, one a line.

    Raises:
        UserError: the file is missing.
    """
    if not path.is_file():
        raise UserError(f"there is no {path}, which says what the labels mean: unpack the release again")
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def label_numbers(labels: ArrayLike, classes: int, clouds: int, where: str) -> NDArray[np.int64]:
    """Labels (clouds,) as whole numbers from 0 to `classes` - 1, of an array (clouds,) or (clouds, 1).

    Raises:
        UserError: they are not.
    """
    labels = np.asarray(labels)
    if labels.shape not in ((clouds,), (clouds, 1)):
        raise UserError(f"{where} has labels of shape {labels.shape} for {clouds} clouds: unpack it again")
    labels = labels.reshape(-1)
    if labels.dtype.kind not in "iuf" or (labels != np.floor(labels.astype(np.float64))).any():
        raise UserError(f"{where} has labels that are no whole numbers: unpack it again")
    if wrong := sorted(set(labels[(labels < 0) | (labels >= classes)].tolist())):
        raise UserError(
            f"{where} has the label {listed(wrong)}, where the dataset has 0 to {classes - 1}: it is another"
        )
    return labels.astype(np.int64)


def listed(names: Iterable[object]) -> str:
    """Some names for a message."""
    shown = [str(name) for name in names]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def _check_distinct(names: Sequence[str], where: str) -> None:
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(plain(name), name)
        if other != name or names.count(name) > 1:
            raise UserError(f"{where} has the classes {other!r} and {name!r}, which are one: keep one spelling")
