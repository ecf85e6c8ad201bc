"""Commands that count what was mined of driving and CAD datasets."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from blendclip.cli.common import Commands, new_command
from blendclip.errors import UserError
from blendclip.prompts import prompts_folder
from blendclip.results import DEFAULT_ROOT, Results


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_summary, _add_show):
        add(commands)


def _add_summary(commands: Commands) -> None:
    parser = new_command(commands, "summary", _summary, "count what was mined of a split and check the sums")
    add = parser.add_argument
    add("--results", type=Path, default=DEFAULT_ROOT, help="results folder")
    add("--dataset", required=True, help="the dataset's name in config.yaml")
    add("--split", required=True, help="its split")
    add("--parts", type=int, help="parts that the split was mined in; counted from the files if not given")
    add("--output", type=Path, help="JSON to write; summaries/triplets/{dataset}/{split}.json in the results folder")
    add("--synonyms", type=Path, help="YAML of words that name categories; prompts/synonyms.yaml if not given")


def _summary(args: argparse.Namespace) -> None:
    files = Results(args.results)
    parts = files.count_parts(args.dataset, args.split) if args.parts is None else args.parts
    output = args.output or files.summary(args.dataset, args.split)
    is_cad = files.rejects("cad", args.dataset, args.split, 0).is_file()
    summary = _of_cad(args, parts, output) if is_cad else _of_drives(args, parts, output)
    sys.stdout.write(_as_text(summary) + "\n")


def _of_cad(args: argparse.Namespace, parts: int, output: Path) -> dict[str, Any]:
    from blendclip.datasets.cad.summary import summarize_cad

    return summarize_cad(args.results, args.dataset, args.split, parts, output)


def _of_drives(args: argparse.Namespace, parts: int, output: Path) -> dict[str, Any]:
    from blendclip.mining.summary import summarize

    synonyms = args.synonyms or prompts_folder() / "synonyms.yaml"
    return summarize(args.results, args.dataset, args.split, parts, output, synonyms)


def _add_show(commands: Commands) -> None:
    parser = new_command(commands, "show", _show, "print summaries")
    parser.add_argument("summary", nargs="+", type=Path, help="JSON of `blendclip summary`")


def _show(args: argparse.Namespace) -> None:
    for path in args.summary:
        sys.stdout.write(_as_text(_read(path)) + "\n\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}): delete it and run `blendclip summary` again") from None


def _as_text(summary: dict[str, Any]) -> str:
    from blendclip.datasets.cad.summary import as_text as cad_as_text
    from blendclip.mining.summary import as_text

    return (cad_as_text if "cad" in summary else as_text)(summary)
