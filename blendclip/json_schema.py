"""JSON Schema of options, for editors and for readers of config.yaml."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from blendclip.options import Options, fields_of, is_one_or_list, sentences, unwrapped
from blendclip.ranges import PLACE

_WORDS = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string"}


def table_schema(
    cls: type[Options], *, partial: bool = False, without: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The schema of a table of options: every key with its type, range, default and sentence.

    Args:
        cls: the dataclass.
        partial: whether no key is needed, as in a table of changes to another one.
        without: keys that are left out.
    """
    texts, properties, needed = sentences(cls), {}, []
    for name, (hint, text) in cls.shorthands.items():
        properties[name] = value_schema(hint, partial) | {"description": text}
    for one, hint in fields_of(cls):
        if one.name not in (without or {}):
            properties[one.name] = value_schema(hint, partial) | {"description": texts[one.name]} | _default(one)
            if one.default is one.default_factory is dataclasses.MISSING:
                needed.append(one.name)
    required = {"required": needed} if needed and not partial else {}
    return {"type": "object", "additionalProperties": False, **required, "properties": properties}


def value_schema(hint: Any, partial: bool = False) -> dict[str, Any]:
    """The schema of a value of a type, with its ranges."""
    kind, bounds, optional = unwrapped(hint)
    made = _kind_schema(kind, partial)
    for bound in bounds:
        made |= bound.schema()
    if optional and "type" in made:
        made["type"] = [made["type"], "null"]
    if optional and "anyOf" in made:
        made["anyOf"] = [*made["anyOf"], {"type": "null"}]
    if optional and "enum" in made:
        made["enum"] = [*made["enum"], None]
    return made


def _kind_schema(kind: Any, partial: bool) -> dict[str, Any]:
    origin, args = get_origin(kind), get_args(kind)
    if is_one_or_list(kind):
        return {"anyOf": [value_schema(one) for one in args]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple and args[-1] is Ellipsis:
        return {"type": "array", "items": value_schema(args[0])}
    if origin is tuple:
        return {"type": "array", "items": value_schema(args[0]), "minItems": len(args), "maxItems": len(args)}
    if origin is dict:
        names = {key: value for key, value in value_schema(args[0]).items() if key != "type"}
        return {
            "type": "object",
            **({"propertyNames": names} if names else {}),
            "additionalProperties": value_schema(args[1]),
        }
    if isinstance(kind, type) and issubclass(kind, Options):
        own = getattr(kind, "schema", None)  # of options whose keys depend on others
        return own() if own else table_schema(kind, partial=partial)
    if kind is Any:
        return {}
    return {"type": _WORDS[kind]} | (PLACE.schema() if kind is Path else {})


def _default(one: dataclasses.Field[Any]) -> dict[str, Any]:
    value = one.default if one.default is not dataclasses.MISSING else None
    if isinstance(value, tuple):
        value = list(value)
    return {} if value is None or isinstance(value, Options) else {"default": value}
