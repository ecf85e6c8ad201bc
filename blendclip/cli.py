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
    for add in (_add_triplets, _add_summary, _add_shapes, _add_cad, _add_cad_summary, _add_cad_sheet):
        add(commands)
    for add in (_add_show, _add_inspect):
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


def _add_shapes(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "shapes", _shapes, "generate a folder of meshes of everyday things, with a table")
    _paths(parser, root="folder to make")
    parser.add_argument("--train", type=int, default=20, help="variants of each class in split train")
    parser.add_argument("--test", type=int, default=6, help="variants of each class in split test")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other variants")
    parser.add_argument("--workers", type=int, default=1, help="processes")


def _shapes(args: argparse.Namespace) -> None:
    from blendclip.datasets.shapes import generate_shapes

    generate_shapes(args.root, train=args.train, test=args.test, seed=args.seed, workers=args.workers)


def _add_cad(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "cad", _cad, "turn objects of a CAD dataset into triplets and views")
    _paths(
        parser, root="the dataset's folder", views="Parquet of views to write", rejects="Parquet of rejects to write"
    )
    add = parser.add_argument
    add("--format", choices=["meshes", "openshape", "ulip2"], required=True)
    add("--dataset", required=True, help="the dataset's name in config.yaml")
    add("--split", required=True)
    add("--part", type=int, default=0, help="take objects part, part + parts, part + 2 parts ...")
    add("--parts", type=int, default=1)
    add("--output", type=Path, help="Parquet of triplets to write, with the captions of the source")
    add("--captions", type=Path, help="Parquet of the source's captions of views to write")
    add(
        "--clouds",
        type=Path,
        help="Parquet of clouds to write, instead of triplets: captions are made by a model later",
    )
    add("--embeddings", type=Path, help="openshape only: Parquet of the CLIP features in the files, to write")
    add("--up", choices=["x", "y", "z"], help="axis that points up in the files")
    add("--front", help="axis that points ahead in the files: x, y, z, -x, -y or -z")
    add("--views-per-object", type=int, default=12, help="meshes: to render; ulip2: at most so many of the renders")
    add("--unit-m", type=float, default=1.0, help="meshes only: metres in a unit of the files")
    add("--points", type=int, default=10000, help="meshes only: points in a cloud")
    add("--image-px", type=int, default=336, help="meshes only: width and height of a view")
    add("--max-fault-fraction", type=float, default=0.01, help="fail when more of the objects are broken")


def _cad(args: argparse.Namespace) -> None:
    from blendclip.datasets.cad import CadFiles, CadPart, cad_options, open_reader, write_cad

    if (args.output is None) == (args.clouds is None):
        raise UserError("cad writes triplets (--output) or clouds (--clouds): give one of them")
    rendering = {"unit_m": args.unit_m, "points": args.points, "image_px": args.image_px}
    options = cad_options(args.format, {"up": args.up, "front": args.front, "views": args.views_per_object} | rendering)
    files = CadFiles(args.views, args.rejects, args.output, args.captions, args.clouds, args.embeddings)
    which = CadPart(args.dataset, args.split, args.part, args.parts)
    write_cad(open_reader(args.format, args.root, options), which, files, options, args.max_fault_fraction)


def _add_cad_summary(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "cad-summary", _cad_summary, "count the objects, views and rejects of a CAD dataset")
    _paths(parser, results="results folder", output="JSON to write")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--split", required=True)
    parser.add_argument("--parts", type=int, required=True)


def _cad_summary(args: argparse.Namespace) -> None:
    from blendclip.datasets.cad.summary import as_text, summarize_cad

    summary = summarize_cad(args.results, args.dataset, args.split, args.parts, args.output)
    sys.stdout.write(as_text(summary) + "\n")


def _add_cad_sheet(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "cad-sheet", _cad_sheet, "draw triplets: picture, cloud from two sides, caption")
    parser.add_argument("--triplets", type=Path, nargs="+", required=True, help="Parquet files of triplets")
    parser.add_argument("--output", type=Path, required=True, help="PNG to draw")
    parser.add_argument("--count", type=int, default=24, help="triplets to show, at most")
    parser.add_argument("--per-category", type=int, help="show so many of each category; else spread over the files")


def _cad_sheet(args: argparse.Namespace) -> None:
    from blendclip.datasets.cad.sheet import draw_sheet

    draw_sheet(args.triplets, args.count, args.output, per_category=args.per_category)


def _add_show(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "show", _show, "print summaries")
    parser.add_argument("summary", nargs="+", type=Path, help="summary.json")


def _show(args: argparse.Namespace) -> None:
    from blendclip.datasets.cad.summary import as_text as cad_as_text
    from blendclip.mining.summary import as_text

    for path in args.summary:
        summary = json.loads(path.read_text())
        sys.stdout.write((cad_as_text if "cad" in summary else as_text)(summary) + "\n\n")


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
