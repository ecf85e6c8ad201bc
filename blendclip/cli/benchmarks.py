"""Commands that write benchmarks and the classes of one."""

from __future__ import annotations

import argparse
from pathlib import Path

from blendclip.cli.common import Commands, add_paths, new_command


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_benchmark, _add_lvis_classes):
        add(commands)


def _add_benchmark(commands: Commands) -> None:
    parser = new_command(commands, "benchmark", _benchmark, "turn labelled clouds into a benchmark")
    add = parser.add_argument
    add("--name", required=True, help="the benchmark's name in config.yaml")
    add(
        "--format",
        choices=["mined", "cad", "modelnet40", "scanobjectnn", "objaverse_lvis", "table"],
        required=True,
        help="what the clouds are of",
    )
    add("--results", type=Path, help="mined and cad: results folder")
    add("--split", help="mined and cad: dataset/split, such as city/mini_val")
    add("--path", type=Path, help="the other formats: file or folder")
    add("--up", choices=["x", "y", "z"], help="axis that points up in the files, where it is not the format's own")
    add("--variant", help="scanobjectnn: which of its test sets, such as obj_only or pb_t50_rs")
    add_paths(parser, classes="file of prompts/classes", output="Parquet to write")


def _benchmark(args: argparse.Namespace) -> None:
    from blendclip.benchmarks.writing import benchmark_options, write_benchmark
    from blendclip.evaluation.prompts import read_classes

    names = ("results", "split", "path", "up", "variant")
    options = benchmark_options(args.format, {name: getattr(args, name) for name in names})
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
