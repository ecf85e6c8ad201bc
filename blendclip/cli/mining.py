"""Commands that generate, index, mine and inspect driving datasets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from blendclip.cli.common import CommandParser, Commands, add_part, add_paths, new_command
from blendclip.cli.flags import add_format, add_options, options_from
from blendclip.datasets.formats import Format, format_named, formats_of
from blendclip.mining.options import CloudFaultOptions, CloudOptions, ViewOptions
from blendclip.options import FaultOptions, plain


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (
        _add_city,
        _add_index,
        _add_validate,
        _add_clouds,
        _add_views,
        _add_triplets,
        _add_inspect,
    ):
        add(commands)


def _cities() -> dict[str, Format]:
    """The formats that the command `city` writes, by rig."""
    made = [(one, one.generator.command.partition(" --rig ")) for one in formats_of("drive") if one.generator]
    return {rig: one for one, (command, _, rig) in made if command == "city"}


def _add_city(commands: Commands) -> None:
    parser = new_command(commands, "city", _city, "generate a driving dataset: city, citytruck or cityav2")
    add_paths(parser, root="folder to make")
    about = "car writes nuScenes format, truck MAN TruckScenes, av2 Argoverse 2"
    parser.add_argument("--rig", choices=list(_cities()), default="car", help=about)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.later(lambda: add_options(parser, *dict.fromkeys(one.generator_options() for one in _cities().values())))


def _city(args: argparse.Namespace) -> None:
    from blendclip.synthetic.city.generate import RIGS, generate_city

    options: Any = options_from(args, _cities()[args.rig].generator_options())
    given = {split: count for split, count in plain(options.scenes).items() if count is not None}
    scenes = dict(RIGS[args.rig].scenes) | given
    generate_city(args.root, rig=args.rig, scenes=scenes, seed=options.seed, workers=args.workers)


def _add_index(commands: Commands) -> None:
    parser = new_command(commands, "index", _index, "write the scene index of a dataset")
    add_paths(parser, root="the dataset's folder", output="folder for {split}.parquet")
    add_format(parser, "drive")
    parser.add_argument("--dataset", required=True, help="the dataset's name in config.yaml")
    parser.add_argument("--splits", nargs="+", required=True, help="official splits")


def _index(args: argparse.Namespace) -> None:
    from blendclip.datasets.drives.index import write_index

    options = options_from(args, format_named(args.format, "drive").options_class())
    write_index(args.root, options, args.dataset, args.splits, args.output, format=args.format)


def _add_validate(commands: Commands) -> None:
    parser = new_command(commands, "validate-index", _validate, "check a scene index against what mining expects of it")
    parser.add_argument("index", type=Path, help="index of one split")
    parser.add_argument(
        "--root", type=Path, help="the dataset's folder, to see whether each sensor's first file is there"
    )


def _validate(args: argparse.Namespace) -> None:
    from blendclip.datasets.drives.validation import validate_index

    sys.stdout.write(f"{args.index}: {validate_index(args.index, args.root)} scenes, nothing wrong\n")


def _add_part_of_index(parser: CommandParser) -> None:
    add_paths(
        parser,
        index="scene index of one split",
        root="the dataset's folder",
        output="Parquet to write",
        rejects="Parquet of rejects to write",
    )
    add_part(parser, "scenes")


def _add_clouds(commands: Commands) -> None:
    parser = new_command(commands, "clouds", _clouds, "gather the LiDAR points of every annotation")
    _add_part_of_index(parser)
    parser.later(lambda: add_options(parser, CloudOptions))
    parser.later(lambda: add_options(parser, CloudFaultOptions, name="faults"))


def _clouds(args: argparse.Namespace) -> None:
    from blendclip.mining.clouds import gather_clouds

    options, faults = options_from(args, CloudOptions), options_from(args, CloudFaultOptions, "faults")
    limits = (faults.max_fault_fraction, faults.max_disagree_fraction)
    gather_clouds(args.index, args.root, args.part, args.parts, args.output, args.rejects, options, *limits)


def _add_views(commands: Commands) -> None:
    parser = new_command(commands, "views", _views, "cut the camera crops of annotations")
    _add_part_of_index(parser)
    parser.later(lambda: add_options(parser, ViewOptions))
    parser.later(lambda: add_options(parser, FaultOptions, name="faults"))


def _views(args: argparse.Namespace) -> None:
    from blendclip.mining.views import cut_views

    options, faults = options_from(args, ViewOptions), options_from(args, FaultOptions, "faults")
    paths = (args.output, args.rejects)
    cut_views(args.index, args.root, args.part, args.parts, *paths, options, faults.max_fault_fraction)


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


def _add_inspect(commands: Commands) -> None:
    parser = new_command(
        commands, "inspect", _inspect, "draw a scene: boxes and points in images, clouds, motion, colours"
    )
    add_paths(parser, index="scene index of one split", root="the dataset's folder")
    parser.add_argument("--scene", help="name or number; the first that has files when not given")
    parser.add_argument("--keyframe", type=int, help="its number; the middle one with boxes when not given")
    parser.add_argument("--movers", type=int, default=8, help="moving objects on the sheet of motion")
    parser.add_argument("--output", type=Path, default=Path("inspection"), help="folder for {scene}/*")


def _inspect(args: argparse.Namespace) -> None:
    from blendclip.reporting.inspection.inspect_scene import inspect_scene

    for path in inspect_scene(args.index, args.root, args.output, args.scene, args.keyframe, args.movers):
        sys.stdout.write(f"{path}\n")
