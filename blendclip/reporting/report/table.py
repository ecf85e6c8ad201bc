"""Tables of the report, as CSV, Markdown, plain text, and (by the template) HTML."""

from __future__ import annotations

import csv
import html
import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Literal

from blendclip.evaluation.bootstrap import Estimate
from blendclip.storage import replacing


@dataclass(frozen=True)
class OverSeeds(Estimate):
    """The mean of an accuracy over the seeds of a run, with its interval."""

    of_seeds: tuple[float, ...]
    """The accuracy with each seed, 0 to 1."""


Value = str | int | float | Estimate | None
"""Shares are 0 to 1; None and NaN are no value."""
Kind = Literal["text", "count", "percent"]
"""How values are shown: `percent` is for shares."""
BestIn = Literal["column", "row"]
NOTHING = "–"
"""Stands for no value."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    kind: Kind = "text"
    group: str = ""
    """Heading over neighbouring columns; empty for none."""
    best: bool = False
    """Whether the highest value is marked."""
    label: str = ""
    """Text beside the group: that its data is real, or generated."""

    @property
    def full_title(self) -> str:
        """Group and title, where there is one line of headings only."""
        return f"{self.group} {self.title}".strip()


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    values: tuple[Value, ...]
    """One for each column."""
    published: bool = False
    """Whether the numbers are published ones of others, which are never marked as best."""


@dataclass(frozen=True)
class Table:
    """A table of the report."""

    name: str
    """Name of its files."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    sources: tuple[Path, ...] = ()
    """Files that its numbers come from."""
    commands: tuple[str, ...] = ()
    """Commands that wrote these files."""
    note: str = ""
    """Sentences under the table."""
    best_in: BestIn = "column"
    """Whether the best value is sought in each column or in each row."""
    below: frozenset[tuple[int, int]] = frozenset()
    """(row, column) of values that are to be looked down on, with an arrow."""
    marked: frozenset[tuple[int, int]] = field(init=False)
    """(row, column) of the best values; one is best if it and all others of its line are outside of their intervals."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "marked", frozenset(_best_places(self)))

    @property
    def is_numeric(self) -> bool:
        """Whether all columns but the first hold numbers."""
        return all(column.kind != "text" for column in self.columns[1:])

    @property
    def groups(self) -> list[tuple[str, str, int]]:
        """Group, label and number of columns of each run of columns; none where no column has a group."""
        if not any(column.group for column in self.columns):
            return []
        runs = groupby((column.group, column.label) for column in self.columns)
        return [(group, label, len(list(same))) for (group, label), same in runs]

    def legend(self, best: str, intervals: bool = True) -> str:
        """How to read the values, then the note.

        Args:
            best: how the best values are marked, such as "in bold".
            intervals: whether intervals are shown.
        """
        parts = ["In percent"] * any(column.kind == "percent" for column in self.columns)
        apart = "if it and all others are outside of each other's intervals"
        parts += [f"the best of a {self.best_in} {best}, {apart}"] * bool(self.marked)
        has_intervals = any(isinstance(value, Estimate) for row in self.rows for value in row.values)
        parts += ["a range is a 95 % interval over objects"] * (intervals and has_intervals)
        has_seeds = any(isinstance(value, OverSeeds) for row in self.rows for value in row.values)
        parts += ["of several seeds the mean, and behind it the lowest and the highest seed"] * has_seeds
        text = "; ".join(parts)
        return f"{text[:1].upper()}{text[1:]}. {self.note}".strip() if parts else self.note

    def text_of(self, row: int, column: int) -> str:
        """A value as text, without its interval."""
        text = value_text(self.rows[row].values[column], self.columns[column].kind)
        return f"{text} ↓" if (row, column) in self.below else text

    def interval_of(self, row: int, column: int) -> str:
        """The interval of a value as text, empty where it has none."""
        value = self.rows[row].values[column]
        if not isinstance(value, Estimate) or math.isnan(value.low + value.high):
            return ""
        return f"{100 * value.low:.1f} to {100 * value.high:.1f}"

    def spread_of(self, row: int, column: int) -> str:
        """The lowest and the highest value of several seeds as text; empty for other values."""
        value = self.rows[row].values[column]
        if not isinstance(value, OverSeeds):
            return ""
        return f"seeds {100 * min(value.of_seeds):.1f} to {100 * max(value.of_seeds):.1f}"

    def sort_key(self, row: int, column: int) -> str:
        """The number that the page sorts a value by, as text; empty for text and for no value."""
        number = _number(self.rows[row].values[column])
        return "" if math.isnan(number) else f"{number:.6g}"


def value_text(value: Value, kind: Kind) -> str:
    """A value as text: percent with one decimal, counts with commas between thousands."""
    if isinstance(value, str):
        return value
    number = _number(value)
    if math.isnan(number):
        return NOTHING
    return f"{100 * number:.1f}" if kind == "percent" else f"{number:,.0f}" if kind == "count" else f"{number:g}"


def write_table(table: Table, folder: Path) -> None:
    """Write a table as `{name}.csv` and `{name}.md` into a folder, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for ending, text in (("csv", as_csv(table)), ("md", as_markdown(table))):
        with replacing(folder / f"{table.name}.{ending}") as temporary:
            temporary.write_text(text, encoding="utf-8")


