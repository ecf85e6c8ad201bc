"""Commands that generate, index, mine and inspect driving datasets."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from blendclip.cli.common import Commands, add_paths, new_command


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (
        _add_city,
        _add_index,
        _add_validate,
        _add_clouds,
        _add_views,
        _add_triplets,
        _add_summary,
        _add_show,
        _add_inspect,
    ):
        add(commands)


def _add_city(commands: Commands) -> None:
    parser = new_command(commands, "city", _city, "generate a driving dataset: city or citytruck")
    add_paths(parser, root="folder to make")
    parser.add_argument(
        "--rig", choices=["car", "truck"], default="car", help="car writes nuScenes format, truck MAN TruckScenes"
    )
    parser.add_argument("--mini-train", type=int, default=argparse.SUPPRESS, help="scenes of split mini_train")
    parser.add_argument("--mini-val", type=int, default=argparse.SUPPRESS, help="scenes of split mini_val")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another city")
    parser.add_argument("--workers", type=int, default=1, help="processes")


def _city(args: argparse.Namespace) -> None:
    from blendclip.synthetic.city import RIGS, generate_city

    scenes = {split: getattr(args, split, default) for split, default in RIGS[args.rig].scenes.items()}
    generate_city(args.root, rig=args.rig, scenes=scenes, seed=args.seed, workers=args.workers)


def _add_index(commands: Commands) -> None:
    parser = new_command(commands, "index", _index, "write the scene index of a dataset through its devkit")
    add_paths(parser, root="the dataset's folder", output="folder for {split}.parquet")
    parser.add_argument("--format", default="nuscenes", help="nuscenes or truckscenes")
    parser.add_argument("--version", required=True, help="folder of the tables, e.g. v1.0-trainval")
    parser.add_argument("--dataset", required=True, help="the dataset's name in config.yaml")
    parser.add_argument("--splits", nargs="+", required=True, help="official splits")


def _index(args: argparse.Namespace) -> None:
    from blendclip.datasets.drives.index import write_index

    write_index(args.root, args.version, args.dataset, args.splits, args.output, format=args.format)


def _add_validate(commands: Commands) -> None:
    parser = new_command(commands, "validate-index", _validate, "check a scene index against what mining expects of it")
    parser.add_argument("index", type=Path, help="index of one split")
    parser.add_argument(
        "--root", type=Path, help="the dataset's folder, to see whether each sensor's first file is there"
    )


def _validate(args: argparse.Namespace) -> None:
    from blendclip.datasets.drives.validation import validate_index

    sys.stdout.write(f"{args.index}: {validate_index(args.index, args.root)} scenes, nothing wrong\n")


def _part_options(parser: argparse.ArgumentParser) -> None:
    add_paths(
        parser,
        index="scene index of one split",
        root="the dataset's folder",
        output="Parquet to write",
        rejects="Parquet of rejects to write",
    )
    parser.add_argument("--part", type=int, default=0, help="take scenes part, part + parts, part + 2 parts ...")
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--max-fault-fraction", type=float, default=0.01, help="fail when more of the input is broken")


def _add_clouds(commands: Commands) -> None:
    parser = new_command(commands, "clouds", _clouds, "gather the LiDAR points of every annotation")
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


def _add_views(commands: Commands) -> None:
    parser = new_command(commands, "views", _views, "cut the camera crops of annotations")
    _part_options(parser)
    parser.add_argument("--min-visibility", type=int, default=4, help="lowest level, 1 (0-40 %%) to 4 (80-100 %%)")
    parser.add_argument("--min-side-px", type=int, default=50, help="least width and height of a crop")
    parser.add_argument("--jpeg-quality", type=int, default=95)
    parser.add_argument("--partly", action="store_true", help="also boxes that reach out of the image")


def _views(args: argparse.Namespace) -> None:
    from blendclip.mining.views import ViewOptions, cut_views

    options = ViewOptions(args.min_visibility, not args.partly, args.min_side_px, args.jpeg_quality)
    cut_views(args.index, args.root, args.part, args.parts, args.output, args.rejects, options, args.max_fault_fraction)


def _add_triplets(commands: Commands) -> None:
    parser = new_command(commands, "triplets", _triplets, "join clouds, views and captions")
    add_paths(
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


def _add_summary(commands: Commands) -> None:
    parser = new_command(commands, "summary", _summary, "count what was mined and check that the sums add up")
    add_paths(parser, results="results folder", output="JSON to write", synonyms="file of words that name categories")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--split", required=True)
    parser.add_argument("--parts", type=int, required=True)


def _summary(args: argparse.Namespace) -> None:
    from blendclip.mining.summary import as_text, summarize

    summary = summarize(args.results, args.dataset, args.split, args.parts, args.output, args.synonyms)
    sys.stdout.write(as_text(summary) + "\n")


def _add_show(commands: Commands) -> None:
    parser = new_command(commands, "show", _show, "print summaries")
    parser.add_argument("summary", nargs="+", type=Path, help="summary.json")


def _show(args: argparse.Namespace) -> None:
    from blendclip.datasets.cad.summary import as_text as cad_as_text
    from blendclip.mining.summary import as_text

    for path in args.summary:
        summary = json.loads(path.read_text())
        sys.stdout.write((cad_as_text if "cad" in summary else as_text)(summary) + "\n\n")


def _add_inspect(commands: Commands) -> None:
    parser = new_command(
        commands, "inspect", _inspect, "draw a scene: boxes and points in images, clouds, motion, colours"
    )
    add_paths(parser, index="scene index of one split", root="the dataset's folder")
    parser.add_argument("--scene", help="name or number; the first when not given")
    parser.add_argument("--keyframe", type=int, help="its number; the middle one with boxes when not given")
    parser.add_argument("--movers", type=int, default=8, help="moving objects on the sheet of motion")
    parser.add_argument("--output", type=Path, default=Path("inspection"), help="folder for {scene}/*")


def _inspect(args: argparse.Namespace) -> None:
    from blendclip.reporting.inspection.inspect_scene import inspect_scene

    for path in inspect_scene(args.index, args.root, args.output, args.scene, args.keyframe, args.movers):
        sys.stdout.write(f"{path}\n")
