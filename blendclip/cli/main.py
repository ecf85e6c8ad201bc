"""The command `blendclip`: one subcommand for each stage, each of which also works by hand.

Imports of a stage happen in its function, so that no job waits for the libraries of another.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from blendclip import __version__
from blendclip.cli import (
    benchmarks,
    cad,
    captions,
    comparison,
    encoding,
    evaluation,
    export,
    mining,
    naming,
    packing,
    reporting,
    setup,
    summary,
    tiny,
    training,
    warm_up,
    why,
    workflow,
)
from blendclip.cli.common import CommandParser
from blendclip.cli.output import copy_output
from blendclip.errors import UserError
from blendclip.packages import missing_package

ROOMS = (
    workflow,
    *(mining, captions, cad, summary, why),
    *(encoding, packing, training),
    *(benchmarks, evaluation, comparison, reporting),
    *(naming, export, setup, warm_up, tiny),
)
GROUPS = {
    "run all of it": "workflow",
    "generate and read datasets": "city shapes index validate-index cad",
    "mine triplets": "clouds views caption triplets summary show verify why rules inspect cad-sheet",
    "embed and pack": "embed embed-classes embed-summary pack-clouds pack-features show-packed",
    "train": "recipe train show-runs",
    "measure and report": "benchmark lvis-classes evaluate compare report show-report evaluate-clip",
    "use a model": "name encode search model export",
    "set up": "warm-up schema vllm-env train-tiny-clip",
}


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; return the exit status: 0, or 1 after one sentence on what is wrong."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    args = make_parser().parse_args(arguments)
    try:
        if args.log:
            copy_output(args.log)
        args.execute(args)
    except UserError as error:
        return _told(args, str(error))
    except ModuleNotFoundError as error:
        if (missing := missing_package(error)) is None:
            raise
        return _told(args, str(missing))
    except OSError as error:
        return _told(args, _what_happened(error))
    except KeyboardInterrupt:
        return _told(args, "stopped", 130)
    return 0


def _told(args: argparse.Namespace, sentence: str, status: int = 1) -> int:
    sys.stderr.write(f"blendclip {args.command}: {sentence}\n")
    return status


def _what_happened(error: OSError) -> str:
    """What the system says, and of which file."""
    return ": ".join(str(told) for told in (error.strerror or error, error.filename) if told)


def make_parser() -> CommandParser:
    """The parser of all commands."""
    parser = CommandParser(
        "blendclip",
        usage="blendclip [-h] [--version] [--log FILE] COMMAND ...",
        description="Mine triplets of LiDAR points, camera crop and caption, and train an encoder that names objects.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--log", type=Path, metavar="FILE", help="keep all that the command prints in this file, too")
    commands = parser.add_subparsers(
        dest="command",
        required=True,
        metavar="COMMAND",
        prog=parser.prog,
        parser_class=CommandParser,
        help=argparse.SUPPRESS,
    )
    for room in ROOMS:
        room.add_commands(commands)
    abouts = {action.dest: action.help or "" for action in commands._choices_actions}
    commands._choices_actions.clear()  # argparse knows no groups: the commands are listed below instead
    parser.epilog = "\n\n".join(
        "\n".join([f"{title}:", *(f"  {name:16} {abouts.pop(name)}" for name in names.split())])
        for title, names in GROUPS.items()
    )
    assert not abouts, f"in no group: {', '.join(abouts)}"
    parser.epilog += "\n\n`blendclip COMMAND --help` tells what a command takes."
    return parser
