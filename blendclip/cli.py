"""The command `blendclip`: one subcommand for each stage, each of which also works by hand.

Imports of a stage happen in its function, so that no job waits for the libraries of another.
"""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from blendclip import __version__
from blendclip.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; return the exit status: 0, or 1 after one sentence on what is wrong."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
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
    for add in (_add_city, _add_index, _add_validate, _add_clouds, _add_views, _add_caption, _add_vllm_env):
        add(commands)
    for add in (_add_triplets, _add_summary, _add_show, _add_inspect):
        add(commands)
    return parser


def _command(commands: argparse._SubParsersAction, name: str, run: Callable, about: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=about, description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.set_defaults(run=run)
    return parser


def _paths(parser: argparse.ArgumentParser, **helps: str) -> None:
    for name, about in helps.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=about)


def _add_city(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "city", _city, "generate a driving dataset: city or citytruck")
    _paths(parser, root="folder to make")
    parser.add_argument(
        "--rig", choices=["car", "truck"], default="car", help="car writes nuScenes format, truck MAN TruckScenes"
    )
    parser.add_argument("--mini-train", type=int, default=argparse.SUPPRESS, help="scenes of split mini_train")
    parser.add_argument("--mini-val", type=int, default=argparse.SUPPRESS, help="scenes of split mini_val")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another city")
    parser.add_argument("--workers", type=int, default=1, help="processes")


def _city(args: argparse.Namespace) -> None:
    from blendclip.datasets.city import RIGS, generate_city

    scenes = {split: getattr(args, split, default) for split, default in RIGS[args.rig].scenes.items()}
    generate_city(args.root, rig=args.rig, scenes=scenes, seed=args.seed, workers=args.workers)


def _add_index(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "index", _index, "write the scene index of a dataset through its devkit")
    _paths(parser, root="the dataset's folder", output="folder for {split}.parquet")
    parser.add_argument("--format", default="nuscenes", help="nuscenes or truckscenes")
    parser.add_argument("--version", required=True, help="folder of the tables, e.g. v1.0-trainval")
    parser.add_argument("--dataset", required=True, help="the dataset's name in config.yaml")
    parser.add_argument("--splits", nargs="+", required=True, help="official splits")


def _index(args: argparse.Namespace) -> None:
    from blendclip.datasets import write_index

    write_index(args.root, args.version, args.dataset, args.splits, args.output, format=args.format)


def _add_validate(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "validate-index", _validate, "check a scene index against what mining expects of it")
    parser.add_argument("index", type=Path, help="index of one split")
    parser.add_argument(
        "--root", type=Path, help="the dataset's folder, to see whether each sensor's first file is there"
    )


def _validate(args: argparse.Namespace) -> None:
    from blendclip.datasets.validation import validate_index

    sys.stdout.write(f"{args.index}: {validate_index(args.index, args.root)} scenes, nothing wrong\n")


def _part_options(parser: argparse.ArgumentParser) -> None:
    _paths(
        parser,
        index="scene index of one split",
        root="the dataset's folder",
        output="Parquet to write",
        rejects="Parquet of rejects to write",
    )
    parser.add_argument("--part", type=int, default=0, help="take scenes part, part + parts, part + 2 parts ...")
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--max-fault-fraction", type=float, default=0.01, help="fail when more of the input is broken")


def _add_clouds(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "clouds", _clouds, "gather the LiDAR points of every annotation")
    _part_options(parser)
    parser.add_argument("--sweeps", type=int, default=10, help="sweeps of each LiDAR, up to the keyframe's")
    motions = ["per_point", "interpolate", "none"]
    parser.add_argument("--motion", choices=motions, default="per_point", help="of ego and boxes over sweeps")
    parser.add_argument("--min-points", type=int, default=1, help="fewer make a reject")
    parser.add_argument("--colors", action="store_true", help="colour the points from the cameras that see them")


def _clouds(args: argparse.Namespace) -> None:
    from blendclip.mining.clouds import CloudOptions, gather_clouds

    options = CloudOptions(args.sweeps, args.motion, args.min_points, args.colors)
    gather_clouds(
        args.index, args.root, args.part, args.parts, args.output, args.rejects, options, args.max_fault_fraction
    )


def _add_views(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "views", _views, "cut the camera crops of annotations")
    _part_options(parser)
    parser.add_argument("--min-visibility", type=int, default=4, help="lowest level, 1 (0-40 %%) to 4 (80-100 %%)")
    parser.add_argument("--min-side-px", type=int, default=50, help="least width and height of a crop")
    parser.add_argument("--jpeg-quality", type=int, default=95)
    parser.add_argument("--partly", action="store_true", help="also boxes that reach out of the image")


