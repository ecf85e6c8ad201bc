"""The classes and templates that a user names: by list, by file, or by the name of a set that ships."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from blendclip.errors import UserError
from blendclip.evaluation.class_weights import ClassWeights
from blendclip.evaluation.prompts import OPENAI_IMAGENET, read_classes, read_templates
from blendclip.prompts import prompt_file

log = logging.getLogger(__name__)

Names = str | Path | Sequence[str] | Mapping[str, str | Sequence[str]]
"""Class names, names with the words for each, a YAML file of them, or the name of a set that ships."""
Templates = str | Path | Sequence[str]
"""Patterns with one `{}`, a YAML file of them, or the name of a set that ships."""

_ALIKE = 0.995
_YAML = (".yaml", ".yml")
_SHOWN = 5


def class_words(names: Names) -> dict[str, list[str]]:
    """The words of each class that a user names; a name without words is its own.

    Raises:
        UserError: there is none, one is no text or comes twice, or the file or set does not exist.
    """
    if isinstance(names, str | Path):
        return read_classes(_file("classes", names))
    if not names:
        raise UserError("there are no names to choose from: give at least one, such as ['car', 'truck']")
    if isinstance(names, Mapping):
        words = {name: [own] if isinstance(own, str) else list(own) for name, own in names.items()}
    else:
        words = {name: [name] for name in _distinct(names, "name")}
    for name, own in words.items():
        if not _is_text(name) or not own or not all(map(_is_text, own)):
            raise UserError(f"the class {name!r} and its words {own!r} must be texts without spaces around them")
    return words


def template_patterns(templates: Templates) -> list[str]:
    """The templates that a user names.

    Raises:
        UserError: there is none, one does not hold `{}` once or comes twice, or the file or set does not exist.
    """
    if isinstance(templates, str | Path):
        source = templates if str(templates) == OPENAI_IMAGENET else _file("templates", templates)
        return read_templates(source)
    if not templates:
        raise UserError("there is no template: give at least one, such as ['a {}']")
    for template in _distinct(templates, "template"):
        if not isinstance(template, str) or template.count("{}") != 1:
            raise UserError(f"the template {template!r} must be text that holds {{}} once")
    return list(templates)


def warn_of_alike(weights: ClassWeights) -> None:
    """Warn of classes whose texts the CLIP can hardly tell apart: their cosine is above 0.995."""
    cosine_CC = np.triu(weights.weights_CD @ weights.weights_CD.T, 1)
    pairs = [f"{weights.names[a]} and {weights.names[b]}" for a, b in np.argwhere(cosine_CC > _ALIKE)]
    if pairs:
        more = f", and {len(pairs) - _SHOWN} more pairs" if len(pairs) > _SHOWN else ""
        log.warning("the CLIP can hardly tell apart %s%s: use other words", ", ".join(pairs[:_SHOWN]), more)


def _file(kind: str, given: str | Path) -> Path:
    """The YAML file that `given` names: a path where it looks like one, else a set that ships."""
    if isinstance(given, Path) or given.endswith(_YAML):
        return Path(given)
    return prompt_file(kind, given)


def _distinct(values: Sequence[str], what: str) -> Sequence[str]:
    twice = [value for value, count in Counter(map(str, values)).items() if count > 1]
    if twice:
        raise UserError(f"the {what} {twice[0]!r} comes twice: keep one")
    return values


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value == value.strip() != ""
