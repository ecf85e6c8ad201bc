"""The registry of formats: how datasets and benchmarks lie on disk, and who reads them.

A format is an entry here, or the place of a reader of your own: `format: my_package.adapter:ADAPTER`. Readers and
options are named, not imported, since each loads libraries that the others do not need.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal

from blendclip.errors import UserError
from blendclip.options import Options, meant
from blendclip.packages import missing_package

Kind = Literal["drive", "cad", "benchmark"]


@dataclass(frozen=True)
class Generator:
    """What makes a dataset that nobody has to download."""

    command: str
    """The command of `blendclip` that writes it."""
    options: str
    """Its options, as module:Class."""
    writes: str
    """The file under the dataset's folder that is written last."""
    stage: str
    """Its name among `schemas.STAGE_VERSIONS`."""


@dataclass(frozen=True)
class Format:
    """How a dataset or benchmark lies on disk."""

    name: str
    kind: Kind
    """drive: recordings, read to a scene index; cad: objects, read to triplets; benchmark: labelled clouds."""
    reader: str
    """module:object. Of drives an `Adapter`; else called with a folder and options (cad), or options (benchmark)."""
    options: str
    """Its options, as module:Class."""
    about: str
    """What it is, in a few words."""
    generator: Generator | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Options that the generator decides, which config.yaml therefore does not have."""

    def open(self) -> Any:
        """The reader.

        Raises:
            UserError: it cannot be imported.
        """
        return _loaded(self.reader, self.name)

    def options_class(self) -> type[Options]:
        """The class of its options.

        Raises:
            UserError: it cannot be imported.
        """
        return _loaded(self.options, self.name)

    def generator_options(self) -> type[Options]:
        """The class of its generator's options; only of a format that has one."""
        assert self.generator is not None
        return _loaded(self.generator.options, self.name)


_DRIVES, _CAD, _BENCHMARKS = "blendclip.datasets.drives", "blendclip.datasets.cad", "blendclip.benchmarks"
_DRIVE_OPTIONS, _TABLE_OPTIONS = f"{_DRIVES}.options:DriveOptions", f"{_DRIVES}.options:TableOptions"
_CITY, _CITY_AV2 = (f"blendclip.synthetic.city.options:{name}" for name in ("CityOptions", "Av2Options"))
_SHAPES = "blendclip.synthetic.shapes.options:ShapesOptions"

