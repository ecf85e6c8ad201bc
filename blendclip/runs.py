"""The runs of config.yaml: what `recipe` and `runs` say together, a run for each of its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from blendclip.errors import UserError
from blendclip.options import check
from blendclip.plain_names import seeded_run
from blendclip.ranges import Listed
from blendclip.training.recipe import Recipe, as_recipe


@dataclass(frozen=True)
class RunChanges(Recipe):
    """What `recipe` and `runs` may say: a recipe, and the seeds that it is trained with."""

    seeds: Annotated[tuple[int, ...], Listed(1)] | None = None
    """Seeds to train with in place of `seed`: runs NAME-0, NAME-1 and so on, which reports show as one with spread."""


def recipes_of(
    shared: Mapping[str, Any], runs: Mapping[str, Mapping[str, Any]], clip: dict[str, Any], *, text: bool
) -> dict[str, dict[str, Recipe]]:
    """The recipes that each run of config.yaml stands for, by the names of what is trained.

    Args:
        shared: the table `recipe`.
        runs: the tables of `runs`, by name.
        clip: what recipes say of the CLIP.
        text: whether text is read as YAML where no text belongs.

    Raises:
        UserError: something in them is wrong, or a name that seeds give is that of another run.
    """
    common = check(RunChanges, shared, "recipe", text=text)
    made: dict[str, dict[str, Recipe]] = {}
    for name, changes in runs.items():
        own = _of_seeds(name, common, check(RunChanges, changes, f"runs.{name}", text=text))
        made[name] = {run: as_recipe(content | clip, f"runs.{name}") for run, content in own.items()}
        if taken := sorted(run for run in own if run != name and run in runs):
            raise UserError(f"`runs.{name}.seeds` makes a run {taken[0]}, and `runs` describes another: rename one")
    return made


def places_of(recipe: Recipe) -> list[str]:
    """The splits that a run reads, each dataset/split."""
    return [*recipe.splits(), *(entry.split for entry in recipe.validation)]


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, table by table."""
    both = dict(base)
    for key, value in changes.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both


def _of_seeds(name: str, shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a run stands for, by names of runs: one for each of its seeds, or itself; its own `seed` is one alone."""
    recipe = merged(shared, own)
    seeds = recipe.pop("seeds", None)
    if "seed" in own and own.get("seeds"):
        raise UserError(f"`runs.{name}` has both `seed` and `seeds`: keep one of them")
    if "seed" in own or not seeds:
        return {name: recipe}
    return {seeded_run(name, seed): recipe | {"seed": seed} for seed in seeds}
