"""What may be done to clouds in training, without torch: planning a run and reading config.yaml stay quick."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from blendclip.errors import UserError

METHODS = ("range_image", "hidden_points", "none")


@dataclass(frozen=True)
class Occlusion:
    """Which sensor looks at a CAD object, from where. Pairs are the ends of a range to draw from.

    Most CAD objects have no metres, so each is given a size; only the angle under which it appears matters.

    Raises:
        UserError: a value is out of its range.
    """

    method: str = "range_image"
    """`range_image`: a LiDAR's returns; `hidden_points`: all points that face the sensor (slow, on the CPU); `none`."""
    probability: float = 0.5
    """Share of the synthetic clouds that are seen through it; the others stay whole."""
    size_m: tuple[float, float] = (0.6, 8.0)
    """Longest side that the object is given, drawn evenly on a logarithmic scale."""
    distance_m: tuple[float, float] = (4.0, 40.0)
    """From the sensor to the middle of the object over ground, drawn evenly."""
    height_m: tuple[float, float] = (1.5, 3.0)
    """Height of the sensor above the ground that the object stands on, drawn evenly."""
    row_deg: tuple[float, float] = (0.2, 1.33)
    """Between beams, on a logarithmic scale; 32 beams have about 1.3, several sweeps fall between their rows."""
    column_deg: tuple[float, float] = (0.05, 0.35)
    """Between returns of a beam, on a logarithmic scale."""
    range_noise_m: float = 0.02
    """Standard deviation of the measured range; none for `hidden_points`."""
    min_points: int = 16
    """An object that would give fewer returns is moved nearer; one that still does stays whole."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UserError(f"augmentation.occlusion.method is {self.method!r}: take one of {', '.join(METHODS)}")
        if not 0 <= self.probability <= 1:
            raise UserError(f"augmentation.occlusion.probability is {self.probability}: give a share from 0 to 1")
        for name in (one.name for one in fields(self) if isinstance(one.default, tuple)):
            low, high = getattr(self, name)
            if not 0 < low <= high < math.inf:
                raise UserError(f"augmentation.occlusion.{name} is {low}, {high}: give two rising numbers above 0")
        if self.range_noise_m < 0 or self.min_points < 1:
            raise UserError(
                f"augmentation.occlusion has range_noise_m {self.range_noise_m} and min_points {self.min_points}: "
                "give at least 0 and 1"
            )


@dataclass(frozen=True)
class Augmentation:
    """What is done to a cloud; 0 switches a step off, as do (1, 1) for scale and `method: none` for occlusion.

    Raises:
        UserError: a value is out of its range.
    """

    occlusion: Occlusion = field(default_factory=Occlusion)
    """How synthetic clouds, sampled from all sides of an object, are turned into what a sensor would see."""
    dropout: float = 0.875
    """Highest share of its points that a cloud loses; the share is drawn evenly from 0 up to it."""
    min_points: int = 16
    """Dropout leaves about so many points at least, and clouds that have no more alone."""
    rotation: bool = True
    """Turn by any angle about z, which is up in all domains."""
    tilt_sigma_rad: float = 0.06
    """Standard deviation of roll and of pitch."""
    tilt_limit_rad: float = 0.18
    """Neither roll nor pitch exceeds it."""
    scale: tuple[float, float] = (0.8, 1.25)
    """Size after normalisation, drawn evenly."""
    shift: float = 0.1
    """Furthest move along each axis after normalisation, drawn evenly."""

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise UserError(f"augmentation.dropout is {self.dropout}: it is a share, give it from 0 to below 1")
        if not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise UserError(f"augmentation.scale is {self.scale}: give two rising numbers above 0")
        for name in ("min_points", "tilt_sigma_rad", "tilt_limit_rad", "shift"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"augmentation.{name} is {getattr(self, name)}: give 0 or more")
