"""The recipe of a run: every number that its weights depend on, read from config.yaml or JSON and saved beside them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dacite

from blendclip.encoders.pointbert_config import PRESETS, PointBertConfig
from blendclip.errors import UserError
from blendclip.storage import replacing
from blendclip.training.augmentation_options import Augmentation
from blendclip.training.data.mixture import Mixture
from blendclip.training.data.plan import samples_per_epoch

VIEWS = ("random", "own")
EXCLUDED_FROM = ("both", "real", "synthetic")
_WATCHING = ("validation", "validate_every", "checkpoint_every", "log_every")


@dataclass(frozen=True)
class Data:
    """What a run draws from. Splits are named dataset/split."""

    synthetic: tuple[str, ...] = ()
    """Splits of CAD objects."""
    real: tuple[str, ...] = ()
    """Splits of mined recordings."""
    weights: dict[str, float] = field(default_factory=dict)
    """How often a split is drawn against the others of its domain, by name; by default by its size."""
    excluded_classes: tuple[str, ...] = ()
    """Class names or categories to leave out of training."""
    excluded_from: str = "both"
    """Of which domain's clouds they are left out: `both`, `real` (CAD may teach them) or `synthetic`."""
    max_points: int = 8192
    """Points of a cloud, at most; of more, a random subset is taken, another one in each epoch."""
    min_points: int = 1
    """Clouds of fewer points are left out of training."""
    views: str = "random"
    """Which view a sample is aligned to: `random`, any of its instance, or `own`, that of its triplet."""

    def __post_init__(self) -> None:
        if not (self.synthetic or self.real):
            raise UserError("data names no split: list some under data.synthetic or data.real")
        if self.views not in VIEWS:
            raise UserError(f"data.views is {self.views!r}: take one of {', '.join(VIEWS)}")
        if self.excluded_from not in EXCLUDED_FROM:
            raise UserError(f"data.excluded_from is {self.excluded_from!r}: take one of {', '.join(EXCLUDED_FROM)}")
        if self.max_points < 1 or self.min_points < 1:
            raise UserError("data.max_points and data.min_points must be at least 1")
        for name in (*self.synthetic, *self.real):
            _check_split("data", name)
        if strange := sorted(set(self.weights) - {*self.synthetic, *self.real}):
            raise UserError(f"data.weights names {strange[0]}, which neither data.synthetic nor data.real lists")


@dataclass(frozen=True)
class Epochs:
    """How long a run is."""

    count: int = 250
    """Epochs of the run."""
    coverage: float = 0.8
    """Share of the CAD objects (of the real ones, where there are no others) that an epoch sees."""
    rule: str = "coupon_collector"
    """How many samples that takes: `coupon_collector`, the published N ln(1 / (1 - coverage)), or `distinct`."""
    warmup: float = 1.0
    """Epochs in which the learning rate rises."""

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.warmup < self.count:
            raise UserError("epochs.count must be at least 1, and epochs.warmup from 0 to below it")
        samples_per_epoch(1, self.coverage, self.rule)


@dataclass(frozen=True)
class Optimization:
    """AdamW with a learning rate that rises in warm-up and falls along half a cosine."""

    learning_rate: float = 1e-3
    """At the end of warm-up, for the whole batch."""
    final_learning_rate: float = 1e-5
    """At the end of the run."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Of the running means of gradient and squared gradient."""
    weight_decay: float = 0.1
    """Of matrices; norms, biases, tokens and the scale have none."""
    max_gradient_norm: float = 1.0
    """Longer gradients are cut to this."""

    def __post_init__(self) -> None:
        if not 0 <= self.final_learning_rate <= self.learning_rate or self.learning_rate == 0:
            raise UserError("optimization.final_learning_rate must lie between 0 and optimization.learning_rate")
        if self.max_gradient_norm <= 0 or self.weight_decay < 0:
            raise UserError("optimization.max_gradient_norm must be above 0, weight_decay not below")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"optimization.betas is {list(self.betas)}: give two numbers from 0 to below 1")


@dataclass(frozen=True)
class Validation:
    """Zero-shot accuracy on a held-out split."""

    split: str
    """dataset/split."""
    classes: str
    """File of prompts/classes, without its ending."""
    templates: str
    """File of prompts/templates, without its ending."""
    max_clouds: int = 0
    """Take so many clouds, spread over the split; 0 is all."""

    def __post_init__(self) -> None:
        _check_split("validation", self.split)
        if self.max_clouds < 0:
            raise UserError(f"max_clouds of the validation on {self.split} is {self.max_clouds}: give 0 or more")


