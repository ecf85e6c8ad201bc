"""A model on disk: `model.safetensors`, `model.json` (what it expects of clouds, how it came about) and a card.

Files of format 1, which older runs wrote, hold encoder and recipe alone; what else there is to know follows from these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from blendclip.encoders.checkpoints import load_described, save_encoder
from blendclip.encoders.clip_names import HUB, LOCAL_FOLDER, TINY, clip_name
from blendclip.encoders.model_card import model_card
from blendclip.encoders.pointbert import PointBert
from blendclip.errors import UserError
from blendclip.results import METRICS, MODEL_WEIGHTS, Results
from blendclip.storage import replacing

CARD = "README.md"
FORMAT = 2
UNIT_SPHERE = "unit_sphere"
"""Mean at the origin, furthest point at distance 1."""
OURS = "the package blendclip"
_EVALUATED = ("top1", "top5", "mean_class", "most_frequent")


@dataclass(frozen=True)
class ClipSource:
    """Where a frozen CLIP comes from, as `clip` of config.yaml says it."""

    model: str
    """A name that open_clip knows, `tiny`, `local-dir:FOLDER` or `hf-hub:OWNER/NAME`."""
    pretrained: str | None = None
    """A tag that open_clip knows, or a file of weights."""

    @property
    def name(self) -> str:
        """The name of the folder that holds its features."""
        return clip_name(self.model, self.pretrained)

    @classmethod
    def named(cls, name: str) -> ClipSource | None:
        """The CLIP whose features lie in a folder of this name; None where the name does not tell."""
        if name == TINY:
            return cls(TINY)
        from open_clip import list_pretrained

        return next((cls(model, tag) for model, tag in list_pretrained() if clip_name(model, tag) == name), None)

    @classmethod
    def parse(cls, given: str | tuple[str, str | None] | Mapping[str, str | None] | ClipSource) -> ClipSource:
        """The CLIP that a user names: by (model, pretrained), a mapping of these, or one name.

        Raises:
            UserError: the name is of no CLIP.
        """
        if isinstance(given, ClipSource):
            return given
        if isinstance(given, Mapping):
            given = (given.get("model") or "", given.get("pretrained"))
        if not isinstance(given, str):
            model, pretrained = given
            return cls(model, pretrained)
        if given.startswith((HUB, LOCAL_FOLDER)):
            return cls(given)
        if found := cls.named(given):
            return found
        raise UserError(
            f"{given!r} names no CLIP: give (model, pretrained) as open_clip has them, such as "
            "('ViT-B-16', 'datacomp_xl_s13b_b90k'), or hf-hub:OWNER/NAME, local-dir:FOLDER or tiny"
        )


@dataclass(frozen=True)
class Description:
    """What a model expects of clouds, and how it came about."""

    clip_name: str | None
    """Folder name of the CLIP that it is aligned to."""
    max_points: int
    """Points of a cloud, at most; of more a fixed subset is taken."""
    clip: ClipSource | None = None
    """Where that CLIP comes from; None where only its name is known, or it is aligned to none."""
    up: str = "z"
    """Axis that points up in the clouds it was trained on."""
    normalization: str = UNIT_SPHERE
    """What is done to a cloud before it is encoded."""
    origin: str = OURS
    """Whose code trained it."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """All that the weights depend on, besides the data."""
    data: dict[str, Any] = field(default_factory=dict)
    """Per split trained on: its `domain`, and its number of `triplets` and `instances`."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Per benchmark or held-out split: zero-shot accuracies from 0 to 1."""

    def as_json(self) -> dict[str, Any]:
        """The keys of model.json, without encoder and recipe."""
        plain = {name: value for name, value in asdict(self).items() if name != "recipe"}
        return plain | {"format": FORMAT}


def described_run(recipe: dict[str, Any], data: dict[str, Any], metrics: dict[str, Any]) -> Description:
    """What there is to say of a trained run, from its recipe as plain data."""
    told = recipe.get("clip_options")
    return Description(
        clip_name=recipe["clip"],
        clip=ClipSource(**told) if told else ClipSource.named(recipe["clip"]),
        max_points=recipe["data"]["max_points"],
        recipe=recipe,
        data=data,
        metrics=metrics,
    )


def write_run_model(path: Path, encoder: PointBert, description: Description) -> None:
    """Write `model.safetensors` at `path` and `model.json` beside it; same weights, same bytes."""
    save_encoder(path, encoder, description.recipe, description.as_json())


def write_model_folder(folder: Path, encoder: PointBert, description: Description) -> None:
    """Write weights, description and card of a model into a folder, over those that are there."""
    write_run_model(folder / MODEL_WEIGHTS, encoder, description)
    with replacing(folder / CARD) as temporary:
        temporary.write_text(model_card(folder.resolve().name, encoder.config, description.as_json()))


def read_model(path: Path, device: torch.device | str = "cpu") -> tuple[PointBert, Description]:
    """The encoder at `path`, a .safetensors file, and its description.

    Raises:
        UserError: a file is missing or damaged, of a newer format, or describes no model.
    """
    encoder, about = load_described(path, device)
    written = about.get("format", 1)
    if written > FORMAT:
        raise UserError(f"{path} is of format {written}, newer than this version reads: upgrade blendclip")
    recipe = about.get("recipe", {})
    if written == 1:
        if not {"clip", "data"} <= recipe.keys():
            raise UserError(f"{path.with_suffix('.json')} lacks the recipe of a run: give a folder of results/runs")
        return encoder, Description(recipe["clip"], recipe["data"]["max_points"], recipe=recipe)
    known = {name: about[name] for name in Description.__dataclass_fields__ if name in about}
    clip = ClipSource(**known["clip"]) if known.get("clip") else None
    return encoder, Description(**known | {"clip": clip})


def find_model(place: Path) -> Path:
    """The .safetensors file of a run's folder, of a model's folder, or `place` itself where it is one.

    Raises:
        UserError: there is nothing, or no model.
    """
    if place.suffix == ".safetensors" and place.is_file():
        return place
    if (place / MODEL_WEIGHTS).is_file():
        return place / MODEL_WEIGHTS
    if not place.exists():
        raise UserError(f"there is no model {place}: give the folder of a run or a model, or hf-hub:OWNER/NAME")
    if any(place.glob("training/*/recipe.json")):
        raise UserError(f"{place} is a run that has not ended: train it to its end first")
    raise UserError(f"{place} is no model, as it holds no {MODEL_WEIGHTS}: give the folder of a run or a model")


def evaluations(folder: Path) -> dict[str, Any]:
    """What `blendclip evaluate` measured of a run: of each benchmark its accuracies and number of clouds.

    Args:
        folder: with a folder for each benchmark, such as results/evaluation/runs/curriculum.
    """
    found = {}
    for path in sorted(folder.glob(f"*/{METRICS}")):
        numbers = json.loads(path.read_text())
        found[path.parent.name] = {name: _value(numbers[name]) for name in _EVALUATED if name in numbers} | {
            "clouds": numbers["clouds"],
            "classes": len(numbers["classes"]),
        }
    return found


def evaluations_beside(path: Path) -> dict[str, Any]:
    """The evaluations of a run whose model is at `path`, results/runs/{run}/model.safetensors; none elsewhere."""
    run = path.resolve().parent
    results = Results(run.parents[1])
    return evaluations(results.evaluation(run.name, "any").parent) if results.run(run.name) == run else {}


def _value(number: Any) -> float:
    """An accuracy, with or without its interval."""
    return number["value"] if isinstance(number, dict) else number