FORMATS = (
    Format(
        "nuscenes",
        "drive",
        f"{_DRIVES}.nuscenes:ADAPTER",
        _TABLE_OPTIONS,
        "any folder in nuScenes format",
    ),
    Format(
        "truckscenes",
        "drive",
        f"{_DRIVES}.truckscenes:ADAPTER",
        _TABLE_OPTIONS,
        "any folder in MAN TruckScenes format",
    ),
    Format(
        "argoverse2",
        "drive",
        f"{_DRIVES}.argoverse2.adapter:ADAPTER",
        f"{_DRIVES}.options:Argoverse2Options",
        "splits of Argoverse 2's sensor dataset, as released",
    ),
    Format(
        "city",
        "drive",
        f"{_DRIVES}.nuscenes:ADAPTER",
        _TABLE_OPTIONS,
        "a city that the workflow generates, in nuScenes format",
        Generator("city --rig car", _CITY, "city.json", "city"),
        {"version": "v1.0-mini", "missing_files": "skip"},
    ),
    Format(
        "citytruck",
        "drive",
        f"{_DRIVES}.truckscenes:ADAPTER",
        _TABLE_OPTIONS,
        "the same from a truck, in MAN TruckScenes format",
        Generator("city --rig truck", _CITY, "city.json", "citytruck"),
        {"version": "v1.2-mini", "missing_files": "skip"},
    ),
    Format(
        "cityav2",
        "drive",
        f"{_DRIVES}.argoverse2.adapter:ADAPTER",
        f"{_DRIVES}.options:Argoverse2Options",
        "the same from the car of Argoverse 2, in that dataset's layout",
        Generator("city --rig av2", _CITY_AV2, "city.json", "cityav2"),
        {"distorted_images": True, "missing_files": "skip"},
    ),
    Format(
        "meshes",
        "cad",
        f"{_CAD}.meshes:Meshes",
        f"{_CAD}.options:MeshOptions",
        "any folder of GLB, OBJ, OFF, PLY or STL with a table",
    ),
    Format(
        "shapes",
        "cad",
        f"{_CAD}.meshes:Meshes",
        f"{_CAD}.options:MeshOptions",
        "everyday things that the workflow generates, as meshes",
        Generator("shapes", _SHAPES, "objects.jsonl", "shapes"),
        {"up": None, "front": None, "unit_m": 1.0},
    ),
    Format(
        "openshape",
        "cad",
        f"{_CAD}.openshape:OpenShape",
        f"{_CAD}.options:OpenShapeOptions",
        "shapes and features as OpenShape released them",
    ),
    Format(
        "ulip2",
        "cad",
        f"{_CAD}.ulip2:Ulip2",
        f"{_CAD}.options:Ulip2Options",
        "Objaverse as ULIP-2 released it",
    ),
    Format(
        "mined",
        "benchmark",
        f"{_BENCHMARKS}.mined:Mined",
        f"{_BENCHMARKS}.options:MinedOptions",
        "clouds of a mined split, by class of the dataset's official detection evaluation or by category",
    ),
    Format(
        "cad",
        "benchmark",
        f"{_BENCHMARKS}.cad:Cad",
        f"{_BENCHMARKS}.options:CadBenchmarkOptions",
        "objects of a CAD split",
    ),
    Format(
        "modelnet40",
        "benchmark",
        f"{_BENCHMARKS}.modelnet40:ModelNet40",
        f"{_BENCHMARKS}.options:ModelNet40Options",
        "ModelNet40 as its authors, Point-BERT or OpenShape released it",
    ),
    Format(
        "scanobjectnn",
        "benchmark",
        f"{_BENCHMARKS}.scanobjectnn:ScanObjectNN",
        f"{_BENCHMARKS}.options:ScanObjectNNOptions",
        "ScanObjectNN as its authors or OpenShape released it",
    ),
    Format(
        "objaverse_lvis",
        "benchmark",
        f"{_BENCHMARKS}.objaverse_lvis:ObjaverseLvis",
        f"{_BENCHMARKS}.options:ObjaverseLvisOptions",
        "the LVIS objects of Objaverse as OpenShape or ULIP-2 released them",
    ),
    Format(
        "table",
        "benchmark",
        f"{_BENCHMARKS}.table:CloudTable",
        f"{_BENCHMARKS}.options:TableOptions",
        "any list of clouds and names",
    ),
)

_OUTSIDE = {
    "drive": ("rows", _DRIVE_OPTIONS),
    "cad": ("entries", "blendclip.options:NoOptions"),
    "benchmark": ("clouds", f"{_BENCHMARKS}.options:TableOptions"),
}
"""Of readers from elsewhere: the method by which a kind is known, and its options where it has no `Options`."""


def formats_of(*kinds: Kind) -> list[Format]:
    """The registered formats of some kinds."""
    return [one for one in FORMATS if one.kind in kinds]


def format_named(name: str, *kinds: Kind, path: str = "format") -> Format:
    """The format of one of the kinds that is registered by this name, or that lies at module:object.

    `path` is that of the key in config.yaml, for messages.

    Raises:
        UserError: there is none.
    """
    known = {one.name: one for one in formats_of(*kinds)}
    if name in known:
        return known[name]
    if ":" in name:
        return _outside(name, *kinds)
    hint = meant(name, list(known), ", or a reader's module:object")
    raise UserError(f"`{path}` is {name!r}, which is no format: {hint}")


def _outside(name: str, *kinds: Kind) -> Format:
    reader = _loaded(name, name)
    for kind in kinds:
        method, options = _OUTSIDE[kind]
        if hasattr(reader, method):
            options = f"{name}.Options" if hasattr(reader, "Options") else options
            return Format(name, kind, name, options, f"read by {name}")
    wanted = " or ".join(f"`{_OUTSIDE[kind][0]}` ({kind})" for kind in kinds)
    raise UserError(f"format {name!r} is no reader: it needs the method {wanted}, see docs/adapters.md")


def _loaded(place: str, format: str) -> Any:
    module, _, path = place.partition(":")
    try:
        return attrgetter(path)(importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        if isinstance(error, ImportError) and module.startswith("blendclip.") and (missing := missing_package(error)):
            raise missing from error
        raise UserError(f"format {format!r} cannot be used: {place} cannot be imported ({error})") from error