def as_csv(table: Table) -> str:
    """The table as CSV: exact values, shares as 0 to 1, empty cells for no value.

    Intervals are in two more columns, and so are the lowest and the highest of several seeds.
    """
    numbers = range(len(table.columns))
    parts = [_csv_parts([row.values[number] for row in table.rows]) for number in numbers]
    has_published = any(row.published for row in table.rows)
    titles = [_csv_titles(*pair) for pair in zip(table.columns, parts, strict=True)]
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow([*(name for names in titles for name in names), *(["published"] * has_published)])
    for row in table.rows:
        cells = [_csv_cells(*pair) for pair in zip(row.values, parts, strict=True)]
        published = ["yes" if row.published else "no"] * has_published
        writer.writerow([*(cell for some in cells for cell in some), *published])
    return lines.getvalue()


def as_markdown(table: Table) -> str:
    """The table as Markdown, with title, note, and the best values in bold."""
    titles = [_markdown(column.full_title) + (" %" if column.kind == "percent" else "") for column in table.columns]
    rules = ["---" if column.kind == "text" else "---:" for column in table.columns]
    lines = [titles, rules, *(_markdown_cells(table, row) for row in range(len(table.rows)))]
    parts = [
        f"# {_markdown(table.title)}",
        "\n".join(f"| {' | '.join(line)} |" for line in lines),
        table.legend("in bold"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_plain_text(table: Table) -> str:
    """The table as plain text: aligned columns, `*` behind the best values."""
    lines = [[column.title for column in table.columns], *(_plain_cells(table, row) for row in range(len(table.rows)))]
    widths = [max(len(line[place]) for line in lines) for place in range(len(table.columns))]
    headings = _plain_groups(table, widths)
    aligned = [
        "  ".join(
            cell.ljust(width) if column.kind == "text" else cell.rjust(width)
            for cell, width, column in zip(line, widths, table.columns, strict=True)
        ).rstrip()
        for line in lines
    ]
    legend = textwrap.wrap(table.legend("with a *", intervals=False), 100)
    return "\n".join([table.title, "", *headings, *aligned, "", *legend])


def _number(value: Value) -> float:
    """A value as a number; NaN for text and for no value."""
    if isinstance(value, Estimate):
        return value.value
    return math.nan if value is None or isinstance(value, str) else float(value)


def _best_places(table: Table) -> set[tuple[int, int]]:
    """(row, column) of the highest value in each line, if it and all others are outside of each other's intervals."""
    by_column = [
        [(row, column) for row in range(len(table.rows)) if not table.rows[row].published]
        for column in range(len(table.columns))
        if table.columns[column].best
    ]
    lines = by_column if table.best_in == "column" else [list(row) for row in zip(*by_column, strict=True)]
    return {cell for line in lines for cell in _highest(table, line)}


def _highest(table: Table, cells: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    values = {(row, column): table.rows[row].values[column] for row, column in cells}
    known = {cell: one for cell, one in values.items() if isinstance(one, Estimate) and not math.isnan(one.value)}
    order = sorted(known, key=lambda cell: known[cell].value, reverse=True)
    if not order[1:]:
        return []
    best, others = known[order[0]], [known[cell] for cell in order[1:]]
    is_apart = all(one.value < best.low and one.high < best.value for one in others)
    return order[:1] if is_apart else []


def _csv_parts(values: Sequence[Value]) -> list[str]:
    """What the further columns of a column are called."""
    parts = ["low", "high"] * any(isinstance(value, Estimate) for value in values)
    return parts + ["lowest seed", "highest seed"] * any(isinstance(value, OverSeeds) for value in values)


def _csv_titles(column: Column, parts: list[str]) -> list[str]:
    return [column.full_title, *(f"{column.full_title} {part}" for part in parts)]


def _csv_cells(value: Value, parts: list[str]) -> list[str | int | float]:
    """The cells of a value; csv writes floats with all their digits."""
    cells: list[str | int | float | None]
    cells = [value.value, value.low, value.high] if isinstance(value, Estimate) else [value]
    cells += [min(value.of_seeds), max(value.of_seeds)] if isinstance(value, OverSeeds) else []
    cells += [None] * (1 + len(parts) - len(cells))
    return ["" if cell is None or cell != cell else cell for cell in cells]


def _markdown(text: str) -> str:
    """Text of one line that Markdown shows as it is: no cell ends in it, and no HTML begins."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")


def _markdown_cells(table: Table, row: int) -> list[str]:
    cells = []
    for column in range(len(table.columns)):
        text = _markdown(table.text_of(row, column))
        text = f"**{text}**" if (row, column) in table.marked else text
        brackets = "; ".join(part for part in (table.interval_of(row, column), table.spread_of(row, column)) if part)
        cells.append(f"{text} ({brackets})" if brackets else text)
    if table.rows[row].published:
        cells[0] += " (published, not measured here)"
    return cells


def _plain_groups(table: Table, widths: list[int]) -> list[str]:
    """The line of headings over several columns, if any; widens the last column of a group as far as it needs."""
    line, start = "", 0
    for group, _, count in table.groups:
        last = start + count - 1
        widths[last] += max(len(group) - sum(widths[start : start + count]) - 2 * (count - 1), 0)
        line += group.ljust(sum(widths[start : start + count]) + 2 * count)
        start += count
    return [line.rstrip()] if table.groups else []


def _plain_cells(table: Table, row: int) -> list[str]:
    cells = [
        table.text_of(row, column) + ("*" if (row, column) in table.marked else " " * table.columns[column].best)
        for column in range(len(table.columns))
    ]
    if table.rows[row].published:
        cells[0] += " (published)"
    return cells
