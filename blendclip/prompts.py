"""Where class names, prompt templates and caption prompts are: data that comes with the package."""

from __future__ import annotations

from pathlib import Path

from blendclip.errors import UserError

_PACKAGE = Path(__file__).parent


def prompts_folder() -> Path:
    """The folder `prompts`: beside the package in a checkout, inside of it where it was installed.

    Raises:
        UserError: it is in neither place.
    """
    places = (_PACKAGE.parent / "prompts", _PACKAGE / "prompts")
    for place in places:
        if (place / "synonyms.yaml").is_file():
            return place
    raise UserError(f"there is no folder of prompts at {places[0]} or {places[1]}: install blendclip with its data")


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
