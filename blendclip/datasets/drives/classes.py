"""Categories of a dataset to classes of the official detection benchmark, with a table of the user's own."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Collection, Mapping

from blendclip.errors import UserError
from blendclip.options import meant

log = logging.getLogger(__name__)


class Classes:
    """The class of each category: that of the user's table, else the devkit's."""

    def __init__(self, own: Mapping[str, str], official: Callable[[str], str | None], known: Collection[str]) -> None:
        """Take a table `own` of categories to classes, each one of the `known`.

        Raises:
            UserError: a class of the table is not known.
        """
        self._own, self._official = own, official
        for category, name in own.items():
            if name not in known:
                hint = meant(name, sorted(known))
                raise UserError(f"`classes` takes {category} for {name!r}, which is no class of the benchmark: {hint}")

    def check_categories(self, categories: Collection[str]) -> None:
        """Say which categories of the table the dataset does not have."""
        if unused := sorted(self._own.keys() - set(categories)):
            near = difflib.get_close_matches(unused[0], list(categories), n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            log.warning("`classes` names %s, which is no category of the dataset%s", ", ".join(unused), hint)

    def __call__(self, category: str) -> str | None:
        """The class of a category; None where it has none."""
        return self._own.get(category) or self._official(category)
