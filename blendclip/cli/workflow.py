"""The command that runs the workflow, from a checkout or from a wheel."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from blendclip.cli.common import Commands, new_command
from blendclip.packages import missing_module
from blendclip.shipped import shipped

_CONFIG = Path("config.yaml")


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    about = "run a target of the workflow in the current folder, by Snakemake, with its config.yaml if it has one"
    parser = new_command(commands, "workflow", _workflow, about)
    parser.usage = "%(prog)s TARGET [OPTION OF SNAKEMAKE ...]"
    parser.add_argument("target", metavar="TARGET", help="such as mine_triplets, train_curriculum or report, or a file")
    options = parser.add_argument(
        "options",
        metavar="OPTION",
        nargs=argparse.REMAINDER,
        help="further targets, and options of Snakemake: --cores all, -n, --configfile FILE, --config KEY=VALUE",
    )
    options.required = False


def snakemake_arguments(target: str, options: list[str]) -> list[str]:
    """The arguments of Snakemake for a target; of an option that is given twice it takes the last.

    The profile need not be named: Snakemake takes profiles/default, of the current folder or else beside the Snakefile.
    """
    config = ["--configfile", str(_CONFIG)] if _CONFIG.is_file() else []
    return [*config, "--snakefile", str(shipped("workflow", "Snakefile")), target, *options]


def _workflow(args: argparse.Namespace) -> None:
    """Become Snakemake, so that signals and the exit status are its own."""
    if find_spec("snakemake") is None:
        raise missing_module("snakemake")
    scripts = str(Path(sys.executable).parent)  # where `blendclip` is, which the rules call
    path = os.pathsep.join([scripts, *filter(None, [os.environ.get("PATH")])])
    arguments = snakemake_arguments(args.target, args.options)
    os.execve(sys.executable, [sys.executable, "-P", "-m", "snakemake", *arguments], os.environ | {"PATH": path})
