"""What cards call a class or a category: the plainest word of its file of prompts/classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from blendclip import storage
from blendclip.evaluation.prompts import read_classes
from blendclip.prompts import prompt_file
from blendclip.results import Results

_CATEGORIES = ("truckscenes_categories", "nuscenes_categories")


def titles_of(results: Path, run: str, benchmark: str) -> dict[str, str]:
    """What a reader calls each class of a benchmark, by its name, in order.

    Raises:
        UserError: the metrics of the run are missing.
    """
    metrics = json.loads(storage.existing(Results(results).metrics(run, benchmark)).read_text())
    return dict(zip(metrics["classes"], metrics["titles"], strict=True))


class Titles:
    """What a reader calls the classes of benchmarks, and categories that are of no class."""

    def __init__(self, results: Path, run: str, benchmarks: Sequence[str]) -> None:
        """Read the words of the benchmarks, and those that ship for categories.

        Raises:
            UserError: a file is missing.
        """
        files = [read_classes(prompt_file("classes", name)) for name in _CATEGORIES]
        self._known = {category: words[0] for classes in files for category, words in classes.items()}
        for benchmark in benchmarks:
            self._known |= titles_of(results, run, benchmark)

    def of(self, name: str) -> str:
        """The title of a class or category; of one that is not known the last part of its name."""
        return self._known.get(name) or name.rpartition(".")[2].replace("_", " ")
