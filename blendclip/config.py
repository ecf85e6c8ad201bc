"""What config.yaml may say: the dataclasses that own the options, composed.

`read_config` checks a configuration and names what is wrong in it; `write_schema` writes the schema that editors read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml

from blendclip.datasets.formats import Format, Kind, format_named, formats_of
from blendclip.encoders.clip_names import ClipOptions
from blendclip.errors import UserError
from blendclip.evaluation.options import MeasuredModel
from blendclip.json_schema import table_schema
from blendclip.mining.options import CaptionOptions, CloudFaultOptions, CloudOptions, ServerOptions, ViewOptions
from blendclip.options import DERIVED, How, Options, fields_of, parse, shown, unknown_key
from blendclip.ranges import Listed, Name, Pattern, Place, Range, SplitName
from blendclip.results import split_of
from blendclip.runs import RunChanges, places_of, recipes_of
from blendclip.storage import replacing
from blendclip.training.recipe import Recipe

RunName = Annotated[
    str, Pattern(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", "a name of at most 100 letters, digits, ., _ and -")
]
Names = Annotated[tuple[Name, ...], Listed()]
RunNames = Annotated[tuple[RunName, ...], Listed()]
Part = TypeVar("Part", bound=Options)


@dataclass(frozen=True)
class Splits(Options):
    """What every dataset has, whatever its format."""

    splits: Annotated[tuple[SplitName, ...], Listed(1)]
    """Splits to take: official ones of recordings, those in the table of meshes, the names of OpenShape's lists."""
    parts: Annotated[int, Range(ge=1, le=99_999)]
    """Parquet files per split, the unit of work; about one for every 10 scenes or 3000 objects. Fixed once mined."""


@dataclass(frozen=True)
class Rooted(Options):
    """What a dataset has that the workflow does not generate."""

    root: Path
    """Folder of the dataset; of nuScenes and TruckScenes that of samples/, sweeps/ and the version's tables."""


@dataclass(frozen=True)
class Labels(Options):
    """What every benchmark has, whatever its format."""

    classes: Name
    """Class names to choose from, a file of prompts/classes without its ending."""
    templates: Name
    """Prompt templates, a file of prompts/templates without its ending."""
    real: bool | None = None
    """Whether a sensor measured its clouds on real objects; by default only those of mined splits not generated."""


@dataclass(frozen=True)
class _OfFormat(Options):
    """Options that depend on a format. Made by `read`, which checks them."""

    format: Format

    def __post_init__(self) -> None: ...

    @classmethod
    def kinds(cls) -> tuple[Kind, ...]:
        """The kinds that the format may be of."""
        raise NotImplementedError

    @classmethod
    def tables(cls, format: Format) -> dict[str, type[Options]]:
        """The options of a format, by the name of the field that holds them."""
        raise NotImplementedError

    @classmethod
    def read(cls, content: Any, path: str, how: How) -> Self:
        """The options from plain data.

        Raises:
            UserError: there is no such format, a key is not one of its own, or a value is out of its range.
        """
        if not isinstance(content, Mapping) or not isinstance(content.get("format"), str):
            known = ", ".join(one.name for one in formats_of(*cls.kinds()))
            raise UserError(f"`{path}` is {shown(content)}: it must be a table with a `format`, one of {known}")
        format = format_named(content["format"], *cls.kinds(), path=f"{path}.format")
        tables = {name: (table, _keys(table, format)) for name, table in cls.tables(format).items()}
        known_keys = ["format", *(key for _, keys in tables.values() for key in keys)]
        for key in content:
            if key not in known_keys:
                raise UserError(f"{unknown_key(str(key), known_keys, path)} (format {format.name})")
        made = {}
        for name, (table, keys) in tables.items():
            given = {key: content[key] for key in keys if key in content}
            fixed = dict(format.fixed) if name == "options" else {}
            made[name] = table.read(given | fixed, path, how._replace(derived=False))
        return cls(format, **made)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """The JSON Schema: one for each registered format, and one for readers from elsewhere."""
        choices = []
        for format in formats_of(*cls.kinds()):
            made: dict[str, Any] = {"format": {"const": format.name, "description": format.about}}
            needed = ["format"]
            for name, table in cls.tables(format).items():
                one = table_schema(table, without=format.fixed if name == "options" else {})
                made |= one["properties"]
                needed += one.get("required", [])
            choices.append({"additionalProperties": False, "required": needed, "properties": made})
        outside = {"format": {"pattern": "^[^:]+:[^:]+$", "description": "module:object of a reader of your own"}}
        return {"type": "object", "anyOf": [*choices, {"required": ["format"], "properties": outside}]}


def _keys(table: type[Options], format: Format) -> list[str]:
    return [one.name for one, _ in fields_of(table) if one.name not in format.fixed]


