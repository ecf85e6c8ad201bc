"""Commands that generate, read and draw CAD datasets."""

from __future__ import annotations

import argparse
from pathlib import Path

from blendclip.cli.common import Commands, add_part, add_paths, new_command
from blendclip.cli.flags import add_format, add_options, options_from
from blendclip.datasets.formats import format_named
from blendclip.errors import UserError
from blendclip.options import FaultOptions, plain


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_shapes, _add_cad, _add_cad_sheet):
        add(commands)


def _add_shapes(commands: Commands) -> None:
    parser = new_command(commands, "shapes", _shapes, "generate a folder of meshes of everyday things, with a table")
    add_paths(parser, root="folder to make")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.later(lambda: add_options(parser, format_named("shapes", "cad").generator_options()))


def _shapes(args: argparse.Namespace) -> None:
    from blendclip.synthetic.shapes.generate import generate_shapes
    from blendclip.synthetic.shapes.options import ShapesOptions

    options = options_from(args, ShapesOptions)
    generate_shapes(args.root, **plain(options.variants), seed=options.seed, workers=args.workers)


def _add_cad(commands: Commands) -> None:
    parser = new_command(commands, "cad", _cad, "turn objects of a CAD dataset into triplets and views")
    add_paths(parser, root="the dataset's folder", view_output="Parquet of views", rejects="Parquet of rejects")
    add = parser.add_argument
    add("--dataset", required=True, help="the dataset's name in config.yaml")
    add("--split", required=True, help="split to read")
    add_part(parser, "objects")
    add("--output", type=Path, help="Parquet of triplets to write, with the captions of the source")
    add("--captions", type=Path, help="Parquet of the source's captions of views to write")
    add("--clouds", type=Path, help="Parquet of clouds to write instead of triplets: a model writes captions later")
    add("--embeddings", type=Path, help="Parquet to write of CLIP features in the files, as OpenShape has")
    add_format(parser, "cad")
    parser.later(lambda: add_options(parser, FaultOptions, name="faults"))


def _cad(args: argparse.Namespace) -> None:
    from blendclip.datasets.cad.writing import CadFiles, CadPart, open_reader, write_cad

    if (args.output is None) == (args.clouds is None):
        raise UserError("cad writes triplets (--output) or clouds (--clouds): give one of them")
    options = options_from(args, format_named(args.format, "cad").options_class())
    faults = options_from(args, FaultOptions, "faults")
    files = CadFiles(args.view_output, args.rejects, args.output, args.captions, args.clouds, args.embeddings)
    which = CadPart(args.dataset, args.split, args.part, args.parts)
    write_cad(open_reader(args.format, args.root, options), which, files, options, faults.max_fault_fraction)


def _add_cad_sheet(commands: Commands) -> None:
    parser = new_command(commands, "cad-sheet", _cad_sheet, "draw triplets: view, cloud from two sides, caption")
    parser.add_argument("--triplets", type=Path, nargs="+", required=True, help="Parquet files of triplets")
    parser.add_argument("--output", type=Path, required=True, help="PNG to draw")
    parser.add_argument("--count", type=int, default=24, help="triplets to show, at most")
    parser.add_argument(
        "--per-category",
        type=int,
        help="at most this many of each category; without, spread over the files",
    )


def _cad_sheet(args: argparse.Namespace) -> None:
    from blendclip.reporting.triplet_sheet import draw_sheet

    draw_sheet(args.triplets, args.count, args.output, per_category=args.per_category)
