"""What config.yaml says of CAD datasets: how their objects become clouds and views."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from blendclip.options import DERIVED, Options
from blendclip.ranges import Axis, Positive, Range, SignedAxis

ViewCount = Annotated[int, Range(ge=1, le=100)]


@dataclass(frozen=True)
class MeshOptions(Options):
    """How meshes become clouds and views."""

    up: Axis | None = None
    """Axis that points up in the files; by default what the table says, and y for GLB and GLTF."""
    front: SignedAxis | None = None
    """Axis that points ahead in the files; by default what the table says, else the one after `up` in x, y, z."""
    unit_m: Positive | None = None
    """Metres in a unit of the files; null where nobody knows, so that no encoder is told how large the objects are."""
    points: Annotated[int, Range(ge=32)] = 10000
    """Points of a cloud."""
    views: ViewCount = 12
    """Views to render of each object."""
    image_px: Annotated[int, Range(ge=16)] = 336
    """Width and height of a view, in pixels."""
    jpeg_quality: Annotated[int, Range(ge=1, le=100)] = field(default=92, metadata=DERIVED)
    """Quality of the rendered views."""


@dataclass(frozen=True)
class OpenShapeOptions(Options):
    """How shapes become clouds."""

    up: Axis = "y"
    """Axis that points up in the files."""
    front: SignedAxis | None = None
    """Axis that points ahead in the files; by default the one after `up` in x, y, z."""


@dataclass(frozen=True)
class Ulip2Options(Options):
    """How objects become clouds and views."""

    up: Axis = "y"
    """Axis that points up in the files."""
    front: SignedAxis | None = None
    """Axis that points ahead in the files; by default the one after `up` in x, y, z."""
    views: ViewCount = 12
    """At most this many renders of an object, evenly spread over those there are."""
