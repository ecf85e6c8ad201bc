"""The page of all reasons to reject, docs/rejects.md."""

from __future__ import annotations

from collections.abc import Sequence
from string import Formatter

from blendclip.datasets.cad.rules import RULES as CAD_RULES
from blendclip.mining.rules import RULES as MINING_RULES
from blendclip.rejects import Rule

_PAGE = """# Why something was left out

Every annotation, view, object or file that is left out is a row of
`results/rejects/{{dataset}}/{{split}}/part-*.{{stage}}.parquet`, whose columns [data.md](data.md#rejects) explains.
`blendclip why` says of an annotation, or of each annotation of an instance, what every stage made of it and which
of these rules stopped it. This page is what `blendclip rules` prints.

`filtered` is left out on purpose, as a key of `config.yaml` says where there is one. A `fault` is broken data: a job in
which more than `max_fault_fraction` of the sweeps, images, annotations, views or objects have one fails and names them.
Words in braces stand for values.

## Driving datasets

{mining}

## CAD objects

{cad}
"""


def page() -> str:
    """The page as Markdown."""
    return _PAGE.format(mining=_table(MINING_RULES), cad=_table(CAD_RULES))


def _table(rules: Sequence[Rule]) -> str:
    rows = ["| rule | stage | kind | sentence | key of config.yaml |", "| --- | --- | --- | --- | --- |"]
    return "\n".join(rows + [_row(rule) for rule in rules])


def _row(rule: Rule) -> str:
    sentences = "<br>".join(map(_readable, rule.sentences))
    key = f"`{rule.key}`" if rule.key else ""
    return f"| `{rule.name}` | {', '.join(rule.stages)} | {rule.kind} | {sentences} | {key} |"


def _readable(template: str) -> str:
    """A template whose fields are names alone, without the way their values are written."""
    parts = Formatter().parse(template)
    return "".join(text + (f"{{{name}}}" if name else "") for text, name, _, _ in parts)
