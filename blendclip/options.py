"""Options: dataclasses from which the schema of config.yaml, its validation and the flags of commands are made.

A field is the one home of an option: name, type, default, range (`Annotated[int, Range(ge=1)]`, or one of the types
below) and, as the string under the field, its sentence. Imports nothing but the standard library, so that a job of
mining starts at once.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import json
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from blendclip.errors import UserError
from blendclip.ranges import PLACE, Share

DERIVED = {"derived": True}
"""Metadata of a field that config.yaml does not have, since its value follows from others."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Base of the dataclasses that hold options; every value is checked against its field, however it is made.

    Raises:
        UserError: a value is not of its field's type or out of its range.
    """

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            _value(getattr(self, one.name), hints(type(self))[one.name], one.name, _AS_IT_IS)

    @classmethod
    def expanded(cls, content: dict[str, Any], path: str) -> dict[str, Any]:
        """What `content` stands for in terms of the fields; `shorthands` are resolved here."""
        return content

    shorthands: ClassVar[dict[str, tuple[Any, str]]] = {}
    """Further keys that config.yaml may have, each with its type and sentence; `expanded` resolves them."""

    @classmethod
    def read(cls, content: Any, path: str, how: How) -> Self:
        """Options from plain data; `parse` says what is raised."""
        values = _checked(cls, content, path, how)
        for one in dataclasses.fields(cls):
            if one.init and _is_needed(one) and one.name not in values:
                about = sentences(cls).get(one.name, "").rstrip(".")
                raise UserError(f"`{joined(path, one.name)}` is missing: set it" + (f" ({about})" if about else ""))
        return cls(**values)


@dataclasses.dataclass(frozen=True)
class NoOptions(Options):
    """No option at all."""


@dataclasses.dataclass(frozen=True)
class FaultOptions(Options):
    """When a job gives up."""

    max_fault_fraction: Share = 0.01
    """A job fails when more than this share of its sweeps, images or annotations is broken; below, they are rejects."""


Made = TypeVar("Made", bound=Options)
Function = TypeVar("Function", bound=Callable[..., Any])


class How(NamedTuple):
    """How values are read."""

    derived: bool = True
    """Whether fields that config.yaml does not have may be there."""
    build: bool = True
    """Whether tables become dataclasses; without, they may lack keys."""
    text: bool = True
    """Whether text is read as YAML where no text belongs."""


_AS_IT_IS = How(text=False)


def _cached(function: Function) -> Function:
    """`functools.cache` that keeps the function's types."""
    return cast(Function, cache(function))


@_cached
def hints(cls: type) -> dict[str, Any]:
    """The types of a dataclass's fields, with their ranges."""
    return get_type_hints(cls, include_extras=True)


@_cached
def sentences(cls: type) -> dict[str, str]:
    """The string under each field of a dataclass, in one line; of an inherited field, that of its owner."""
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(owner):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if not isinstance(field, ast.AnnAssign) or "ClassVar" in ast.unparse(field.annotation):
                continue
            if isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                found[field.target.id] = " ".join(ast.literal_eval(text.value).split())
    return found


def fields_of(cls: type) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    """The fields of a dataclass that config.yaml may set, with their types."""
    for one in dataclasses.fields(cls):
        if not one.metadata.get("derived"):
            yield one, hints(cls)[one.name]


def parse(cls: type[Made], content: Any, path: str = "", *, derived: bool = False, text: bool = False) -> Made:
    """Options from plain data such as YAML or JSON gives.

    Args:
        cls: the dataclass.
        content: a table of keys and values; lists become tuples.
        path: of this table in config.yaml, for messages.
        derived: whether fields that config.yaml does not have may be there.
        text: whether text is read as YAML where no text belongs; values of Snakemake's `--config` arrive so.

    Raises:
        UserError: a key is unknown or missing, or a value is of another type or out of its range.
    """
    return cls.read(content, path, How(derived, text=text))


def check(cls: type[Options], content: Any, path: str, *, text: bool = False) -> dict[str, Any]:
    """The values that `content` gives, typed and in range, as `parse` would read them; any may be missing.

    Raises:
        UserError: a key is unknown, or a value is of another type or out of its range.
    """
    return _checked(cls, content, path, How(derived=False, build=False, text=text))


def _checked(cls: type[Options], content: Any, path: str, how: How) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise UserError(f"`{path or cls.__name__}` is {shown(content)}: it must be a table of keys and values")
    known = {one.name for one in dataclasses.fields(cls) if how.derived or not one.metadata.get("derived")}
    for key in content:
        if key not in known | set(cls.shorthands):
            raise UserError(unknown_key(str(key), sorted(known | set(cls.shorthands)), path))
    content = cls.expanded(dict(content), path)
    kinds = hints(cls)
    return {key: _value(value, kinds[key], joined(path, key), how) for key, value in content.items()}


