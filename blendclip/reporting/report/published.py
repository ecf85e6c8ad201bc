"""Numbers that others have published, with where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import dacite
import yaml


@dataclass(frozen=True)
class Benchmark:
    """A public benchmark, and the names under which it may be evaluated here."""

    title: str
    names: list[str]


@dataclass(frozen=True)
class Method:
    """Top-1 and top-5 in percent of a method, by benchmark."""

    method: str
    trained_on: str
    source: str
    accuracy: dict[str, list[float]]


@dataclass(frozen=True)
class Statement:
    """What a paper says, in a sentence."""

    source: str
    text: str


@dataclass(frozen=True)
class Published:
    """All published numbers; `sources` are addresses by name."""

    benchmarks: dict[str, Benchmark]
    sources: dict[str, str]
    methods: list[Method]
    statement: Statement

    def known_as(self, benchmark: str) -> str | None:
        """The public benchmark that one of ours is, by its name; None where it is another."""
        found = (key for key, about in self.benchmarks.items() if benchmark.lower() in about.names)
        return next(found, None)


@cache
def published() -> Published:
    """The numbers that come with the package."""
    text = resources.files(__package__).joinpath("published.yaml").read_text(encoding="utf-8")
    return dacite.from_dict(Published, yaml.safe_load(text), dacite.Config(strict=True))
