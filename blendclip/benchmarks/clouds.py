"""What every reader of a benchmark returns: clouds with the class names of their source."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from blendclip.datasets.cad.objects import box_R_source
from blendclip.errors import DataFault, UserError


@dataclass(frozen=True)
class LabeledCloud:
    """A cloud and what its source says of it; None where it says nothing."""

    cloud_id: str
    """Unique in the benchmark."""
    class_name: str | None
    """As the source spells it."""
    points: NDArray[np.float32]
    """(N, 3) z up, in the unit of the source; may hold NaN."""
    rgb: NDArray[np.uint8] | None = None
    """(N, 3)"""
    instance_token: str | None = None
    """Shared by the clouds of one object; None takes `cloud_id`."""
    scene: str | None = None
    """Scene of the recording."""
    timestamp_us: int | None = None
    """Of the keyframe."""
    distance_m: float | None = None
    """From the ego vehicle to the box's center."""
    visibility: int | None = None
    """Level from 1 (0-40 %) to 4 (80-100 %)."""


class BenchmarkReader(Protocol):
    """What `write_benchmark` asks of a format."""

    where: str
    """The files, for messages."""
    in_metres: bool
    """Whether the clouds are known to be in metres; encoders that are told sizes are told none of others."""

    def names(self) -> Sequence[str] | None:
        """The class names that the source knows, all of which the benchmark must have.

        None where clouds of other classes are left out instead.
        """

    def clouds(self, left_out: Counter[str]) -> Iterator[LabeledCloud]:
        """The clouds in an order that stays; adds to `left_out` how many are left out for which reason.

        Raises:
            UserError: a file is missing or broken, or its labels and names do not agree.
        """


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Raise UserError for a DataFault: a benchmark that lacks clouds compares with no other."""
    try:
        yield
    except DataFault as error:
        raise UserError(f"{path} cannot be used ({error}): unpack or write it again") from None


def turned(points: Any, up: str, where: str) -> NDArray[np.float32]:
    """Points (N, 3) of a file whose axis `up` points up, rotated to z up, not moved or scaled.

    Raises:
        UserError: they are no points.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "fiu":
        raise UserError(f"{where} has points of shape {points.shape} and type {points.dtype}: it needs (N, 3) numbers")
    with np.errstate(invalid="ignore"):  # points that are not finite are dropped later
        return (points.astype(np.float64) @ box_R_source(up).T).astype(np.float32)


def colors(rgb: Any, count: int, most: float, where: str) -> NDArray[np.uint8] | None:
    """Colours from 0 to `most` as uint8 0-255 (count, 3); None of None.

    Raises:
        UserError: they are no colours, or not on that scale.
    """
    if rgb is None:
        return None
    rgb = np.asarray(rgb)
    if rgb.shape != (count, 3) or rgb.dtype.kind not in "fiu":
        raise UserError(f"{where} has colours of shape {rgb.shape} and type {rgb.dtype}: it needs ({count}, 3) numbers")
    rgb = rgb.astype(np.float64)
    if not np.isfinite(rgb).all() or rgb.min(initial=0) < 0 or rgb.max(initial=0) > most:
        raise UserError(f"{where} has colours outside of 0 to {most:g}: scale them, or leave them out")
    if most > 1 and (rgb != rgb.round()).any() and rgb.max(initial=0) <= 1:
        raise UserError(f"{where} has colours from 0 to 1: write them from 0 to {most:g}")
    return (rgb * (255 / most)).round().astype(np.uint8)


def read_json(path: Path, *kinds: type) -> Any:
    """The list or dict, as one of `kinds` says, in a JSON file.

    Raises:
        UserError: the file is missing or holds something else.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"there is no file {path}: unpack the release again") from None
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}): unpack it again") from None
    if not isinstance(content, kinds):
        raise UserError(f"{path} holds no {' or '.join(kind.__name__ for kind in kinds)}: unpack it again")
    return content
