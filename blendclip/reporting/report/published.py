"""Numbers that others have published, with where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import dacite
import yaml


@dataclass(frozen=True)
class PublicBenchmark:
    """A public benchmark."""

    title: str
    names: list[str]
    """Names under which it may be evaluated here."""


@dataclass(frozen=True)
class Method:
    """Published accuracies of a method."""

    method: str
    trained_on: str
    source: str
    """Name of the source."""
    accuracy: dict[str, list[float]]
    """Top-1 and top-5 in percent, by benchmark."""


@dataclass(frozen=True)
class Statement:
    """A sentence of a paper."""

    source: str
    """Name of the source."""
    text: str


@dataclass(frozen=True)
class Published:
    """All published numbers."""

    benchmarks: dict[str, PublicBenchmark]
    """Benchmarks by key."""
    sources: dict[str, str]
    """Addresses by name of source."""
    methods: list[Method]
    statement: Statement

    def known_as(self, benchmark: str) -> str | None:
        """Key of the public benchmark that one of ours is, by its name; None where it is none of them."""
        found = (key for key, about in self.benchmarks.items() if benchmark.lower() in about.names)
        return next(found, None)


@cache
def published() -> Published:
    """The numbers that come with the package."""
    text = resources.files(__package__).joinpath("published.yaml").read_text(encoding="utf-8")
    return dacite.from_dict(Published, yaml.safe_load(text), dacite.Config(strict=True))
