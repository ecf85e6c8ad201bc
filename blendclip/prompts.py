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
