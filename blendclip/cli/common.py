"""What the commands of all rooms share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

Commands = argparse._SubParsersAction


def new_command(commands: Commands, name: str, run: Callable, about: str) -> argparse.ArgumentParser:
    """The parser of a new subcommand; `run` is called with what it parses."""
    parser = commands.add_parser(
        name, help=about, description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.set_defaults(execute=run)
    return parser


def add_paths(parser: argparse.ArgumentParser, **helps: str) -> None:
    """Options that are paths and needed, by name and help."""
    for name, about in helps.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=about)
