"""The recipe of a run: every number that its weights depend on, read from config.yaml or JSON and saved beside them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from blendclip.encoders.clip_names import ClipOptions
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.errors import UserError
from blendclip.options import DERIVED, Options, parse
from blendclip.ranges import Count, Name, Natural, NotNegative, Positive, Range, Share, SplitPlace, Text
from blendclip.storage import replacing
from blendclip.training.augmentation_options import Augmentation
from blendclip.training.data.mixture import Mixture
from blendclip.training.data.plan import samples_per_epoch

Decay = Annotated[float, Range(ge=0, lt=1)]
_NOT_DECISIVE = ("clip_options", "validation", "validate_every", "checkpoint_every", "log_every", "trackers")


@dataclass(frozen=True)
class Data(Options):
    """What a run draws from. Splits are named dataset/split."""

    synthetic: tuple[SplitPlace, ...] = ()
    """Splits of CAD objects, as dataset/split."""
    real: tuple[SplitPlace, ...] = ()
    """Splits of mined recordings, as dataset/split."""
    weights: dict[SplitPlace, Positive] = field(default_factory=dict)
    """Weight with which a split is drawn against the others of its domain, by dataset/split; by default its size."""
    excluded_classes: tuple[str, ...] = ()
    """Class names or categories that the run does not train on, to measure what it makes of classes it never saw."""
    excluded_from: Literal["both", "real", "synthetic"] = "both"
    """Whose clouds excluded_classes are left out of: both domains', those of recordings (CAD objects still teach
    them), or those of CAD objects."""
    max_points: Count = 8192
    """Most points of a cloud; of more, a random subset is taken, another one in each epoch."""
    min_points: Count = 1
    """Clouds of fewer points are left out of training."""
    short_windows: Share = 0.0
    """Share of the draws of recordings that see only the latest sweeps of a cloud, a random number from one on."""
    views: Literal["random", "own"] = "random"
    """The view that a cloud is aligned to: random, any of its instance's, or own, that of its triplet."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.synthetic or self.real):
            raise UserError("data names no split: list some under data.synthetic or data.real")
        if strange := sorted(set(self.weights) - {*self.synthetic, *self.real}):
            raise UserError(f"data.weights names {strange[0]}, which neither data.synthetic nor data.real lists")


@dataclass(frozen=True)
class Epochs(Options):
    """How long a run is."""

    count: Natural = 250
    """Number of epochs; 0 trains nothing, so that `initial_weights` are measured as they are."""
    coverage: Annotated[float, Range(gt=0, le=1)] = 0.8
    """Share of the CAD objects (of the real ones, where there are no others) that an epoch sees."""
    rule: Literal["coupon_collector", "distinct"] = "coupon_collector"
    """Samples that this takes of N objects: coupon_collector, the published N ln(1 / (1 - coverage)), or distinct,
    N coverage."""
    warmup: NotNegative = 1.0
    """Epochs in which the learning rate rises."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.count and self.warmup >= self.count:
            raise UserError(f"epochs.warmup is {self.warmup:g}: it must be below epochs.count, {self.count}")
        samples_per_epoch(1, self.coverage, self.rule)


@dataclass(frozen=True)
class Optimization(Options):
    """AdamW with a learning rate that rises in warm-up and falls along half a cosine."""

    learning_rate: Positive = 1e-3
    """Learning rate at the end of warm-up, for the whole batch."""
    final_learning_rate: NotNegative = 1e-5
    """Learning rate at the end of the run."""
    betas: tuple[Decay, Decay] = (0.9, 0.98)
    """Decay rates of the running means of gradient and squared gradient."""
    weight_decay: NotNegative = 0.1
    """Weight decay of matrices; norms, biases, tokens and the scale have none."""
    max_gradient_norm: Positive = 1.0
    """Largest norm of the gradient; longer ones are scaled down to it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.final_learning_rate > self.learning_rate:
            raise UserError("optimization.final_learning_rate must lie between 0 and optimization.learning_rate")


