"""Commands that caption views."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from blendclip.cli.common import Commands, new_command
from blendclip.cli.flags import add_options, options_from
from blendclip.errors import UserError
from blendclip.mining.options import CaptionOptions, ServerOptions
from blendclip.options import FaultOptions
from blendclip.results import DEFAULT_ROOT, Results


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_caption, _add_vllm_env):
        add(commands)


def _add_caption(commands: Commands) -> None:
    parser = new_command(commands, "caption", _caption, "write a caption for every view, or preview some")
    add = parser.add_argument
    add("--views", type=Path, nargs="+", required=True, help="Parquet files of views, one for each part")
    add("--prompt", type=Path, required=True, help="file of prompts/caption")
    add("--captions", type=Path, nargs="+", default=[], help="Parquet to write, one for each part")
    add("--rejects", type=Path, nargs="+", default=[], help="Parquet of rejects to write, one for each part")
    add("--statistics", type=Path, nargs="+", default=[], help="JSON to write of what a part cost, one for each part")
    add("--preview", type=int, metavar="N", help="only draw a contact sheet of N views with their captions")
    add("--sheet", type=Path, default=Path("captions.png"), help="PNG of --preview")
    add("--cache", type=Path, default=Results(DEFAULT_ROOT).caption_cache(), help="answers that were paid for")
    add("--server-log", type=Path, default=Path("vllm.log"), help="what vLLM says")
    parser.later(lambda: add_options(parser, CaptionOptions))
    parser.later(lambda: add_options(parser, ServerOptions, name="server"))
    parser.later(lambda: add_options(parser, FaultOptions, name="faults"))


def _caption(args: argparse.Namespace) -> None:
    from blendclip.mining.captions.backends import CaptionFiles, captioner_for
    from blendclip.mining.captions.stage import PartFiles, caption_views

    statistics = args.statistics or [None] * len(args.views)
    outputs = (args.captions, args.rejects, statistics)
    if args.preview is None and {len(paths) for paths in outputs} != {len(args.views)}:
        raise UserError("--captions, --rejects and, if given, --statistics need a path for each of --views")
    options, server = options_from(args, CaptionOptions), options_from(args, ServerOptions, "server")
    captioner = captioner_for(options, server, CaptionFiles(args.prompt, args.cache, args.server_log))
    if args.preview is not None:
        from blendclip.reporting.caption_sheet import preview

        preview(args.views, args.preview, captioner, args.sheet)
        return
    parts = [PartFiles(*paths) for paths in zip(args.views, *outputs, strict=True)]
    faults = options_from(args, FaultOptions, "faults")
    caption_views(parts, captioner, options.max_views_per_instance, faults.max_fault_fraction)


def _add_vllm_env(commands: Commands) -> None:
    parser = new_command(commands, "vllm-env", _vllm_env, "make the environment of vLLM with pip")
    parser.add_argument("folder", type=Path, help="e.g. .venv-vllm")
    parser.add_argument("--cpu", action="store_true", help="without a GPU, to try things out")


def _vllm_env(args: argparse.Namespace) -> None:
    from blendclip.mining.captions.environment import make_environment

    sys.stdout.write(f"{make_environment(args.folder, cpu=args.cpu)}\n")
