"""Where class names, prompt templates and caption prompts are: data that comes with the package."""

from __future__ import annotations

from pathlib import Path

from blendclip.errors import UserError
from blendclip.shipped import shipped

_FOLDER = "prompts"


def prompts_folder() -> Path:
    """The folder `prompts` that ships.

    Raises:
        UserError: it is not there.
    """
    return shipped(_FOLDER)


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


def prompt_path(path: Path) -> Path:
    """The file at `path`, or the one that ships where `path` is prompts/... and the current folder has none."""
    if path.is_absolute() or path.exists() or path.parts[:1] != (_FOLDER,):
        return path
    ours = prompts_folder().joinpath(*path.parts[1:])
    return ours if ours.is_file() else path