def unknown_key(key: str, known: list[str], path: str) -> str:
    """A sentence on a key that nothing knows."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    hint = f"did you mean `{near[0]}`?" if near else f"the keys there are {', '.join(known)}"
    return f"`{joined(path, key)}` is no option: {hint}"


def meant(name: str, known: Sequence[str], more: str = "") -> str:
    """What may have been meant by a name that is none of the known, or all that it can be, and `more`."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"take one of {', '.join(known)}{more}"


def plain(options: Options) -> dict[str, Any]:
    """Options as JSON has them, without those that are derived."""
    return {
        one.name: _plain(getattr(options, one.name))
        for one in dataclasses.fields(options)
        if not one.metadata.get("derived")
    }


def as_json(options: Options) -> str:
    """Options as one argument of a command; what is unset is left out."""
    return json.dumps({key: value for key, value in plain(options).items() if value is not None}, sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Options):
        return plain(value)
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return str(value) if isinstance(value, Path) else value


def _is_needed(one: dataclasses.Field[Any]) -> bool:
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def joined(path: str, key: str) -> str:
    """The path of a key of the table at `path`."""
    return f"{path}.{key}" if path else key


def shown(value: Any) -> str:
    """A value as a message shows it, cut where it is long."""
    text = "null" if value is None else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def unwrapped(hint: Any) -> tuple[Any, list[Any], bool]:
    """A type without its ranges, the ranges, and whether None is allowed too."""
    bounds: list[Any] = []
    optional = False
    while True:
        if get_origin(hint) is Annotated:
            hint, *more = get_args(hint)
            bounds += more
        elif get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint):
            hint = Union[tuple(one for one in get_args(hint) if one is not type(None))]  # noqa: UP007
            optional = True
        else:
            return hint, bounds, optional


def is_one_or_list(kind: Any) -> bool:
    """Whether a type without its ranges is that of one value or a list of such, as `Text | tuple[Text, ...]` is."""
    return get_origin(kind) in (Union, types.UnionType)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _value(value: Any, hint: Any, path: str, how: How) -> Any:
    """`value` as a value of the type, within its ranges.

    Raises:
        UserError: it is none.
    """
    kind, bounds, optional = unwrapped(hint)
    if how.text and isinstance(value, str) and kind not in (str, Path, Any) and get_origin(kind) is not Literal:
        value = _read_text(value)
    if value is None and optional:
        return None
    typed = _typed(value, kind, path, how)
    for bound in bounds:
        if broken := bound.broken(typed):
            raise UserError(f"`{path}` is {shown(value)}: it must be {broken}")
    return typed


def _read_text(text: str) -> Any:
    import yaml

    value = yaml.safe_load(text)
    try:
        return float(value) if isinstance(value, str) else value  # YAML 1.1 takes 1e-3 for text
    except ValueError:
        return text


_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}


def _typed(value: Any, kind: Any, path: str, how: How) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin is Literal:
        if value not in get_args(kind) or isinstance(value, bool):
            raise UserError(f"`{path}` is {shown(value)}: {meant(str(value), list(map(str, get_args(kind))))}")
        return value
    if is_one_or_list(kind):
        (wanted,) = (one for one in get_args(kind) if (get_origin(unwrapped(one)[0]) is tuple) == _is_list(value))
        return _value(value, wanted, path, how)
    if origin is tuple:
        return _tuple(value, kind, path, how)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"`{path}` is {shown(value)}: it must be a table of names and values")
        of_key, of_value = get_args(kind)
        return {
            _value(key, of_key, path, how): _value(one, of_value, joined(path, str(key)), how)
            for key, one in value.items()
        }
    if isinstance(kind, type) and issubclass(kind, Options):
        if isinstance(value, kind):
            return value
        if not how.build:
            return _checked(kind, value, path, how)
        return kind.read(value, path, how)
    return _scalar(value, kind, path)


def _scalar(value: Any, kind: type, path: str) -> Any:
    if kind is Path and isinstance(value, str):
        if broken := PLACE.broken(value):
            raise UserError(f"`{path}` is {shown(value)}: it must be {broken}")
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"`{path}` is {shown(value)}: it must be {_EXPECTED[kind]}")
    return value


def _tuple(value: Any, kind: Any, path: str, how: How) -> tuple[Any, ...]:
    args = get_args(kind)
    if not _is_list(value):
        raise UserError(f"`{path}` is {shown(value)}: it must be a list")
    if args[-1] is Ellipsis:
        return tuple(_value(one, args[0], f"{path}[{i}]", how) for i, one in enumerate(value))
    if len(value) != len(args):
        raise UserError(f"`{path}` is {shown(list(value))}: it must be a list of {len(args)}")
    return tuple(_value(one, arg, f"{path}[{i}]", how) for i, (one, arg) in enumerate(zip(value, args, strict=True)))
