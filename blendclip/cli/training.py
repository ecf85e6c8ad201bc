"""Commands that train point encoders."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from blendclip.cli.common import Commands, add_paths, new_command
from blendclip.cli.flags import add_options, options_from
from blendclip.encoders.clip_names import ClipOptions
from blendclip.errors import UserError

_STOPPED = 143  # as a shell reports it: 128 + SIGTERM


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_classes, _add_recipe, _add_train, _add_show):
        add(commands)


def _add_classes(commands: Commands) -> None:
    parser = new_command(
        commands, "embed-classes", _classes, "write the text weight of each class, for zero-shot tests"
    )
    add_paths(parser, classes="file of prompts/classes", output="Parquet to write")
    parser.add_argument("--templates", required=True, help="file of prompts/templates, or openai_imagenet")
    parser.later(lambda: add_options(parser, ClipOptions, name="clip"))


def _classes(args: argparse.Namespace) -> None:
    from blendclip.encoders.clip import load_clip
    from blendclip.evaluation.class_weights import write_class_weights

    chosen = options_from(args, ClipOptions, "clip")
    clip = load_clip(chosen.model, chosen.pretrained)
    write_class_weights(args.output, lambda texts: clip.embed_texts(texts).cpu().numpy(), args.classes, args.templates)


def _add_recipe(commands: Commands) -> None:
    parser = new_command(commands, "recipe", _recipe, "check a recipe and write it with every default spelt out")
    parser.add_argument("recipe", help="JSON text, or a JSON file")
    add_paths(parser, output="JSON to write")


def _recipe(args: argparse.Namespace) -> None:
    from blendclip.training.recipe import parsed_recipe, read_recipe, write_recipe

    is_text = args.recipe.lstrip().startswith("{")
    recipe = parsed_recipe(args.recipe, "the recipe") if is_text else read_recipe(Path(args.recipe))
    write_recipe(recipe, args.output)


def _add_train(commands: Commands) -> None:
    parser = new_command(commands, "train", _train, "train a point encoder, or go on where a run was stopped")
    add_paths(
        parser,
        recipe="JSON of `blendclip recipe`",
        results="results folder with packed splits",
        output="folder of the run",
    )
    parser.add_argument("--threads", type=int, help="of torch on the CPU; its own choice when not given")
    parser.add_argument("--workers", type=int, default=0, help="processes that read ahead, for each that trains")
    parser.add_argument(
        "--gpus",
        type=int,
        default=0,
        help="processes to train in on each machine, a GPU each; 0 takes a GPU if there is one",
    )
    parser.add_argument("--nodes", type=int, default=1, help="machines: start this on each, or once by SLURM")
    parser.add_argument("--rendezvous", metavar="HOST:PORT", help="of the first machine; SLURM knows it without")


def _train(args: argparse.Namespace) -> None:
    if "WORLD_SIZE" not in os.environ:
        if args.gpus > 0:
            _check_gpus(args.gpus)
        if args.gpus > 1 or args.nodes > 1:
            _launch(args)
    import torch

    from blendclip.training.recipe import read_recipe
    from blendclip.training.run import train

    if args.threads:
        torch.set_num_threads(args.threads)
    if not train(read_recipe(args.recipe), args.results, args.output, args.workers):
        sys.exit(_STOPPED)


def _launch(args: argparse.Namespace) -> None:
    """Become what starts the processes that train."""
    from blendclip.training import launching

    given = {name: getattr(args, name) for name in ("recipe", "results", "output", "threads", "workers")}
    arguments = ["train", *(f"--{name}={value}" for name, value in given.items() if value is not None)]
    if args.nodes > 1 and args.rendezvous is None and launching.is_outside_of_steps():
        launching.become_srun([*arguments, f"--gpus={args.gpus}", f"--nodes={args.nodes}"], args.nodes)
    meeting = launching.rendezvous_of(args.nodes, args.rendezvous) if args.nodes > 1 else None
    launching.become_torchrun(arguments, max(args.gpus, 1), meeting)


def _check_gpus(wanted: int) -> None:
    """Raise a UserError if there are fewer GPUs than are asked for."""
    import torch

    there = torch.cuda.device_count()
    if there == 0:
        raise UserError(f"--gpus is {wanted}, but torch finds no GPU: leave it out to train on the CPU")
    if there < wanted:
        raise UserError(f"--gpus is {wanted}, but torch finds {there}: ask for as many")


def _add_show(commands: Commands) -> None:
    parser = new_command(commands, "show-runs", _show, "print what trained runs reached")
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")


def _show(args: argparse.Namespace) -> None:
    from blendclip.training.comparison import runs_table

    sys.stdout.write(runs_table(args.runs) + "\n")
