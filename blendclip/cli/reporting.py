"""Commands that report what runs reached on benchmarks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blendclip.cli.common import Commands, add_paths, new_command
from blendclip.results import Results

if TYPE_CHECKING:
    from blendclip.reporting.report.origins import Origins


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_report, _add_show):
        add(commands)


def _add_report(commands: Commands) -> None:
    parser = new_command(commands, "report", _report, "write the page with tables and figures on runs and benchmarks")
    _add_choice(parser)
    parser.add_argument("--shown", nargs="+", default=[], metavar="RUN", help="runs of the figures; a choice of six")
    parser.add_argument(
        "--splits", nargs="*", metavar="DATASET/SPLIT", help="whose accounts of mining to show; all that are there"
    )
    parser.add_argument("--output", type=Path, help="folder of the page; report in the results folder if not given")
    parser.add_argument("--tables", type=Path, help="folder of the tables; tables in the results folder if not given")


def _report(args: argparse.Namespace) -> None:
    from blendclip.reporting.gallery.write_gallery import write_gallery
    from blendclip.reporting.report.write_report import write_report

    files = Results(args.results)
    output, tables = args.output or files.report(), args.tables or files.tables()
    choice = {"origins": _origins(args), "shown": args.shown, "splits": args.splits}
    page = write_report(args.results, args.runs, args.benchmarks, output, tables, **choice, gallery=write_gallery)
    sys.stdout.write(f"{page}\n")


def _add_show(commands: Commands) -> None:
    parser = new_command(commands, "show-report", _show, "print the accuracy of runs on benchmarks")
    _add_choice(parser)


def _show(args: argparse.Namespace) -> None:
    from blendclip.reporting.report.write_report import headline_text

    sys.stdout.write(headline_text(args.results, args.runs, args.benchmarks, _origins(args)) + "\n")


def _origins(args: argparse.Namespace) -> Origins:
    from blendclip.reporting.report.origins import Origins

    return Origins(tuple(args.generated), tuple(args.real))


def _add_choice(parser: argparse.ArgumentParser) -> None:
    add_paths(parser, results="results folder")
    parser.add_argument("--runs", nargs="+", required=True, metavar="RUN", help="names of runs, in order")
    parser.add_argument("--benchmarks", nargs="+", required=True, metavar="NAME", help="names of benchmarks, in order")
    parser.add_argument(
        "--generated", nargs="*", default=[], metavar="NAME", help="benchmarks and datasets that are generated"
    )
    parser.add_argument(
        "--real", nargs="*", default=[], metavar="NAME", help="benchmarks whose clouds were measured on real objects"
    )