@dataclass(frozen=True)
class Dataset(_OfFormat):
    """A dataset: how it lies on disk, its splits, and what its format wants to know."""

    split: Splits
    options: Options
    """Of the format's reader."""
    generator: Options | None = None
    """Of what generates it; None where nothing does."""
    rooted: Rooted | None = None
    """None where it is generated."""

    @classmethod
    def kinds(cls) -> tuple[Kind, ...]:
        """Recordings and CAD objects."""
        return ("drive", "cad")

    @classmethod
    def tables(cls, format: Format) -> dict[str, type[Options]]:
        """Splits, options of the reader, and those of the generator or the folder."""
        common: dict[str, type[Options]] = {"split": Splits, "options": format.options_class()}
        return common | ({"rooted": Rooted} if format.generator is None else {"generator": format.generator_options()})

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits to take."""
        return self.split.splits

    @property
    def parts(self) -> int:
        """Parquet files per split."""
        return self.split.parts

    @property
    def is_cad(self) -> bool:
        """Whether it holds CAD objects."""
        return self.format.kind == "cad"


@dataclass(frozen=True)
class Benchmark(_OfFormat):
    """Labelled clouds, and the class names to choose from."""

    labels: Labels
    options: Options
    """Of the format's reader."""

    @classmethod
    def kinds(cls) -> tuple[Kind, ...]:
        """Benchmarks alone."""
        return ("benchmark",)

    @classmethod
    def tables(cls, format: Format) -> dict[str, type[Options]]:
        """Labels, and options of the reader."""
        return {"labels": Labels, "options": format.options_class()}

    @property
    def place(self) -> tuple[str, str] | None:
        """Dataset and split that its clouds are of; None where they are from elsewhere."""
        split = getattr(self.options, "split", None)
        return None if split is None else split_of(split)