def _views(args: argparse.Namespace) -> None:
    from blendclip.mining.views import ViewOptions, cut_views

    options = ViewOptions(args.min_visibility, not args.partly, args.min_side_px, args.jpeg_quality)
    cut_views(args.index, args.root, args.part, args.parts, args.output, args.rejects, options, args.max_fault_fraction)


def _add_caption(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "caption", _caption, "write a caption for every view, or preview some")
    add = parser.add_argument
    add("--views", type=Path, nargs="+", required=True, help="Parquet files of views, one for each part")
    add("--prompt", type=Path, required=True, help="file of prompts/caption")
    add("--output", type=Path, required=True, help="folder for captions, named as the views; with --preview a PNG")
    add("--rejects", type=Path, help="folder for {views' name}.captions.parquet, needed but for --preview")
    add("--preview", type=int, metavar="N", help="only draw a contact sheet of N views with their captions")
    add("--backend", default="template", help="template, vllm (started by us) or endpoint (already up)")
    add("--model", default="google/gemma-3-4b-it", help="name or folder of the model")
    add("--cache", type=Path, default=Path("results/caches/captions.sqlite"), help="answers that were paid for")
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
    from blendclip.mining.captions import PartFiles, caption_views
    from blendclip.mining.captions.backends import CaptionOptions, captioner_for
    from blendclip.mining.captions.servers import VLLMOptions

    if args.preview is None and args.rejects is None:
        raise UserError("--rejects is needed: the folder for what got no caption")
    vllm_arguments = tuple(shlex.split(args.vllm_arguments))
    vllm = VLLMOptions(args.vllm_python, args.data_parallel_size, vllm_arguments, args.start_timeout_s)
    same = "backend prompt cache model max_in_flight timeout_s base_url api_key_env server_log".split()
    captioner = captioner_for(CaptionOptions(vllm=vllm, **{name: getattr(args, name) for name in same}))
    if args.preview is not None:
        from blendclip.mining.captions.sheet import preview

        preview(args.views, args.preview, captioner, args.output)
        return
    parts = [
        PartFiles(path, args.output / path.name, args.rejects / f"{path.stem}.captions.parquet") for path in args.views
    ]
    caption_views(parts, captioner, args.max_views_per_instance, args.max_fault_fraction)


def _add_vllm_env(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "vllm-env", _vllm_env, "make the environment of vLLM with pip")
    parser.add_argument("folder", type=Path, help="e.g. .venv-vllm")
    parser.add_argument("--cpu", action="store_true", help="without a GPU, to try things out")


def _vllm_env(args: argparse.Namespace) -> None:
    from blendclip.mining.captions.environment import make_environment

    sys.stdout.write(f"{make_environment(args.folder, cpu=args.cpu)}\n")


def _add_triplets(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "triplets", _triplets, "join clouds, views and captions")
    _paths(
        parser,
        clouds="Parquet of clouds",
        views="Parquet of views",
        captions="Parquet of captions",
        output="Parquet to write",
        rejects="Parquet of rejects to write",
    )


def _triplets(args: argparse.Namespace) -> None:
    from blendclip.mining.triplets import join_triplets

    join_triplets(args.clouds, args.views, args.captions, args.output, args.rejects)


def _add_summary(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "summary", _summary, "count what was mined and check that the sums add up")
    _paths(parser, results="results folder", output="JSON to write", synonyms="file of words that name categories")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--split", required=True)
    parser.add_argument("--parts", type=int, required=True)


def _summary(args: argparse.Namespace) -> None:
    from blendclip.mining.summary import as_text, summarize

    summary = summarize(args.results, args.dataset, args.split, args.parts, args.output, args.synonyms)
    sys.stdout.write(as_text(summary) + "\n")


def _add_show(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "show", _show, "print summaries")
    parser.add_argument("summary", nargs="+", type=Path, help="summary.json")


def _show(args: argparse.Namespace) -> None:
    from blendclip.mining.summary import as_text

    for path in args.summary:
        sys.stdout.write(as_text(json.loads(path.read_text())) + "\n\n")


def _add_inspect(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands, "inspect", _inspect, "draw a scene: boxes and points in images, clouds, motion, colours"
    )
    _paths(parser, index="scene index of one split", root="the dataset's folder")
    parser.add_argument("--scene", help="name or number; the first when not given")
    parser.add_argument("--keyframe", type=int, help="its number; the middle one with boxes when not given")
    parser.add_argument("--movers", type=int, default=8, help="moving objects on the sheet of motion")
    parser.add_argument("--output", type=Path, default=Path("inspection"), help="folder for {scene}/*")


def _inspect(args: argparse.Namespace) -> None:
    from blendclip.reporting.inspection import inspect_scene

    for path in inspect_scene(args.index, args.root, args.output, args.scene, args.keyframe, args.movers):
        sys.stdout.write(f"{path}\n")
