"""Commands that write benchmarks and the classes of one."""

from __future__ import annotations

import argparse
from pathlib import Path

from blendclip.cli.common import Commands, add_paths, new_command
from blendclip.cli.flags import add_format, options_from
from blendclip.datasets.formats import format_named
from blendclip.options import hints
from blendclip.results import DEFAULT_ROOT


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_benchmark, _add_lvis_classes):
        add(commands)


def _add_benchmark(commands: Commands) -> None:
    parser = new_command(commands, "benchmark", _benchmark, "turn labelled clouds into a benchmark")
    parser.add_argument("--name", required=True, help="the benchmark's name in config.yaml")
    parser.add_argument("--results", type=Path, default=DEFAULT_ROOT, help="results folder, of mined and cad")
    add_format(parser, "benchmark")
    add_paths(parser, classes="file of prompts/classes", output="Parquet to write")


def _benchmark(args: argparse.Namespace) -> None:
    from blendclip.benchmarks.writing import write_benchmark
    from blendclip.evaluation.prompts import read_classes

    cls = format_named(args.format, "benchmark").options_class()
    derived = {"results": args.results} if "results" in hints(cls) else {}
    options = options_from(args, cls, **derived)
    write_benchmark(args.name, args.format, options, list(read_classes(args.classes)), args.output)


def _add_lvis_classes(commands: Commands) -> None:
    parser = new_command(commands, "lvis-classes", _lvis_classes, "write the categories of Objaverse-LVIS as classes")
    add_paths(
        parser,
        path="OpenShape's or ULIP-2's folder, or Objaverse's JSON of categories",
        output="YAML to write, such as prompts/classes/objaverse_lvis.yaml",
    )


def _lvis_classes(args: argparse.Namespace) -> None:
    from blendclip.benchmarks.objaverse_lvis import write_lvis_classes

    write_lvis_classes(args.path, args.output)
