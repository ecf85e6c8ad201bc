"""The sections of the page, in order; making them draws their figures and writes their tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from blendclip.reporting.report import figures, tables, training_figures
from blendclip.reporting.report.evaluations import Evaluations
from blendclip.reporting.report.origins import GENERATED, Origins
from blendclip.reporting.report.plot import Figure
from blendclip.reporting.report.table import Table, write_table
from blendclip.reporting.report.wording import joined

_LONG_TABLE = 15  # rows; of more, a table is folded


@dataclass(frozen=True)
class PageBlock:
    """Figures and tables that belong together."""

    parts: tuple[Table | Figure, ...]
    fold: str = ""
    """Text that the block is folded under; empty to show it unfolded."""


@dataclass(frozen=True)
class Section:
    """A section of the page."""

    anchor: str
    """Identifier for links."""
    title: str
    blocks: tuple[PageBlock, ...]
    text: str = ""
    """Paragraph under the title."""
    label: str = ""
    """Text beside the title: that its data is real, or generated."""


@dataclass
class Writer:
    """Writes the tables of the report, and knows where its files are."""

    found: Evaluations
    shown: list[str]
    """Names of the runs that figures show."""
    figures: Path
    """Folder of figures."""
    tables: Path
    """Folder of tables."""
    origins: Origins
    """Which benchmarks and datasets are real or generated."""
    drawn: list[str] = field(default_factory=list)
    """Names of the figures on the page so far."""

    def block(self, *parts: Table | Figure | None, fold: str = "") -> list[PageBlock]:
        """A block of the parts that are not empty, whose tables are written; no block where all are empty."""
        kept = tuple(part for part in parts if part is not None and (isinstance(part, Figure) or part.rows))
        for part in kept:
            if isinstance(part, Table):
                write_table(part, self.tables)
            else:
                self.drawn.append(part.name)
        return [PageBlock(kept, fold)] if kept else []

    def remove_old_figures(self) -> None:
        """Delete figures of an earlier report that this one lacks."""
        for path in self.figures.glob("*.*"):
            if path.suffix in (".svg", ".png") and path.stem not in self.drawn:
                path.unlink()

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks, real ones first and generated ones last."""
        return [name for names in self.origins.parted(self.found.benchmarks).values() for name in names]


def sections_of(writer: Writer) -> list[Section]:
    """The sections that are not empty, in order."""
    found = writer.found
    sections = [
        _accuracy(writer),
        *(_benchmark(writer, name) for name in writer.benchmarks),
        Section("held-out", "Classes left out of training", tuple(writer.block(tables.held_out(found)))),
        _label_efficiency(writer),
        _retrieval(writer),
        _training(writer),
        _data(writer),
    ]
    return [section for section in sections if section.blocks]


def _accuracy(writer: Writer) -> Section:
    ours = [block for table in tables.headlines(writer.found, writer.origins) for block in writer.block(table)]
    others = writer.block(tables.published_numbers())
    by_frequency = writer.block(tables.frequent_and_rare(writer.found))
    seeds = tables.each_seed(writer.found)
    each_seed = writer.block(seeds, fold=f"{seeds.title}, a table of {len(seeds.rows)} rows")
    return Section("accuracy", "Accuracy", (*ours, *by_frequency, *each_seed, *others))


def _benchmark(writer: Writer, name: str) -> Section:
    found, runs, folder = writer.found, writer.shown, writer.figures
    per_class, differences = tables.per_class(found, name), tables.differences(found, name)
    for kind in ("by_distance", "by_points", "by_visibility"):
        writer.block(tables.by_slice(found, name, kind))  # their numbers are in the figure
    confusions = [figures.draw_confusion(found, name, run, folder) for run in runs]
    blocks = [
        *writer.block(figures.draw_per_class(found, name, runs, folder)),
        *writer.block(differences, fold=_fold_of(differences)),
        *writer.block(per_class, fold=_fold_of(per_class)),
        *writer.block(figures.draw_slices(found, name, runs, folder)),
        *writer.block(figures.draw_tracks(found, name, runs, folder), tables.tracks(found, name)),
        *writer.block(*confusions, fold=f"Confusion matrices of {joined(runs)}"),
    ]
    metrics = found.any_of(name)
    text = f"{metrics.clouds:,} clouds of {metrics.instances:,} objects, {len(metrics.classes)} names to choose from."
    return Section(f"benchmark-{name}", f"Benchmark {name}", tuple(blocks), text, writer.origins.label(name))


def _label_efficiency(writer: Writer) -> Section:
    table = tables.label_efficiency(writer.found)
    figure = figures.draw_label_efficiency(writer.found, writer.figures)
    text = "The same recipe with another, fixed share of real samples in every batch."
    return Section("label-efficiency", "Label efficiency", tuple(writer.block(figure, table)), text)


def _retrieval(writer: Writer) -> Section:
    table = tables.retrieval(writer.found)
    return Section("retrieval", "Retrieval", tuple(writer.block(table, fold=_fold_of(table))))


def _training(writer: Writer) -> Section:
    block = writer.block(training_figures.draw_training(writer.found, writer.shown, writer.figures))
    return Section("training", "Training", tuple(block))


def _data(writer: Writer) -> Section:
    found, folder = writer.found, writer.figures
    names = list(dict.fromkeys(one["dataset"] for one in found.summaries.values()))
    rejects = tables.rejects(found)
    blocks = [
        *writer.block(tables.datasets(found)),
        *writer.block(*(training_figures.draw_dataset(found, name, folder) for name in names)),
        *writer.block(training_figures.draw_rejects(found, folder)),
        *writer.block(rejects, fold=_fold_of(rejects)),
    ]
    labelled = [name for name in names if writer.origins.label(name) == GENERATED]
    text = [f"{joined(labelled)}: {GENERATED}."] if labelled else []
    return Section("data", "Data", tuple(blocks), " ".join([*text, *training_figures.even_datasets(found)]))


def _fold_of(table: Table) -> str:
    """Text that a long table is folded under; empty for a short one."""
    count = len(table.rows)
    return f"{table.title}, a table of {count} rows" if count > _LONG_TABLE else ""
