"""Commands that say why something was left out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from blendclip.cli.common import Commands, new_command


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_why, _add_rules):
        add(commands)


def _add_why(commands: Commands) -> None:
    parser = new_command(
        commands, "why", _why, "tell what became of an annotation at each stage, and which rule stopped it"
    )
    parser.add_argument("token", help="token of an annotation or an instance, or the id of a view or a triplet")
    parser.add_argument("--results", type=Path, default=Path("results"), help="results folder")
    parser.add_argument("--dataset", help="look in this dataset alone")
    parser.add_argument("--split", help="look in this split alone")


def _why(args: argparse.Namespace) -> None:
    from blendclip.mining.why import as_text, explain

    sys.stdout.write(as_text(explain(args.results, args.token, args.dataset, args.split)) + "\n")


def _add_rules(commands: Commands) -> None:
    new_command(commands, "rules", _rules, "print every reason to reject, as the page docs/rejects.md")


def _rules(args: argparse.Namespace) -> None:
    from blendclip.reporting.reject_rules import page

    sys.stdout.write(page())
