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
    add("--output", type=Path, required=True, help="folder for captions, named as the views; with --preview a PNG")
    add("--rejects", type=Path, help="folder for {views' name}.captions.parquet, needed but for --preview")
    add("--statistics", type=Path, help="folder for {views' name}.json: what the captions of a part cost")
    add("--preview", type=int, metavar="N", help="only draw a contact sheet of N views with their captions")
    add("--cache", type=Path, default=Results(DEFAULT_ROOT).shared_caption_cache(), help="answers that were paid for")
    add("--known", type=Path, nargs="+", default=[], help="further caches, or folders of them, which are only read")
    add("--server-log", type=Path, default=Path("vllm.log"), help="what vLLM says")
    parser.later(lambda: add_options(parser, CaptionOptions))
    parser.later(lambda: add_options(parser, ServerOptions, name="server"))
    parser.later(lambda: add_options(parser, FaultOptions, name="faults"))


def _caption(args: argparse.Namespace) -> None:
    from blendclip.mining.captions.backends import CaptionFiles, captioner_for
    from blendclip.mining.captions.stage import PartFiles, caption_views

    if args.preview is None and args.rejects is None:
        raise UserError("--rejects is needed: the folder for what got no caption")
    options, server = options_from(args, CaptionOptions), options_from(args, ServerOptions, "server")
    captioner = captioner_for(
        options, server, CaptionFiles(args.prompt, args.cache, args.server_log, tuple(args.known))
    )
    if args.preview is not None:
        from blendclip.reporting.caption_sheet import preview

        preview(args.views, args.preview, captioner, args.output)
        return
    parts = [
        PartFiles(
            views,
            args.output / views.name,
            args.rejects / f"{views.stem}.captions.parquet",
            args.statistics and args.statistics / f"{views.stem}.json",
        )
        for views in args.views
    ]
    faults = options_from(args, FaultOptions, "faults")
    caption_views(parts, captioner, options.max_views_per_instance, faults.max_fault_fraction)


def _add_vllm_env(commands: Commands) -> None:
    parser = new_command(commands, "vllm-env", _vllm_env, "make the environment of vLLM with pip")
    parser.add_argument("folder", type=Path, help="e.g. .venv-vllm")
    parser.add_argument("--cpu", action="store_true", help="without a GPU, to try things out")


def _vllm_env(args: argparse.Namespace) -> None:
    from blendclip.mining.captions.environment import make_environment

    sys.stdout.write(f"{make_environment(args.folder, cpu=args.cpu)}\n")
