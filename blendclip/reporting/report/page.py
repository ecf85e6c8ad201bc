"""The HTML page of the report, with the files that it links."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from blendclip.reporting.report.evaluations import Evaluations
from blendclip.reporting.report.origins import REAL
from blendclip.reporting.report.plot import Figure
from blendclip.reporting.report.published import published
from blendclip.reporting.report.sections import Section, Writer
from blendclip.reporting.report.seeds import best_group, over_seeds
from blendclip.reporting.report.wording import joined
from blendclip.results import absolute
from blendclip.storage import replacing

_ASSETS = ("report.css", "report.js")
_FEW_FILES = 2  # of a figure or table, which are named without unfolding
_COPIES = "files"


def write_page(writer: Writer, sections: Sequence[Section], gallery: str, output: Path) -> Path:
    """Write `index.html`, its style, its script and the files that it links into `output`; return the page.

    Args:
        writer: of the figures and tables.
        sections: of the page; the gallery follows the first.
        gallery: HTML of the gallery, whose links are relative to `output`; empty for none.
        output: folder of the page.
    """
    output.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(output / _COPIES, ignore_errors=True)
    for name in _ASSETS:
        _write(output / name, _packaged(name))
    text = _template().render(
        found=writer.found,
        sections=sections,
        gallery=Markup(gallery),  # noqa: S704 - made by this package
        origins=writer.origins.parted(writer.found.benchmarks),
        best=_best(writer),
        subjects=_subjects(writer.found),
        real_label=REAL,
        published=published(),
        command=_command(writer, output),
        files=lambda part: _files(writer, part, output),
        few=_FEW_FILES,
        is_figure=lambda part: isinstance(part, Figure),
    )
    _write(output / "index.html", text)
    return output / "index.html"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_packaged("report.html.jinja"))


def _packaged(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _linked(path: Path, place: str, output: Path) -> str:
    """A link to a file, which is copied to `place` beside the page unless it is there: the folder can be sent alone."""
    inside, folder = absolute(path), absolute(output)
    if inside.is_relative_to(folder):
        return inside.relative_to(folder).as_posix()
    copy = output / _COPIES / place
    if not copy.is_file():
        with replacing(copy) as temporary:
            shutil.copyfile(path, temporary)
    return f"{_COPIES}/{place}"


def _files(writer: Writer, part: Any, output: Path) -> dict[str, list[tuple[str, str]]]:
    """Name and link of the files that a figure or table was written to, and of those that it comes from."""
    if isinstance(part, Figure):
        written = [writer.figures / f"{part.name}.{ending}" for ending in ("svg", "png")]
        written += [writer.tables / f"{name}.csv" for name in part.tables]
    else:
        written = [writer.tables / f"{part.name}.{ending}" for ending in ("csv", "md")]
    places = [writer.found.results.relative(path) for path in part.sources]
    return {
        "written": [(path.name, _linked(path, f"tables/{path.name}", output)) for path in written],
        "sources": [(place, _linked(path, place, output)) for place, path in zip(places, part.sources, strict=True)],
    }


def _subjects(found: Evaluations) -> str:
    """How many runs and models of others there are, with the verb that follows."""
    trained = sum(run.is_trained for run in found.runs.values())
    counts = {("trained run", ""): trained, ("model", " not trained here"): len(found.names) - trained}
    parts = [f"{count} {what}{'s' * (count > 1)}{more}" for (what, more), count in counts.items() if count]
    return f"{joined(parts)} {'names' if len(found.names) == 1 else 'name'}"


def _best(writer: Writer) -> list[str]:
    """A sentence for each real benchmark: what the run with the best mean class reaches on it."""
    found = writer.found
    sentences = []
    for name in writer.origins.parted(found.benchmarks).get(REAL, []):
        title, runs = best_group(found, name)
        of_runs = [found.metrics[run, name] for run in runs]
        mean_class, top1 = (over_seeds([getattr(one, key) for one in of_runs]) for key in ("mean_class", "top1"))
        any_run = found.any_of(name)
        sentences.append(
            f"On {name}, {title} names {mean_class.value:.1%} right in the mean over classes and {top1.value:.1%} "
            f"of all {any_run.clouds:,} clouds; always the most frequent class: "
            f"{1 / len(any_run.per_class):.1%} and {any_run.most_frequent:.1%}."
        )
    return sentences


def _command(writer: Writer, output: Path) -> str:
    """The command of this page, for a results folder below the current one."""
    found = writer.found
    splits = [f"{one['dataset']}/{one['split']}" for one in found.summaries.values()]
    chosen = (found.names, found.benchmarks, writer.origins.generated, writer.origins.real, splits)
    return found.results.named.commands.report(*chosen, output.name, writer.tables.name)
