"""Commands that count what was mined of driving and CAD datasets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blendclip.cli.common import Commands, new_command
from blendclip.errors import UserError
from blendclip.prompts import prompts_folder
from blendclip.results import DEFAULT_ROOT, Results, split_of


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_summary, _add_show, _add_verify):
        add(commands)


def _add_summary(commands: Commands) -> None:
    parser = new_command(commands, "summary", _summary, "count what was mined of a split and check the sums")
    _add_results(parser)
    add = parser.add_argument
    add("--dataset", required=True, help="the dataset's name in config.yaml")
    add("--split", required=True, help="its split")
    add("--parts", type=int, help="parts that the split was mined in; counted from the files if not given")
    add("--output", type=Path, help="JSON to write; summaries/triplets/{dataset}/{split}.json in the results folder")
    add("--synonyms", type=Path, help="YAML of words that name categories; prompts/synonyms.yaml if not given")


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, default=DEFAULT_ROOT, help="results folder")


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
    parser = new_command(commands, "show", _show, "print summaries, if all is there that they count")
    _add_results(parser)
    parser.add_argument("split", nargs="+", metavar="DATASET/SPLIT", help="whose summaries to print")


def _show(args: argparse.Namespace) -> None:
    from blendclip.reporting.verification import lost, read_summary

    files, splits = Results(args.results), [split_of(text) for text in args.split]
    _stop_at(lost(files, splits))
    for split in splits:
        sys.stdout.write(_as_text(read_summary(files.summary(*split))) + "\n\n")


def _add_verify(commands: Commands) -> None:
    parser = new_command(commands, "verify", _verify, "check that a results folder is whole, by counts and checksums")
    parser.add_argument("results", nargs="?", type=Path, default=DEFAULT_ROOT, help="results folder")


def _verify(args: argparse.Namespace) -> None:
    from blendclip.reporting.verification import damaged, lost

    if not args.results.is_dir():
        raise UserError(f"there is no folder {args.results}: give the results folder")
    files = Results(args.results)
    checked = dict(damaged(files))
    if not checked:
        raise UserError(f"{args.results} holds no results: give the results folder of a run")
    _stop_at([*lost(files), *filter(None, checked.values())])
    sys.stdout.write(f"{args.results} is whole: {len(checked):,} files, {len(files.summaries())} summaries\n")


def _stop_at(faults: Sequence[str]) -> None:
    """Raise a UserError with all faults, if there are any."""
    if faults:
        raise UserError("\n  ".join([f"{len(faults)} faults:", *faults] if faults[1:] else faults))


def _as_text(summary: dict[str, Any]) -> str:
    from blendclip.datasets.cad.summary import as_text as cad_as_text
    from blendclip.mining.summary import as_text

    return (cad_as_text if "cad" in summary else as_text)(summary)
