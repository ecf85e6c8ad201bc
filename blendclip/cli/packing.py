"""Commands that pack triplets and embeddings for training."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from blendclip.cli.common import Commands, add_paths, new_command
from blendclip.errors import UserError
from blendclip.results import DEFAULT_ROOT


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_pack_clouds, _add_pack_features, _add_show_packed):
        add(commands)


def _add_pack_clouds(commands: Commands) -> None:
    parser = new_command(commands, "pack-clouds", _pack_clouds, "pack the clouds of a part, for any CLIP")
    add_paths(parser, triplets="Parquet of triplets", output="Arrow file to write")


def _pack_clouds(args: argparse.Namespace) -> None:
    from blendclip.training.data.packing import pack_clouds

    pack_clouds(args.triplets, args.output)


def _add_pack_features(commands: Commands) -> None:
    parser = new_command(commands, "pack-features", _pack_features, "pack the features that a CLIP gave for a part")
    add_paths(
        parser,
        triplets="Parquet of triplets",
        views="Parquet of views",
        captions="Parquet of captions",
        embeddings="Parquet of embeddings",
        output="Arrow file to write",
    )


def _pack_features(args: argparse.Namespace) -> None:
    from blendclip.training.data.packing_features import FeatureSources, pack_features

    pack_features(FeatureSources(args.triplets, args.views, args.captions, args.embeddings), args.output)


def _add_show_packed(commands: Commands) -> None:
    parser = new_command(commands, "show-packed", _show_packed, "check that packed files fit together, and count")
    parser.add_argument("--results", type=Path, default=DEFAULT_ROOT, help="results folder")
    parser.add_argument("--clip", required=True, help="folder name of the CLIP")
    parser.add_argument("split", nargs="+", help="dataset/split:parts, such as city/mini_train:2")


def _show_packed(args: argparse.Namespace) -> None:
    from blendclip.storage import check_arrow
    from blendclip.training.data.packed import PackedSplit, split_summary

    for place in args.split:
        match = re.fullmatch(r"([^/]+)/([^/:]+):(\d+)", place)
        if match is None:
            raise UserError(f"{place!r} names no split: write dataset/split:parts, such as city/mini_train:2")
        split = PackedSplit.open(args.results, args.clip, match[1], match[2], parts=int(match[3]))
        for path in (*split.clouds, *split.features):
            check_arrow(path)
        sys.stdout.write(f"{match[1]}/{match[2]}: {split_summary(split)}\n")
