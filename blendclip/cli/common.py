"""What the commands of all rooms share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Commands = argparse._SubParsersAction


class CommandParser(argparse.ArgumentParser):
    """A parser that adds some of its flags when it is used, so that no command waits for the options of another."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._later: list[Callable[[], None]] = []

    def later(self, add: Callable[[], None]) -> None:
        """Have `add` called before this parser reads its arguments or prints its help."""
        self._later.append(add)

    def parse_known_args(  # type: ignore[override]  # argparse has overloads of it
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """As argparse does, once all flags are there."""
        while self._later:
            self._later.pop(0)()
        return super().parse_known_args(args, namespace)


class HelpFormatter(argparse.HelpFormatter):
    """Shows defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = (None, argparse.SUPPRESS, False, "{}")
        if action.help is None or not action.option_strings or action.default in silent or action.default == []:
            return action.help
        return f"{action.help} (default: %(default)s)"


def new_command(commands: Commands, name: str, run: Callable, about: str) -> CommandParser:
    """The parser of a new subcommand; `run` is called with what it parses."""
    parser = commands.add_parser(name, help=about, description=about, formatter_class=HelpFormatter)
    parser.set_defaults(execute=run)
    return parser


def add_paths(parser: argparse.ArgumentParser, **helps: str) -> None:
    """Options that are paths and needed, by name and help."""
    for name, about in helps.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True, help=about)


def add_part(parser: argparse.ArgumentParser, what: str) -> None:
    """Options that say which part of a split a job takes; `what` are scenes or objects."""
    parser.add_argument("--part", type=int, default=0, help=f"take {what} part, part + parts, part + 2 parts ...")
    parser.add_argument("--parts", type=int, default=1, help="number of parts of the split")
