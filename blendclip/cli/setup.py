"""Commands that set the project up."""

from __future__ import annotations

import argparse
from pathlib import Path

from blendclip.cli.common import Commands, add_paths, new_command


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    parser = new_command(commands, "schema", _schema, "write the JSON Schema of config.yaml, made from its options")
    add_paths(parser, output="YAML to write, workflow/schemas/config.schema.yaml")


def _schema(args: argparse.Namespace) -> None:
    from blendclip.config import write_schema

    write_schema(Path(args.output))
