"""Class names and prompt templates: the YAML files of prompts/, read strictly.

A class is a name, as the column `class_name` has it, and the words that a user would call it by, the plainest first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from blendclip.errors import UserError
from blendclip.prompts import prompt_path

OPENAI_IMAGENET = "openai_imagenet"
"""Name of the 80 templates that OpenAI made for ImageNet, as open_clip has them."""
_RARE = "rare"


def read_classes(path: Path) -> dict[str, list[str]]:
    """Class names and their words, in the order of the file.

    Raises:
        UserError: the file is missing, is not such YAML, or has a name or word twice.
    """
    classes = _content(path, "classes", dict, (_RARE,))["classes"]
    for name, words in classes.items():
        if not _is_text(name):
            raise UserError(f"{path}: the class {name!r} is not text: write it in quotes")
        if not isinstance(words, list) or not words or not all(map(_is_text, words)):
            raise UserError(f"{path}: class {name} needs a list of words, each text without spaces around it")
    if twice := _twice(word for words in classes.values() for word in words):
        raise UserError(f"{path}: the words {', '.join(twice)} stand twice, which cannot tell classes apart: keep one")
    return classes


def read_rare(path: Path) -> list[str]:
    """The class names that a file of prompts/classes calls rare, perhaps none.

    Raises:
        UserError: the file is missing or is not such YAML, or names what is none of its classes.
    """
    content = _content(path, "classes", dict, (_RARE,))
    rare, classes = content.get(_RARE, []), content["classes"]
    if not isinstance(rare, list) or not all(map(_is_text, rare)):
        raise UserError(f"{path}: `{_RARE}` must be a list of class names")
    if unknown := sorted(set(rare) - set(classes)):
        raise UserError(f"{path}: `{_RARE}` names {', '.join(unknown)}, which `classes` has not")
    if twice := _twice(rare):
        raise UserError(f"{path}: `{_RARE}` names {', '.join(twice)} twice: keep one")
    return rare


def read_templates(source: Path | str) -> list[str]:
    """Prompt templates, each with one `{}` for the words of a class.

    Args:
        source: file of prompts/templates, or `openai_imagenet`.

    Raises:
        UserError: the file is missing, is not such YAML, or has a template twice.
    """
    if str(source) == OPENAI_IMAGENET:
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]
    path = Path(source)
    templates = _content(path, "templates", list)["templates"]
    for template in templates:
        if not isinstance(template, str) or template.count("{}") != 1:
            raise UserError(f"{path}: the template {template!r} must be text that holds {{}} once")
    if twice := _twice(templates):
        raise UserError(f"{path}: the templates {'; '.join(twice)} stand twice: keep one of each")
    return templates


def filled(template: str, word: str) -> str:
    """The template with a word in place of its `{}`."""
    return template.replace("{}", word)


@dataclass(frozen=True)
class MergedClasses:
    """The classes of several files as one set to choose from."""

    words: dict[str, list[str]]
    """Words of each class, by its name."""
    names: dict[str, str]
    """Name of the merged class, by the name of a class in any of the files."""


def merged_classes(files: Sequence[Mapping[str, Sequence[str]]]) -> MergedClasses:
    """One set of classes, in which those that share a name or a word are merged, as no text could separate them.

    A class comes where its first part does, has the name of that part, and the words of all its parts in order.

    Args:
        files: words by class name, of each file.
    """
    groups: list[dict[str, list[str]]] = []  # of a class: its parts by name, with their words
    for classes in files:
        for name, words in classes.items():
            part = {name: list(words)}
            touching = [group for group in groups if name in group or set(words) & _words(group)]
            if not touching:
                groups.append(part)
                continue
            first, *others = touching
            for group in (*others, part):
                for key, more in group.items():
                    first[key] = list(dict.fromkeys([*first.get(key, []), *more]))
            groups = [group for group in groups if not any(group is other for other in others)]
    titles = [next(iter(group)) for group in groups]
    merged = {
        title: list(dict.fromkeys(word for parts in group.values() for word in parts))
        for title, group in zip(titles, groups, strict=True)
    }
    return MergedClasses(merged, {name: title for title, group in zip(titles, groups, strict=True) for name in group})


def _words(group: Mapping[str, Sequence[str]]) -> set[str]:
    return {word for words in group.values() for word in words}


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error, not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := _twice(map(str, keys)):
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {', '.join(twice)} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _content(path: Path, key: str, kind: type, others: Sequence[str] = ()) -> dict[str, Any]:
    """The content of a YAML file with a key, under which a `kind` stands, and perhaps some `others`."""
    try:
        content = yaml.load(prompt_path(path).read_text(), _StrictLoader)  # noqa: S506
    except FileNotFoundError:
        raise UserError(f"there is no file {path}: name a file of prompts/{key}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no readable YAML: {' '.join(str(error).split())}") from None
    is_known = isinstance(content, dict) and not set(content) - {key, *others}
    found = content.get(key) if is_known else None
    if not isinstance(found, kind) or not found:
        shape = "names with lists of words" if kind is dict else "a list"
        more = "".join(f", and at most `{other}` beside it" for other in others)
        raise UserError(f"{path} must have one key, `{key}`, with {shape} under it{more}")
    return content


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value == value.strip() != ""


def _twice(values: Any) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]
