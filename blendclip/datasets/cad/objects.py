"""What every CAD reader hands on: an object in box frame, its views and its features."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from blendclip.datasets.cad import rules
from blendclip.errors import DataFault, UserError
from blendclip.rejects import Rule

MIN_POINTS = 32  # fewer are no shape
_LONGEST_MESSAGE = 300
_AXES = {sign + axis: np.eye(3)[i] * (-1 if sign else 1) for i, axis in enumerate("xyz") for sign in ("", "-")}
UPS = ("x", "y", "z")
FRONTS = tuple(_AXES)


class BrokenObjectError(DataFault):
    """An object that cannot be used, by a rule; the message is one of its sentences."""

    def __init__(self, rule: Rule, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


@contextmanager
def parsing(rule: Rule, sentence: str, **values: object) -> Iterator[None]:
    """Turn whatever a library raises at the content of a file into a BrokenObjectError of `rule`.

    Libraries raise almost anything at a broken file, and so does what picks values of any kind out of it. Around these
    alone: an error in our own code is to be seen. A package that is missing is no fault of the file.

    Args:
        sentence: one of the rule's, with {kind} and {error} for what was raised.
        values: for the other braces of the sentence.
    """
    try:
        yield
    except (DataFault, UserError, ImportError):
        raise
    except Exception as error:
        raise BrokenObjectError(rule, sentence.format(**values, **said(error))) from error


def said(error: Exception) -> dict[str, str]:
    """The kind of an error and what it says, on one line that UTF-8 can hold, for the braces of a sentence."""
    message = " ".join(str(error).encode(errors="replace").decode().split())
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + " ..."
    return {"kind": type(error).__name__, "error": message}


@dataclass(frozen=True)
class CadView:
    """A view of an object, rendered or given by its source."""

    name: str
    """Unique within the object, such as view_00."""
    jpeg: bytes | None = None
    """None where the source gives features of the view, but not its image."""
    size_px: tuple[int, int] | None = None
    """Width and height."""
    azimuth_rad: float | None = None
    """Where the camera stands, seen from the object: 0 ahead, pi/2 on its left."""
    distance_m: float | None = None
    """Distance of the camera from the object's origin."""
    caption: str | None = None
    """Sentence about this view; None where the source has none."""


@dataclass(frozen=True)
class Feature:
    """A CLIP feature that came with the object."""

    kind: str
    """image or text"""
    source: str
    """What it is of, such as thumbnail or blip_caption."""
    vector: NDArray[np.float16]
    """(D,)"""
    view: str | None = None
    """The view it is of; None where it is of the object as a whole."""
    text: str | None = None
    """The text that the feature is of; None for images."""


@dataclass(frozen=True)
class CadObject:
    """One object: a cloud, views of which the first is the main one, and a caption."""

    points_m: NDArray[np.float32]
    """(N, 3) box frame: z up, x forward, origin at the centre of the bounding box; metres where the source has them."""
    rgb: NDArray[np.uint8] | None
    """(N, 3), None where the source has no colours."""
    views: tuple[CadView, ...]
    """The main view first; never empty."""
    caption: str
    """Sentence about the object."""
    caption_model: str
    """What wrote the captions, such as names or openshape/blip_caption."""
    size_lwh_m: NDArray[np.float64]
    """(3,) extent of the object along x, y, z."""
    features: tuple[Feature, ...] = field(default=())
    """CLIP features that came with the object."""


def checked_text(text: object, source: str) -> str:
    """A caption that is a text, and one that UTF-8 can hold.

    Args:
        source: where it stands, for the message.

    Raises:
        BrokenObjectError: it is not.
    """
    if isinstance(text, str) and text == text.encode(errors="replace").decode():
        return text
    reason = rules.BAD_CAPTION.reason(source=source, value=f"{text!a:.60}")
    raise BrokenObjectError(rules.BAD_CAPTION, reason)


def box_R_source(up: str, front: str | None = None) -> NDArray[np.float64]:
    """The rotation (3, 3) from a source's frame to box frame.

    Without `front` it is the axis that follows `up` in the cycle x, y, z: for y-up that is glTF's own front, +z.

    Args: up: x, y or z. front: x, y, z, -x, -y or -z.

    Raises:
        UserError: there are no such axes, or both are the same.
    """
    if up not in UPS or (front is not None and front not in _AXES):
        raise UserError(f"up {up!r} and front {front!r} are no axes: set up to x, y or z and front to one of {FRONTS}")
    forward = _AXES["xyz"[("xyz".index(up) + 1) % 3]] if front is None else _AXES[front]
    if abs(forward @ _AXES[up]) > 0:
        raise UserError(f"up and front are both along {up}: set `front` to another axis")
    return np.stack([forward, np.cross(_AXES[up], forward), _AXES[up]])


def checked_points(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """The points (N, 3) of a cloud, of any unit, as float64.

    Raises:
        BrokenObjectError: they are no shape.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or not np.issubdtype(points.dtype, np.number):
        reason = rules.POINTS_MISSHAPEN.format(shape=points.shape, dtype=points.dtype)
        raise BrokenObjectError(rules.BAD_CLOUD, reason)
    points = points.astype(np.float64)
    if not np.isfinite(points).all():
        count = (~np.isfinite(points)).any(axis=1).sum()
        raise BrokenObjectError(rules.NOT_FINITE, rules.POINTS_NOT_FINITE.format(count=count))
    if len(points) < MIN_POINTS:
        reason = rules.TOO_FEW_POINTS.reason(points=len(points), least=MIN_POINTS)
        raise BrokenObjectError(rules.TOO_FEW_POINTS, reason)
    if np.ptp(points, axis=0).max() <= 0:
        raise BrokenObjectError(rules.ONE_POINT, rules.ONE_POINT.reason())
    return points


def boxed(
    points: NDArray[np.floating], box_R_source: NDArray[np.float64], unit_m: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Points (N, 3) of a source's frame in box frame, (N, 3) float32, and their extent (3,).

    Raises:
        BrokenObjectError: they are no shape.
    """
    turned = checked_points(points) @ box_R_source.T * unit_m
    low, high = turned.min(axis=0), turned.max(axis=0)
    return (turned - (low + high) / 2).astype(np.float32), high - low