@dataclass(frozen=True)
class Recipe:
    """All that a run's weights depend on, besides the data."""

    clip: str
    """Folder name of the CLIP whose features are aligned to."""
    data: Data
    encoder: PointBertConfig = field(default_factory=PointBertConfig)
    mixture: Mixture = field(default_factory=Mixture)
    augmentation: Augmentation = field(default_factory=Augmentation)
    epochs: Epochs = field(default_factory=Epochs)
    optimization: Optimization = field(default_factory=Optimization)
    batch_size: int = 512
    """Samples of a step, over all processes and micro-batches."""
    micro_batches: int = 1
    """Parts in which each process takes its share, one after another; contrast is within a part."""
    same_caption: float | None = None
    """Cosine of text features above which two samples are not pushed apart; null pushes all apart."""
    seed: int = 0
    """Another seed, other weights, draws and augmentation."""
    initial_weights: str | None = None
    """A checkpoint to start from: ours (.safetensors), Point-BERT's or ULIP-2's."""
    new_projection: bool = False
    """Leave the last layer of `initial_weights` out: the file has none, or one to another CLIP."""
    validation: tuple[Validation, ...] = ()
    """What to measure while training."""
    validate_every: int = 0
    """Steps between measurements; 0 measures at the end only."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    log_every: int = 20
    """Steps between lines of the log."""

    def __post_init__(self) -> None:
        if min(self.batch_size, self.micro_batches, self.checkpoint_every, self.log_every) < 1:
            raise UserError("batch_size, micro_batches, checkpoint_every and log_every must be at least 1")
        if self.batch_size < 2 * self.micro_batches:
            raise UserError(
                f"batch_size {self.batch_size} leaves a micro-batch without two samples to tell apart: "
                f"make it at least {2 * self.micro_batches}"
            )
        if self.validate_every < 0:
            raise UserError(f"validate_every is {self.validate_every}: give 0 or more")
        measured = Counter(validation.split for validation in self.validation)
        if twice := [name for name, count in measured.items() if count > 1]:
            raise UserError(f"validation names {twice[0]} twice: name a split once")
        if self.same_caption is not None and not -1 < self.same_caption <= 1:
            raise UserError(f"same_caption is {self.same_caption}: it is a cosine, give a number up to 1 or null")

    def decisive(self) -> dict[str, Any]:
        """What the weights depend on, as JSON has it: all but what is measured, and how often to save and to log."""
        plain = json.loads(json.dumps(asdict(self)))
        return {name: value for name, value in plain.items() if name not in _WATCHING}

    def splits(self) -> list[str]:
        """The splits that are trained on, synthetic ones first."""
        return [*self.data.synthetic, *self.data.real]


def as_recipe(content: dict[str, Any]) -> Recipe:
    """A recipe from plain data, with defaults for what it leaves out.

    Raises:
        UserError: a key is unknown or missing, or a value is of another type or out of its range.
    """
    config = dacite.Config(strict=True, type_hooks={float: _number})
    if not isinstance(content, dict) or not isinstance(content.get("encoder", {}), dict):
        raise UserError("the recipe, or its encoder, is no table of keys and values: see the keys in config.yaml")
    encoder = dict(content.get("encoder", {}))
    preset = encoder.pop("preset", "base")
    if preset not in tuple(PRESETS):
        raise UserError(f"encoder.preset is {preset!r}: take one of {', '.join(PRESETS)}")
    try:
        return dacite.from_dict(Recipe, _frozen(content | {"encoder": PRESETS[preset] | encoder}), config)
    except dacite.DaciteError as error:
        raise UserError(f"the recipe is wrong: {error}") from None


def read_recipe(path: Path) -> Recipe:
    """The recipe in a JSON file.

    Raises:
        UserError: the file is missing, no JSON, or no recipe.
    """
    if not path.is_file():
        raise UserError(f"there is no recipe {path}: `blendclip recipe` writes one")
    return parsed_recipe(path.read_text(), str(path))


def parsed_recipe(text: str, place: str) -> Recipe:
    """The recipe in JSON text, which is from `place`.

    Raises:
        UserError: it is no JSON, or no recipe.
    """
    try:
        return as_recipe(json.loads(text))
    except json.JSONDecodeError as error:
        raise UserError(f"{place} is no readable JSON: {error}") from None


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe as JSON, every default spelt out."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(recipe), indent=2, sort_keys=True) + "\n")


def _check_split(key: str, name: str) -> None:
    dataset, _, split = name.partition("/")
    if not dataset or not split or "/" in split:
        raise UserError(f"{key} names {name!r}, which is no split: write dataset/split")


def _frozen(value: Any) -> Any:
    """Lists as tuples, throughout."""
    if isinstance(value, dict):
        return {key: _frozen(child) for key, child in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _number(value: Any) -> Any:
    """A whole number will do for a float."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
