"""Commands that write a trained model for others, and for where there is no torch."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blendclip.cli.common import Commands, new_command
from blendclip.results import MODEL_WEIGHTS

if TYPE_CHECKING:
    from blendclip.encoders.pointbert import PointBert


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_model, _add_export):
        add(commands)


def _add_model(commands: Commands) -> None:
    parser = new_command(commands, "model", _model, "write the model of a run as a folder to share, with a card")
    parser.add_argument("model", type=Path, help="folder of a run or model, or its .safetensors file")
    parser.add_argument(
        "--metrics",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="metrics.json of `blendclip evaluate` for the card; by default all that there are of the run",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write")


def _model(args: argparse.Namespace) -> None:
    from blendclip.encoders.model_folder import (
        evaluations_beside,
        evaluations_in,
        find_model,
        read_model,
        write_model_folder,
    )

    path = find_model(args.model)
    encoder, about = read_model(path)
    measured = evaluations_in(args.metrics) if args.metrics else evaluations_beside(path)
    write_model_folder(args.output, encoder, replace(about, metrics=about.metrics | measured))
    sys.stdout.write(f"{args.output}: measured on {', '.join(measured) or 'nothing'}\n")


def _add_export(commands: Commands) -> None:
    parser = new_command(commands, "export", _export, "write the point encoder of a model as an ONNX file")
    parser.add_argument(
        "model",
        type=Path,
        help="folder of a run or model, its .safetensors file, or a checkpoint of ULIP, ULIP-2 or BlendCLIP",
    )
    parser.add_argument("--output", type=Path, required=True, help="ONNX file to write")


def _export(args: argparse.Namespace) -> None:
    from blendclip.encoders.export import export_onnx

    encoder, about = _encoder(args.model)
    export_onnx(encoder, args.output, about)
    config = encoder.config
    channels = 6 if config.colors else 3
    sys.stdout.write(
        f"{args.output}: patches (clouds, patches, {config.patch_points}, {channels}), centers (clouds, patches, 3), "
        f"mask (clouds, patches) to embeddings (clouds, {config.out_dim})\n"
    )


def _encoder(model: Path) -> tuple[PointBert, dict[str, Any]]:
    """A point encoder, and what the metadata of an export say of where it comes from."""
    from blendclip.encoders.checkpoints import load_encoder, load_foreign

    weights = model / MODEL_WEIGHTS if model.is_dir() else model
    if weights.suffix == ".safetensors":
        encoder, recipe = load_encoder(weights)
        return encoder, {"recipe": recipe}
    encoder, origin = load_foreign(weights)
    return encoder, {"origin": origin}
