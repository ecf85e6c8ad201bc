"""Commands that run the frozen CLIP."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from blendclip.cli.common import Commands, new_command
from blendclip.cli.flags import add_options, options_from
from blendclip.encoders.clip_names import ClipOptions
from blendclip.results import DEFAULT_ROOT, split_of


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_embed, _add_embed_summary):
        add(commands)


def _add_embed(commands: Commands) -> None:
    parser = new_command(commands, "embed", _embed, "write CLIP features of views and captions")
    add = parser.add_argument
    add("--views", type=Path, nargs="+", required=True, help="Parquet files of views, one for each part")
    add("--captions", type=Path, nargs="+", required=True, help="Parquet files of captions, named as the views")
    add("--output", type=Path, required=True, help="folder for features, named as the views")
    add("--cache", type=Path, help="folder for finished work, to go on after a kill; .cache in the output by default")
    add("--workers", type=int, default=1, help="processes; on a GPU they only decode images")
    add("--batch-size", type=int, help="images in a forward pass; by default 32, on a GPU what it has room for")
    add("--device", help="such as cpu or cuda:1; by default a GPU where there is one")
    parser.later(lambda: add_options(parser, ClipOptions, name="clip"))


def _embed(args: argparse.Namespace) -> None:
    import torch

    from blendclip.encoders.clip import load_clip
    from blendclip.encoders.embedding import embed, parts_of

    parts = parts_of(args.views, args.captions, args.output)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu":
        torch.set_num_threads(1)  # before anything starts threads, which forked workers could not use
    chosen = options_from(args, ClipOptions, "clip")
    clip = load_clip(chosen.model, chosen.pretrained, device)
    embed(parts, clip, args.cache or args.output / ".cache", args.workers, args.batch_size)


def _add_embed_summary(commands: Commands) -> None:
    parser = new_command(commands, "embed-summary", _embed_summary, "count the CLIP features of splits")
    parser.add_argument("--results", type=Path, default=DEFAULT_ROOT, help="results folder")
    parser.add_argument("--clip", required=True, help="folder name of the CLIP")
    parser.add_argument("split", nargs="+", help="dataset/split, such as city/mini_train")


def _embed_summary(args: argparse.Namespace) -> None:
    from blendclip.encoders.summary import embedding_counts

    for split in args.split:
        sys.stdout.write(f"{embedding_counts(args.results, args.clip, *split_of(split))}\n")
