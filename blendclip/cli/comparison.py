"""Commands that compare measured runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from blendclip.cli.common import Commands, new_command
from blendclip.results import DEFAULT_ROOT


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    about = "print the difference in accuracy of each pair of runs on the same clouds, with its interval"
    parser = new_command(commands, "compare", _compare, about)
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="names of evaluated runs, at least two")
    add("--results", type=Path, default=DEFAULT_ROOT, help="results folder with evaluated runs")
    add("--benchmarks", nargs="+", default=[], metavar="NAME", help="benchmarks; all that both runs were measured on")


def _compare(args: argparse.Namespace) -> None:
    from blendclip.evaluation.paired import compare_runs, comparison_text

    sys.stdout.write(comparison_text(compare_runs(args.results, args.runs, args.benchmarks)) + "\n")
