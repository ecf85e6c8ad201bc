"""Where the prompts that ship lie: class names, templates, caption prompts. Loads nothing else."""

from __future__ import annotations

from pathlib import Path

from blendclip.errors import UserError


def prompts_folder() -> Path:
    """The folder `prompts`: inside the installed package, or at the root of a checkout.

    Raises:
        UserError: it is in neither place.
    """
    places = (Path(__file__).with_name("prompts"), Path(__file__).parents[1] / "prompts")
    for place in places:
        if (place / "classes").is_dir():
            return place
    raise UserError(f"there are no prompts in {places[0]} or {places[1]}: install the package again")


def prompt_file(kind: str, name: str) -> Path:
    """The file of a prompt that ships, `prompts/{kind}/{name}.yaml`.

    Args:
        kind: folder of prompts: `classes`, `templates` or `caption`.
        name: of the file, without its ending.

    Raises:
        UserError: no such prompt ships; the sentence lists those that do.
    """
    folder = prompts_folder() / kind
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in folder.glob("*.yaml")))
        raise UserError(f"no {kind} named {name!r} ship: take one of {known}, or give a .yaml file of your own")
    return path
