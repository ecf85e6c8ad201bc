"""Text weights of the classes of a benchmark, written once for each CLIP, so that evaluation loads none."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import storage
from blendclip.evaluation.prompts import read_classes, read_rare, read_templates
from blendclip.evaluation.zero_shot import EmbedTexts, classifier

SCHEMA = pa.schema(
    [
        ("class_name", pa.string()),
        ("words", pa.list_(pa.string())),
        ("weight", pa.list_(pa.field("element", pa.float32(), nullable=False))),
    ]
)


@dataclass(frozen=True)
class ClassWeights:
    """The C classes to choose from, in order."""

    names: list[str]
    """Class names."""
    weights_CD: NDArray[np.float32]
    """(C, D) text weights, each of unit length."""
    titles: list[str] = field(default_factory=list)
    """The plainest word for each class, which no other class has; empty where there is no file of them."""
    rare: list[str] = field(default_factory=list)
    """Names of the classes that their file calls rare."""

    def labels(self, class_names: list[str | None]) -> NDArray[np.int64]:
        """The number of each class, -1 for names that are not among `names`."""
        numbers: dict[str | None, int] = {name: number for number, name in enumerate(self.names)}
        return np.array([numbers.get(name, -1) for name in class_names], np.int64)


def write_class_weights(path: Path, embed_texts: EmbedTexts, classes: Path, templates: Path | str) -> None:
    """Write a row for each class of a file of prompts/classes, with its text weight over the templates.

    Args:
        path: Parquet file to write.
        embed_texts: the text encoder of a CLIP.
        classes: file of prompts/classes.
        templates: file of prompts/templates, or `openai_imagenet`.

    Raises:
        UserError: a prompt file is missing or broken.
    """
    words, rare = read_classes(classes), read_rare(classes)
    patterns = read_templates(templates)
    weights_CD = classifier(embed_texts, words, patterns)
    rows = [
        {"class_name": name, "words": words[name], "weight": weight}
        for name, weight in zip(words, weights_CD, strict=True)
    ]
    about = {"classes": words, "templates": patterns} | ({"rare": rare} if rare else {})
    storage.write_parquet(path, SCHEMA, [storage.table_of(rows, SCHEMA)], storage.metadata("class_weights", about))


def read_class_weights(path: Path) -> ClassWeights:
    """The classes and weights that `write_class_weights` wrote.

    Raises:
        UserError: the file is missing.
    """
    table = storage.read_parquet(path)
    weights_CD = np.array(table["weight"].to_pylist(), np.float32)
    titles = [words[0] for words in table["words"].to_pylist()]
    return ClassWeights(table["class_name"].to_pylist(), weights_CD, titles, storage.options_of(path).get("rare", []))
