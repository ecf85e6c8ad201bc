"""Names that files are called after: none leads out of the folder that it belongs in."""

from __future__ import annotations

from pathlib import Path

from blendclip.errors import UserError


def plain_name(name: str) -> str:
    """`name`, of a dataset, split, scene or sensor, which is that of one file or folder and leads nowhere else.

    Raises:
        UserError: it is not.
    """
    if name in ("", ".", "..") or "/" in name or not name.isprintable():
        raise UserError(
            f"{name!r} cannot name a dataset, split, scene or sensor, since files are named after it: "
            "give it a name without slashes and control characters that is neither . nor .."
        )
    return name


def inside(folder: Path, *names: str, suffix: str = "") -> Path:
    """The path that names make below a folder, each of which `plain_name` checks; the last one ends in `suffix`."""
    path = folder.joinpath(*map(plain_name, names))
    return path.with_name(path.name + suffix)


def seeded_run(run: str, seed: int) -> str:
    """The name of a run that is trained with several seeds, with one of them."""
    return f"{run}-{seed}"