@dataclass(frozen=True)
class Validation(Options):
    """Zero-shot accuracy on a held-out split."""

    split: SplitPlace
    """Held-out split, as dataset/split."""
    classes: Name
    """Class names, a file of prompts/classes without its ending."""
    templates: Name
    """Prompt templates, a file of prompts/templates without its ending."""
    max_clouds: Natural = 0
    """Most clouds to measure, evenly spread over the split; 0 is all."""


@dataclass(frozen=True)
class Recipe(Options):
    """All that a run's weights depend on, besides the data."""

    clip: Text = field(metadata=DERIVED)
    """Folder name of the CLIP whose features are aligned to."""
    data: Data
    """What is drawn."""
    clip_options: ClipOptions | None = field(default=None, metadata=DERIVED)
    """Where that CLIP comes from, as config.yaml says it; None in recipes that only name it."""
    encoder: PointBertConfig = field(default_factory=PointBertConfig)
    """The PointBERT; its features are as wide as those of the CLIP."""
    mixture: Mixture = field(default_factory=Mixture)
    """The share of real samples in a batch over a run, the curriculum."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """What is done to clouds."""
    epochs: Epochs = field(default_factory=Epochs)
    """How long a run is."""
    optimization: Optimization = field(default_factory=Optimization)
    """AdamW and its learning rate."""
    batch_size: Annotated[int, Range(ge=2)] = 512
    """Samples of a step, over all processes and micro-batches."""
    micro_batches: Count = 1
    """Parts in which each process takes its share, one after another; contrast is within a part."""
    same_caption: Annotated[float, Range(gt=-1, le=1)] | None = None
    """Cosine of text features above which two samples are not pushed apart; null pushes all apart."""
    seed: int = 0
    """Another seed, other weights, draws and augmentation."""
    initial_weights: Text | None = None
    """Checkpoint to start from: ours (.safetensors), Point-BERT's or ULIP-2's."""
    new_projection: bool = False
    """Leave the last layer of `initial_weights` out: the file has none, or one to another CLIP."""
    validation: tuple[Validation, ...] = ()
    """What to measure while training."""
    validate_every: Natural = 0
    """Steps between measurements; 0 measures at the end only."""
    checkpoint_every: Count = 500
    """Steps between checkpoints."""
    log_every: Count = 20
    """Steps between lines of the log."""
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """Where numbers go besides the log: tensorboard, wandb (Weights & Biases) and mlflow, each by its own package."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size < 2 * self.micro_batches:
            raise UserError(
                f"batch_size {self.batch_size} leaves a micro-batch without two samples to tell apart: "
                f"make it at least {2 * self.micro_batches}"
            )
        if not self.epochs.count and (self.initial_weights is None or self.new_projection):
            raise UserError(
                "epochs.count is 0, and there are no weights to measure as they are: name a whole checkpoint as "
                "initial_weights, without new_projection"
            )
        measured = Counter(validation.split for validation in self.validation)
        if twice := [name for name, count in measured.items() if count > 1]:
            raise UserError(f"validation names {twice[0]} twice: name a split once")
        if repeated := [name for name, count in Counter(self.trackers).items() if count > 1]:
            raise UserError(f"trackers names {repeated[0]} twice: name it once")

    def decisive(self) -> dict[str, Any]:
        """What the weights depend on, as JSON has it: all but how a run is measured, saved and logged."""
        plain = json.loads(json.dumps(asdict(self)))
        return {name: value for name, value in plain.items() if name not in _NOT_DECISIVE}

    def splits(self) -> list[str]:
        """The splits that are trained on, synthetic ones first."""
        return [*self.data.synthetic, *self.data.real]


def as_recipe(content: Any, path: str = "recipe") -> Recipe:
    """A recipe from plain data, with defaults for what it leaves out; `path` is its place in config.yaml, for messages.

    Raises:
        UserError: a key is unknown or missing, or a value is of another type or out of its range.
    """
    return parse(Recipe, content, path, derived=True)


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
