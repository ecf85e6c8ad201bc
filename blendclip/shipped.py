"""Where the data is that comes with the package: `prompts`, `workflow`, `configs` and `config.yaml`.

They lie at the top of a checkout, also of one that is installed in place. What builds a wheel (`setup.py`) puts them
into the package, under `_data` and otherwise as they are, so that the workflow finds its neighbors in either place.
"""

from __future__ import annotations

from pathlib import Path

from blendclip.errors import UserError

_PACKAGE = Path(__file__).parent
_PLACES = (_PACKAGE / "_data", _PACKAGE.parent)
_MARK = Path("workflow", "Snakefile")
"""What tells our folder from any other that is named `prompts` or `workflow`, as there may be beside a package."""


def shipped(*names: str) -> Path:
    """A file or folder that ships, such as `shipped("prompts", "classes")`.

    Raises:
        UserError: the data is not there.
    """
    for place in _PLACES:
        if (place / _MARK).is_file():
            return place.joinpath(*names)
    raise UserError(f"{_PACKAGE} lacks its data, prompts and workflow: install it again from a wheel or a checkout")