@dataclass(frozen=True)
class CaptionConfig(CaptionOptions, ServerOptions):
    """Who describes the crops, and how it is reached."""

    prompt: Name | None = None
    """Prompt, a file of prompts/caption without its ending; by default template, or object for a model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backend == "endpoint" and self.base_url is None:
            raise UserError("`caption.base_url` is missing: backend endpoint needs it, such as http://host:8000/v1")

    @property
    def prompt_name(self) -> str:
        """The prompt, or the one that suits the backend."""
        return self.prompt or ("template" if self.backend == "template" else "object")


@dataclass(frozen=True)
class _RecipeSchema:
    """Metadata of a table of which only the schema is known: any part of a recipe."""

    def broken(self, value: Any) -> str | None:
        """Nothing; `Config` checks it."""
        return None

    def schema(self) -> dict[str, Any]:
        """That of a recipe."""
        return table_schema(RunChanges, partial=True)


Changes = Annotated[dict[str, Any], _RecipeSchema()]


@dataclass(frozen=True)
class Config(CloudFaultOptions):
    """BlendCLIP configuration."""

    results: Place = "results"
    """Output folder."""
    mine: Annotated[tuple[Name, ...], Listed(1)] = field(kw_only=True)
    """Datasets to mine, of those under `datasets`."""
    cad: Names = field(kw_only=True)
    """CAD datasets to read, of those under `datasets`."""
    datasets: dict[Name, Dataset] = field(kw_only=True)
    """Datasets, by a name of your choice."""
    clouds: CloudOptions = field(default_factory=CloudOptions)
    """How the LiDAR points of an annotation are gathered."""
    views: ViewOptions = field(default_factory=ViewOptions)
    """Which boxes are cut out of which images."""
    caption: CaptionConfig = field(default_factory=CaptionConfig)
    """Who describes the crops."""
    clip: ClipOptions = field(default_factory=ClipOptions)
    """The frozen CLIP that embeds views and captions."""
    train: RunNames = ()
    """Runs to train, of those under `runs`."""
    recipe: Changes = field(default_factory=dict)
    """How runs are trained, where `runs` says nothing else."""
    runs: dict[RunName, Changes] = field(default_factory=dict)
    """Runs by name, each with what it changes of `recipe`."""
    models: dict[RunName, MeasuredModel] = field(default_factory=dict)
    """Models to measure beside the runs under `train`, by a name of your choice: checkpoints as they are published."""
    sweep: RunNames = ()
    """Runs for the curve of accuracy against the share of real samples, of those under `runs`."""
    evaluate: Annotated[tuple[Name, ...], Listed(1)] = field(kw_only=True)
    """Benchmarks that runs are measured on, of those under `benchmarks`."""
    benchmarks: dict[Name, Benchmark] = field(kw_only=True)
    """Benchmarks by name, labelled clouds and the class names to choose from."""
    recipes: dict[RunName, Recipe] = field(default_factory=dict, metadata=DERIVED)
    """The recipe of each run: `recipe` with what the run changes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_listed("mine", cad=False)
        self._check_listed("cad", cad=True)
        for key in ("train", "sweep"):
            _check_named(key, getattr(self, key), "runs", self.runs)
        if both := sorted(set(self.models) & set(self.runs)):
            raise UserError(f"`models` and `runs` both describe {both[0]}: give the model another name")
        _check_named("evaluate", self.evaluate, "benchmarks", self.benchmarks)
        for name, one in self.benchmarks.items():
            if one.labels.real and self.is_generated(name):
                raise UserError(f"`benchmarks.{name}.real` is true of clouds that the workflow generates: take it out")

    @classmethod
    def read(cls, content: Any, path: str, how: How) -> Self:
        """The configuration with the recipe of each run.

        Raises:
            UserError: something in it is wrong, which the sentence names.
        """
        base = super().read(content, path, how)
        clip = {"clip": base.clip.name, "clip_options": base.clip}
        runs = recipes_of(base.recipe, base.runs, clip, text=how.text)
        made: dict[str, Any] = {"recipes": {run: recipe for of_run in runs.values() for run, recipe in of_run.items()}}
        made["runs"] = {run: base.runs[name] for name, of_run in runs.items() for run in of_run}
        made |= {key: tuple(run for name in getattr(base, key) for run in runs[name]) for key in ("train", "sweep")}
        return cls(**{one.name: getattr(base, one.name) for one in fields(base)} | made)

    def chosen(self, cad: bool | None = None) -> dict[str, Dataset]:
        """The datasets under `mine` (`cad` False), under `cad` (True), or both, by name."""
        names = [*(self.mine if cad is not True else ()), *(self.cad if cad is not False else ())]
        return {name: self.datasets[name] for name in names}

    def has_split(self, dataset: str, split: str, cad: bool | None = None) -> bool:
        """Whether this split is of a dataset that is mined or read."""
        datasets = self.chosen(cad)
        return dataset in datasets and split in datasets[dataset].splits

    def recipe_of(self, run: str) -> Recipe:
        """The recipe of a run.

        Raises:
            UserError: it is not described, or reads a split that is not made.
        """
        if run not in self.recipes:
            raise UserError(f"{run} is no run: `runs` does not describe it")
        for place in places_of(self.recipes[run]):
            if not self.has_split(*split_of(place)):
                raise UserError(f"run {run} reads {place}, which is no split of a dataset under `mine` or `cad`")
        return self.recipes[run]

    def clip_of(self, name: str) -> ClipOptions:
        """The CLIP that a run or a model is aligned to."""
        return (self.models[name].clip if name in self.models else None) or self.clip

    def is_generated(self, benchmark: str) -> bool:
        """Whether the workflow makes the data of a benchmark."""
        place = self.benchmarks[benchmark].place
        made = None if place is None else self.datasets.get(place[0])
        return made is not None and made.generator is not None

    def is_real(self, benchmark: str) -> bool:
        """Whether the clouds of a benchmark were measured on real objects, as it says or by what they are."""
        one = self.benchmarks[benchmark]
        if one.labels.real is None:
            return one.format.name == "mined" and not self.is_generated(benchmark)
        return one.labels.real

    def benchmark_of(self, name: str) -> Benchmark:
        """A benchmark.

        Raises:
            UserError: it is not described, or takes the clouds of a split that is not made.
        """
        if name not in self.benchmarks:
            raise UserError(f"there is no benchmark {name}: `benchmarks` does not describe it")
        benchmark = self.benchmarks[name]
        cad = benchmark.format.name == "cad"
        if benchmark.place is not None and not self.has_split(*benchmark.place, cad=cad):
            where, key = "/".join(benchmark.place), "cad" if cad else "mine"
            raise UserError(f"benchmark {name} takes clouds of {where}, which is no split of a dataset under `{key}`")
        return benchmark

    def _check_listed(self, key: str, cad: bool) -> None:
        names = getattr(self, key)
        _check_named(key, names, "datasets", self.datasets)
        for name in names:
            if self.datasets[name].is_cad != cad:
                other = "mine" if cad else "cad"
                raise UserError(f"`{key}` names {name}, whose format belongs under `{other}`")


def part_of(options: Part | Any, cls: type[Part]) -> Part:
    """The options of `cls` alone, out of those of a class that inherits from it."""
    return cls(**{one.name: getattr(options, one.name) for one in fields(cls)})


def read_config(content: Mapping[str, Any]) -> Config:
    """A configuration from what config.yaml and `--config` hold.

    Raises:
        UserError: something in it is wrong, which the sentence names.
    """
    return parse(Config, content, text=True)


def schema() -> dict[str, Any]:
    """The JSON Schema of config.yaml."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "description": "BlendCLIP configuration"}
    made = head | table_schema(Config)
    made["properties"]["runs"]["additionalProperties"] = {"$ref": "#/properties/recipe"}
    return made


def write_schema(path: Path) -> None:
    """Write the schema of config.yaml as YAML, without aliases."""

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    text = yaml.dump(schema(), Dumper=Plain, sort_keys=False, width=120, allow_unicode=True)
    with replacing(path) as temporary:
        temporary.write_text(text)


def _check_named(key: str, names: tuple[str, ...], table: str, known: Mapping[str, Any]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"`{key}` names {', '.join(unknown)}, which `{table}` does not describe")
