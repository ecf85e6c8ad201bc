"""Commands that use a trained model: name clouds, encode them, search them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blendclip.cli.common import Commands, new_command
from blendclip.errors import UserError

if TYPE_CHECKING:
    from blendclip.evaluation.class_weights import ClassWeights
    from blendclip.model import Model

_LISTED = 20


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_name, _add_encode, _add_search):
        add(commands)


def _add_name(commands: Commands) -> None:
    parser = new_command(commands, "name", _name, "name clouds, or a detector's boxes, by the text that is nearest")
    _add_inputs(parser, "*")
    _add_model(parser)
    add = parser.add_argument
    add("--classes", required=True, help="names with commas between them, a YAML file, or a set that ships: nuscenes")
    add("--templates", default="point_cloud", help="YAML file, or templates that ship: plain, point_cloud, ensemble")
    add("--top", type=int, default=5, help="best classes to write for each cloud")
    add("--output", type=Path, required=True, help="Parquet to write: a row for each cloud, with names and scores")
    boxes = parser.add_argument_group("boxes of a detector")
    boxes.add_argument("--boxes", type=Path, help="nuScenes results (.json), or boxes of one sweep (.csv, .parquet)")
    boxes.add_argument("--index", type=Path, help="scene index that the results are of")
    boxes.add_argument("--root", type=Path, help="the dataset's folder")
    boxes.add_argument("--sweeps", type=int, default=10, help="sweeps of each LiDAR in a cloud, up to the keyframe's")
    boxes.add_argument("--json", type=Path, help="results to write with the new names; by default beside the output")
    boxes.add_argument("--html", type=Path, help="page to write: the sweep with its named boxes, and their clouds")


def _name(args: argparse.Namespace) -> None:
    from blendclip.naming.tables import write_names

    if args.boxes:
        _name_boxes(args)
        return
    if not args.inputs:
        raise UserError("there is nothing to name: give files or folders of clouds, or --boxes of a detector")
    model = _loaded(args)
    counts = write_names(model, args.inputs, _weights(model, args), args.output, args.top, args.unit_m)
    if counts.total() <= _LISTED:
        _list_names(args.output)
    told = ", ".join(f"{count} {name or 'empty'}" for name, count in counts.most_common())
    sys.stdout.write(f"{args.output}: {told}\n")


def _name_boxes(args: argparse.Namespace) -> None:
    from blendclip.naming.boxes import name_results, name_sweep

    if args.index is None:
        if len(args.inputs) != 1:
            raise UserError("--boxes needs one sweep that they are of, or --index and --root of a dataset")
        model = _loaded(args)
        named = name_sweep(model, args.inputs[0], args.boxes, _weights(model, args), args.output, args.top)
    else:
        if args.root is None or args.inputs:
            raise UserError("--index takes the sweeps from --root: give that, and no other clouds")
        model = _loaded(args)
        places = {"root": args.root, "output": args.output, "json_output": args.json}
        named = name_results(
            model, args.boxes, args.index, _weights(model, args), **places, sweeps=args.sweeps, top=args.top
        )
    if args.html:
        _write_page(args)
        named.files.append(args.html)
    for path in named.files:
        sys.stdout.write(f"{path}\n")
    sys.stdout.write(f"{named.summary()}\n")


def _write_page(args: argparse.Namespace) -> None:
    from blendclip.naming.page.writing import write_sample_page, write_sweep_page

    if args.index is None:
        write_sweep_page(args.inputs[0], args.output, args.html)
    else:
        write_sample_page(args.index, args.root, args.output, args.html)


def _list_names(path: Path) -> None:
    from blendclip.storage import read_parquet

    for row in read_parquet(path, ["cloud_id", "name", "score"]).to_pylist():
        score = "" if row["score"] is None else f"{row['score']:.3f}"
        sys.stdout.write(f"{row['name'] or 'empty':<24} {score:>6}  {row['cloud_id']}\n")


def _add_encode(commands: Commands) -> None:
    parser = new_command(commands, "encode", _encode, "write the embedding of each cloud")
    _add_inputs(parser, "+")
    _add_model(parser)
    parser.add_argument("--output", type=Path, required=True, help="Parquet to write: a row for each cloud")


def _encode(args: argparse.Namespace) -> None:
    from blendclip.naming.tables import write_embeddings

    count = write_embeddings(_loaded(args), args.inputs, args.output, args.unit_m)
    sys.stdout.write(f"{args.output}: {count} embeddings\n")


def _add_search(commands: Commands) -> None:
    parser = new_command(commands, "search", _search, "find the clouds that are nearest to a text or an image")
    add = parser.add_argument
    add("embeddings", type=Path, help="Parquet of `blendclip encode` or `blendclip name`")
    _add_model(parser)
    add("--text", nargs="+", default=[], help="what to look for")
    add("--image", nargs="+", default=[], type=Path, help="images of what to look for")
    add("--top", type=int, default=10, help="clouds to find for each")
    add("--sheet", type=Path, help="PNG to write, with the clouds that were found")


def _search(args: argparse.Namespace) -> None:
    from blendclip.naming.finding import draw_found, find_clouds

    if not args.text and not args.image:
        raise UserError("there is nothing to look for: give --text or --image")
    found = find_clouds(_loaded(args), args.embeddings, args.text, args.image, args.top)
    for query, hits in found:
        sys.stdout.write(f"{query}\n")
        for hit in hits:
            sys.stdout.write(f"  {hit.score:.3f}  {hit.cloud_id}{f'  ({hit.class_name})' if hit.class_name else ''}\n")
    if args.sheet:
        draw_found(found, args.embeddings, args.sheet)
        sys.stdout.write(f"{args.sheet}\n")


def _add_inputs(parser: argparse.ArgumentParser, count: str) -> None:
    parser.add_argument(
        "inputs", nargs=count, type=Path, help="files of clouds (.pcd, .npy, .ply ...), Parquet with points, or folders"
    )
    parser.add_argument(
        "--unit-m", type=_unit, default=1.0, help="metres in a unit of the clouds, or unknown; boxes are in metres"
    )


def _unit(text: str) -> float | None:
    return None if text == "unknown" else float(text)


def _add_model(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, help="folder of a run or a model, hf-hub:OWNER/NAME, or a foreign checkpoint")
    add("--clip", nargs="+", metavar=("MODEL", "PRETRAINED"), help="what a foreign checkpoint is aligned to")
    add("--device", help="such as cpu or cuda:1; by default a GPU where there is one")
    add("--threads", type=int, help="of torch on the CPU; its own choice when not given")


def _loaded(args: argparse.Namespace) -> Model:
    import torch

    from blendclip.model import load

    if args.threads:
        torch.set_num_threads(args.threads)
    clip = args.clip[0] if args.clip and len(args.clip) == 1 else args.clip and tuple(args.clip[:2])
    return load(args.model, clip=clip, device=args.device)


def _weights(model: Model, args: argparse.Namespace) -> ClassWeights:
    """The classes to choose from."""
    names = args.classes
    if "," in names:
        return model.classifier([name.strip() for name in names.split(",") if name.strip()], args.templates)
    return model.classifier(names, args.templates)
