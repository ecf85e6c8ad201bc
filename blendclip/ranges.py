"""Ranges of values, and the types that options are made of.

A range says in `broken` what a value must be and is not, and in `schema` the same in the words of JSON Schema.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Annotated, Any, Literal


@dataclasses.dataclass(frozen=True)
class Range:
    """Bounds of a number: at least `ge`, above `gt`, at most `le`, below `lt`."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def broken(self, value: float) -> str | None:
        """What the value must be and is not."""
        bounds = [("at least", self.ge, value >= (self.ge or 0)), ("above", self.gt, value > (self.gt or 0))]
        bounds += [("at most", self.le, value <= (self.le or 0)), ("below", self.lt, value < (self.lt or 0))]
        if any(bound is not None and not holds for _, bound, holds in bounds):
            return " and ".join(f"{words} {bound:g}" for words, bound, _ in bounds if bound is not None)
        return None if math.isfinite(value) else "finite"

    def schema(self) -> dict[str, float]:
        """The same in JSON Schema's words."""
        words = {"minimum": self.ge, "exclusiveMinimum": self.gt, "maximum": self.le, "exclusiveMaximum": self.lt}
        return {word: bound for word, bound in words.items() if bound is not None}


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A text that a regular expression matches from end to end."""

    regex: str
    meaning: str

    def broken(self, value: str) -> str | None:
        """What the value must be and is not."""
        return None if re.fullmatch(self.regex, value) else self.meaning

    def schema(self) -> dict[str, str]:
        """The same in JSON Schema's words."""
        return {"pattern": f"^{self.regex}$"}


@dataclasses.dataclass(frozen=True)
class NotEmpty:
    """Some text."""

    def broken(self, value: str) -> str | None:
        """What the value must be and is not."""
        return None if value.strip() else "text that is not empty"

    def schema(self) -> dict[str, Any]:
        """The same in JSON Schema's words."""
        return {"minLength": 1}


@dataclasses.dataclass(frozen=True)
class Listed:
    """A list of different things, at least `least` of them."""

    least: int = 0

    def broken(self, value: tuple[Any, ...]) -> str | None:
        """What the value must be and is not."""
        if len(value) < self.least:
            return "a list that is not empty"
        return None if len(set(value)) == len(value) else "a list of different things"

    def schema(self) -> dict[str, Any]:
        """The same in JSON Schema's words."""
        return {"uniqueItems": True} | ({"minItems": self.least} if self.least else {})


Count = Annotated[int, Range(ge=1)]
Natural = Annotated[int, Range(ge=0)]
Share = Annotated[float, Range(ge=0, le=1)]
Positive = Annotated[float, Range(gt=0)]
NotNegative = Annotated[float, Range(ge=0)]
Text = Annotated[str, NotEmpty()]
Name = Annotated[str, Pattern(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}", "a name of at most 100 letters, digits, _ and -")]
SplitName = Annotated[str, Pattern(r"[A-Za-z0-9_]{1,100}", "a name of at most 100 letters, digits and _")]
PLACE = Pattern(r"(?![-\s])[^{}\x00-\x1f\x7f]+", "a path without braces or line breaks, that does not begin with -")
"""Paths go through Snakemake's patterns and command lines, which take braces and a leading - for their own."""
Place = Annotated[str, PLACE]
SplitPlace = Annotated[str, Pattern(r"[^/\n]+/[^/\n]+", "dataset/split")]
Axis = Literal["x", "y", "z"]
SignedAxis = Literal["x", "y", "z", "-x", "-y", "-z"]
