"""The command `blendclip`: one subcommand for each stage, each of which also works by hand.

Imports of a stage happen in its function, so that no job waits for the libraries of another.
"""

from __future__ import annotations

import argparse
import logging
import sys

from blendclip import __version__
from blendclip.cli import (
    benchmarks,
    cad,
    captions,
    encoding,
    evaluation,
    mining,
    naming,
    packing,
    reporting,
    tiny,
    training,
)
from blendclip.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; return the exit status: 0, or 1 after one sentence on what is wrong."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    args = _parser().parse_args(arguments)
    try:
        args.execute(args)
    except UserError as error:
        sys.stderr.write(f"blendclip {args.command}: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"blendclip {args.command}: {error.strerror or error}: {error.filename or 'output'}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"blendclip {args.command}: stopped\n")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("blendclip", description="Mine triplets of LiDAR points, camera crop and caption.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="STAGE")
    for room in (mining, captions, cad, benchmarks, encoding, packing, tiny, training, evaluation, reporting, naming):
        room.add_commands(commands)
    return parser
