"""The report: one page with tables and figures on what runs reach on benchmarks, from the files of the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from blendclip.errors import UserError
from blendclip.reporting.report.evaluations import read_evaluations
from blendclip.reporting.report.label_efficiency import without_repeats
from blendclip.reporting.report.origins import Origins
from blendclip.reporting.report.page import write_page
from blendclip.reporting.report.sections import Writer, sections_of
from blendclip.reporting.report.seeds import best_group, seed_groups
from blendclip.reporting.report.table import as_plain_text
from blendclip.reporting.report.tables import headlines
from blendclip.reporting.report.wording import joined

Gallery = Callable[[Path, Sequence[str], Sequence[str], Path], str]
"""Writes the files of a gallery for (results, runs, benchmarks, output), which opens on the first; returns its HTML."""


def write_report(
    results: Path,
    runs: Sequence[str],
    benchmarks: Sequence[str],
    output: Path,
    tables: Path,
    origins: Origins = Origins(),  # noqa: B008 - frozen
    shown: Sequence[str] = (),
    splits: Sequence[str] | None = None,
    gallery: Gallery | None = None,
) -> Path:
    """Write the page, and each table as CSV and Markdown; return `output/index.html`.

    Args:
        results: results folder with evaluation, runs and, where something was mined here, triplets.
        runs: runs of the tables, in order; each was evaluated on each of `benchmarks`.
        benchmarks: benchmarks in order.
        output: folder of the page, which opens from there without a network.
        tables: folder for the tables.
        origins: which benchmarks and datasets are real or generated, and labelled so.
        shown: runs of the figures; if empty, the first six runs that do not repeat another one with another seed.
        splits: dataset/split of the accounts of mining; None shows all in `results`.
        gallery: writes a gallery; None for no gallery.

    Raises:
        UserError: a file is missing or not as it should be, or `shown` names another run.
    """
    if unknown := [run for run in shown if run not in runs]:
        raise UserError(
            f"the figures are to show {joined(unknown)}, not among the runs of the report: add it to --runs"
        )
    found = read_evaluations(results, runs, benchmarks, splits)
    writer = Writer(found, list(shown) or without_repeats(found), output / "figures", tables, origins)
    sections = sections_of(writer)
    writer.remove_old_figures()
    fragment = gallery(results, _best_first(writer), writer.benchmarks, output) if gallery else ""
    return write_page(writer, sections, fragment, output)


def _best_first(writer: Writer) -> list[str]:
    """The first run of each recipe, and models; at first of what has the best mean class on the first benchmark."""
    names = [names[0] for names in seed_groups(writer.found).values()]
    best = best_group(writer.found, writer.benchmarks[0])[1][0]
    return [best, *(name for name in names if name != best)]


def headline_text(results: Path, runs: Sequence[str], benchmarks: Sequence[str], origins: Origins) -> str:
    """The first tables of the report as plain text for a terminal.

    Args:
        results: results folder with evaluation and runs.
        runs: runs in order.
        benchmarks: benchmarks in order.
        origins: which benchmarks are real or generated, and labelled so.

    Raises:
        UserError: a file is missing or not as it should be.
    """
    found = read_evaluations(results, runs, benchmarks, splits=())
    return "\n\n".join(map(as_plain_text, headlines(found, origins)))
