"""Commands that caption views."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blendclip.cli.common import Commands, new_command
from blendclip.errors import UserError
from blendclip.results import DEFAULT_ROOT, Results

if TYPE_CHECKING:
    from blendclip.mining.captions.stage import PartFiles


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
    add("--backend", default="template", help="template, vllm (started by us) or endpoint (already up)")
    add("--model", default="google/gemma-3-4b-it", help="name or folder of the model")
    add("--cache", type=Path, default=Results(DEFAULT_ROOT).caption_cache(), help="answers that were paid for")
    add("--max-views-per-instance", type=int, help="spread over its track; all when not given")
    add("--max-fault-fraction", type=float, default=0.01, help="fail when more views of a part get no caption")
    add("--max-in-flight", type=int, default=256, help="requests under way at a time")
    add("--timeout-s", type=float, default=300.0, help="for one answer")
    add("--base-url", help="of the endpoint, ends in /v1")
    add("--api-key-env", help="environment variable that holds the endpoint's key")
    add("--vllm-python", default=".venv-vllm/bin/python", help="interpreter of vLLM's environment")
    add("--data-parallel-size", type=int, default=1, help="replicas of the model that vLLM runs")
    add("--vllm-arguments", default="", help="further arguments for vLLM, in one string")
    add("--start-timeout-s", type=float, default=1800.0, help="for vLLM to be ready, download of the model included")
    add("--server-log", type=Path, default=Path("vllm.log"), help="what vLLM says")


def _caption(args: argparse.Namespace) -> None:
    from blendclip.mining.captions.backends import CaptionOptions, captioner_for
    from blendclip.mining.captions.servers import VLLMOptions
    from blendclip.mining.captions.stage import caption_views

    if args.preview is None and args.rejects is None:
        raise UserError("--rejects is needed: the folder for what got no caption")
    vllm_arguments = tuple(shlex.split(args.vllm_arguments))
    vllm = VLLMOptions(args.vllm_python, args.data_parallel_size, vllm_arguments, args.start_timeout_s)
    same = "backend prompt cache model max_in_flight timeout_s base_url api_key_env server_log".split()
    captioner = captioner_for(CaptionOptions(vllm=vllm, **{name: getattr(args, name) for name in same}))
    if args.preview is not None:
        from blendclip.reporting.caption_sheet import preview

        preview(args.views, args.preview, captioner, args.output)
        return
    parts = [_files(args, views) for views in args.views]
    caption_views(parts, captioner, args.max_views_per_instance, args.max_fault_fraction)


def _files(args: argparse.Namespace, views: Path) -> PartFiles:
    """Where the part of a file of views is written."""
    from blendclip.mining.captions.stage import PartFiles

    rejects = args.rejects / f"{views.stem}.captions.parquet"
    statistics = args.statistics and args.statistics / f"{views.stem}.json"
    return PartFiles(views, args.output / views.name, rejects, statistics)


def _add_vllm_env(commands: Commands) -> None:
    parser = new_command(commands, "vllm-env", _vllm_env, "make the environment of vLLM with pip")
    parser.add_argument("folder", type=Path, help="e.g. .venv-vllm")
    parser.add_argument("--cpu", action="store_true", help="without a GPU, to try things out")


def _vllm_env(args: argparse.Namespace) -> None:
    from blendclip.mining.captions.environment import make_environment

    sys.stdout.write(f"{make_environment(args.folder, cpu=args.cpu)}\n")
