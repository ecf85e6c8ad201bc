"""Flags of commands, made from the fields of options."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from typing import Any, Literal, TypeVar, get_args, get_origin

from blendclip.cli.common import CommandParser
from blendclip.datasets.formats import Kind, formats_of
from blendclip.errors import UserError
from blendclip.options import Options, fields_of, is_one_or_list, parse, sentences, unwrapped

Made = TypeVar("Made", bound=Options)


def add_options(parser: argparse.ArgumentParser, *classes: type[Options], name: str = "options") -> None:
    """Add a flag for each field of the classes, and one that takes them all as a JSON object.

    A field of several classes, which are then alternatives, has one flag. What is not given keeps its default, which
    stands in the class alone.
    """
    group = parser.add_argument_group(name)
    group.add_argument(
        f"--{name}", metavar="JSON", default="{}", help="what the flags below say, as one object; the flags win"
    )
    seen: set[str] = set()
    for cls in classes:
        for path, field, hint in _flat(cls):
            if path not in seen:
                seen.add(path)
                _add_flag(group, name, path, field, hint, sentences_of(cls, path))


def options_from(args: argparse.Namespace, cls: type[Made], name: str = "options", **derived: Any) -> Made:
    """The options that the flags of `add_options` give; `derived` are fields that have no flag.

    Raises:
        UserError: a value is wrong, or an option is not one of `cls`.
    """
    try:
        content = json.loads(getattr(args, name))
    except json.JSONDecodeError as error:
        raise UserError(f"--{name} is no JSON ({error}): give an object such as {{}}") from None
    if not isinstance(content, dict):
        raise UserError(f"--{name} must be a JSON object, such as {{}}")
    for path, value in vars(args).items():
        if path.startswith(f"{name}."):
            _set(content, path.split(".")[1:], value)
    return parse(cls, content | derived, derived=bool(derived), text=True)


def add_format(parser: CommandParser, kind: Kind) -> None:
    """Add `--format` and the flags of every registered format of a kind."""
    formats = formats_of(kind)
    about = "; ".join(f"{one.name}: {one.about}" for one in formats)
    parser.add_argument(
        "--format", required=True, metavar="FORMAT", help=f"{about}; or module:object of a reader of your own"
    )
    parser.later(lambda: add_options(parser, *{one.options_class(): None for one in formats}))


def sentences_of(cls: type[Options], path: str) -> str:
    """The sentence of the field at a dotted path below `cls`."""
    first, _, rest = path.partition(".")
    if not rest:
        return sentences(cls)[first]
    ((_, hint),) = ((one, hint) for one, hint in fields_of(cls) if one.name == first)
    return sentences_of(unwrapped(hint)[0], rest)


def _flat(cls: type[Options], prefix: str = "") -> Iterator[tuple[str, dataclasses.Field[Any], Any]]:
    """Every field with its dotted path and type, those of tables below their table's name."""
    for field, hint in fields_of(cls):
        kind, _, _ = unwrapped(hint)
        if isinstance(kind, type) and issubclass(kind, Options):
            yield from _flat(kind, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", field, hint


def _add_flag(group: Any, name: str, path: str, field: dataclasses.Field[Any], hint: Any, sentence: str) -> None:
    kind, _, _ = unwrapped(hint)
    flag = "--" + path.replace(".", "-").replace("_", "-")
    default = field.default if field.default is not dataclasses.MISSING else None
    about = sentence.replace("%", "%%")
    if default not in (None, ()):
        about += f" (default: {' '.join(map(str, default)) if isinstance(default, tuple) else default})"
    more: dict[str, Any] = {"dest": f"{name}.{path}", "default": argparse.SUPPRESS, "help": about}
    if kind is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, **more)
    elif get_origin(kind) is Literal:
        group.add_argument(flag, metavar=f"{{{','.join(map(str, get_args(kind)))}}}", **more)
    elif get_origin(kind) is tuple or is_one_or_list(kind):
        group.add_argument(flag, nargs="+", metavar="VALUE", **more)
    else:
        group.add_argument(flag, metavar=_METAVARS.get(kind, "VALUE"), **more)


_METAVARS = {int: "N", float: "X", str: "TEXT"}


def _set(content: dict[str, Any], path: list[str], value: Any) -> None:
    *tables, key = path
    for table in tables:
        content = content.setdefault(table, {})
    content[key] = value
