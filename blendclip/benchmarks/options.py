"""What config.yaml says of benchmarks: where their labelled clouds lie, and which of them are meant."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from blendclip.options import DERIVED, Options
from blendclip.ranges import Axis, Positive, Range, SplitPlace
from blendclip.results import DEFAULT_ROOT


@dataclass(frozen=True)
class _SplitOptions(Options):
    """A split under the results folder."""

    split: SplitPlace
    """Split whose clouds are meant, as dataset/split."""
    results: Path = field(default=DEFAULT_ROOT, metadata=DERIVED)
    """Results folder."""


@dataclass(frozen=True)
class MinedOptions(_SplitOptions):
    """A split of a mined dataset."""

    by: Literal["class", "category"] = "class"
    """Label of a cloud: its class in the official detection evaluation, or its annotated category."""


@dataclass(frozen=True)
class CadBenchmarkOptions(_SplitOptions):
    """A split of a CAD dataset."""


@dataclass(frozen=True)
class ModelNet40Options(Options):
    """A folder in one of the layouts of ModelNet40."""

    path: Path
    """Folder of the release."""
    up: Axis | None = None
    """Axis that points up in the files; by default that of the layout."""
    points: Annotated[int, Range(ge=32)] = 10000
    """Points of a cloud that is sampled from a mesh."""


@dataclass(frozen=True)
class ScanObjectNNOptions(Options):
    """A file of ScanObjectNN, or the folder of its release."""

    path: Path
    """File, or folder of the release."""
    variant: Literal["obj_only", "obj_bg", "pb_t25", "pb_t25_r", "pb_t50_r", "pb_t50_rs", "openshape"] | None = None
    """Variant of the dataset, where `path` is the folder of the release."""
    up: Axis = "y"
    """Axis that points up in the files."""


@dataclass(frozen=True)
class ObjaverseLvisOptions(Options):
    """A folder of Objaverse-LVIS."""

    path: Path
    """Folder that the release was unpacked into."""
    up: Axis = "y"
    """Axis that points up in the files."""


@dataclass(frozen=True)
class TableOptions(Options):
    """A table with a row for each cloud."""

    path: Path
    """A .csv or .parquet file."""
    up: Axis = "z"
    """Axis that points up in the clouds."""
    unit_m: Positive | None = 1.0
    """Metres in a unit of the clouds; null where nobody knows."""
