"""Commands that generate, read and draw CAD datasets."""

from __future__ import annotations

import argparse
from pathlib import Path

from blendclip.cli.common import Commands, add_paths, new_command
from blendclip.errors import UserError


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_shapes, _add_cad, _add_cad_sheet):
        add(commands)


def _add_shapes(commands: Commands) -> None:
    parser = new_command(commands, "shapes", _shapes, "generate a folder of meshes of everyday things, with a table")
    add_paths(parser, root="folder to make")
    parser.add_argument("--train", type=int, default=20, help="variants of each class in split train")
    parser.add_argument("--test", type=int, default=6, help="variants of each class in split test")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other variants")
    parser.add_argument("--workers", type=int, default=1, help="processes")


def _shapes(args: argparse.Namespace) -> None:
    from blendclip.synthetic.shapes import generate_shapes

    generate_shapes(args.root, train=args.train, test=args.test, seed=args.seed, workers=args.workers)


def _add_cad(commands: Commands) -> None:
    parser = new_command(commands, "cad", _cad, "turn objects of a CAD dataset into triplets and views")
    add_paths(
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
    from blendclip.datasets.cad.writing import CadFiles, CadPart, cad_options, open_reader, write_cad

    if (args.output is None) == (args.clouds is None):
        raise UserError("cad writes triplets (--output) or clouds (--clouds): give one of them")
    rendering = {"unit_m": args.unit_m, "points": args.points, "image_px": args.image_px}
    options = cad_options(args.format, {"up": args.up, "front": args.front, "views": args.views_per_object} | rendering)
    files = CadFiles(args.views, args.rejects, args.output, args.captions, args.clouds, args.embeddings)
    which = CadPart(args.dataset, args.split, args.part, args.parts)
    write_cad(open_reader(args.format, args.root, options), which, files, options, args.max_fault_fraction)


def _add_cad_sheet(commands: Commands) -> None:
    parser = new_command(commands, "cad-sheet", _cad_sheet, "draw triplets: picture, cloud from two sides, caption")
    parser.add_argument("--triplets", type=Path, nargs="+", required=True, help="Parquet files of triplets")
    parser.add_argument("--output", type=Path, required=True, help="PNG to draw")
    parser.add_argument("--count", type=int, default=24, help="triplets to show, at most")
    parser.add_argument("--per-category", type=int, help="show so many of each category; else spread over the files")


def _cad_sheet(args: argparse.Namespace) -> None:
    from blendclip.reporting.triplet_sheet import draw_sheet

    draw_sheet(args.triplets, args.count, args.output, per_category=args.per_category)
