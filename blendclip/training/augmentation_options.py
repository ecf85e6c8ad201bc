"""What may be done to clouds in training, without torch: planning a run and reading config.yaml stay quick."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from blendclip.options import Options
from blendclip.ranges import Count, Natural, NotNegative, Range, Share


@dataclass(frozen=True)
class Rising:
    """Two rising numbers above 0: the ends of a range to draw from."""

    def broken(self, value: tuple[float, float]) -> str | None:
        """What the value must be and is not."""
        return None if 0 < value[0] <= value[1] < math.inf else "two rising numbers above 0"

    def schema(self) -> dict[str, float]:
        """JSON Schema has no word for it."""
        return {}


Span = Annotated[tuple[float, float], Rising()]


@dataclass(frozen=True)
class Occlusion(Options):
    """Which sensor looks at a CAD object, from where. Pairs are the ends of a range to draw from.

    Most CAD objects have no metres, so each is given a size; only the angle under which it appears matters.

    Raises:
        UserError: a value is out of its range.
    """

    method: Literal["range_image", "hidden_points", "none"] = "range_image"
    """What is left of a cloud: range_image, a LiDAR's returns; hidden_points, all points that face the sensor (slow, on
    the CPU); none, all of it."""
    probability: Share = 0.5
    """Share of the CAD clouds that are occluded; the others stay whole."""
    size_m: Span = (0.6, 8.0)
    """Range of the longest side that an object is given, in metres; drawn evenly on a logarithmic scale."""
    distance_m: Span = (4.0, 40.0)
    """Range of the distance over ground from the sensor to the middle of the object, in metres; drawn evenly."""
    height_m: Span = (1.5, 3.0)
    """Range of the sensor's height above the ground that the object stands on, in metres; drawn evenly."""
    row_deg: Span = (0.2, 1.33)
    """Range of the angle between beams, in degrees; logarithmic. 32 beams have about 1.3, several sweeps less."""
    column_deg: Span = (0.05, 0.35)
    """Range of the angle between returns of a beam, in degrees; drawn evenly on a logarithmic scale."""
    range_noise_m: NotNegative = 0.02
    """Standard deviation of the measured range, in metres; not used by `hidden_points`."""
    min_points: Count = 16
    """An object that would give fewer returns is moved nearer; one that still does stays whole."""


@dataclass(frozen=True)
class Augmentation(Options):
    """What is done to a cloud; 0 switches a step off, as do (1, 1) for scale and `method: none` for occlusion.

    Raises:
        UserError: a value is out of its range.
    """

    occlusion: Occlusion = field(default_factory=Occlusion)
    """How CAD clouds, sampled from all sides of an object, become what a sensor would see."""
    dropout: Annotated[float, Range(ge=0, lt=1)] = 0.875
    """Highest share of its points that a cloud loses; the share is drawn evenly from 0 up to it."""
    min_points: Natural = 16
    """Dropout leaves about this many points at least; clouds that have no more lose none."""
    rotation: bool = True
    """Whether clouds are turned by any angle about z, which is up in all domains."""
    tilt_sigma_rad: NotNegative = 0.06
    """Standard deviation of roll and of pitch, in radians."""
    tilt_limit_rad: NotNegative = 0.18
    """Largest roll and largest pitch, in radians."""
    scale: Span = (0.8, 1.25)
    """Range of the factor by which a normalized cloud is scaled, drawn evenly."""
    shift: NotNegative = 0.1
    """Largest shift along each axis, in radii of the normalized cloud; drawn evenly."""
    size_noise: NotNegative = 0.1
    """Standard deviation of the logarithm of each length that an encoder with `size` is told."""
    size_unknown: Share = 0.3
    """Share of clouds whose size an encoder with `size` is not told, so that it names those of no known unit too."""
