"""Commands that train the tiny CLIP, and that test any CLIP on pictures and captions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blendclip.cli.common import Commands, add_paths, new_command
from blendclip.errors import UserError
from blendclip.results import Results, split_of

if TYPE_CHECKING:
    from blendclip.evaluation.prompts import MergedClasses

TRAINING = ["shapes/train", "city/mini_train", "citytruck/mini_train"]
HELD_OUT = ["shapes/test", "city/mini_val", "citytruck/mini_val"]
CLASSES = [f"prompts/classes/{name}.yaml" for name in ("shapes", "city", "truckscenes")]
TEMPLATES = [f"prompts/templates/{name}.yaml" for name in ("plain", "point_cloud", "ensemble")]
TEST_TEMPLATES = ["prompts/templates/ensemble.yaml"]
_NOTE = (
    "Trained from random weights on generated pictures and captions: it knows their classes and little else, and its "
    "numbers say nothing about real streets. Weights are those of the last step; held-out splits were read after it."
)


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    for add in (_add_evaluate_clip, _add_train_tiny_clip):
        add(commands)


def _add_evaluate_clip(commands: Commands) -> None:
    about = "test a CLIP on views and their captions: zero-shot classes, retrieval both ways"
    parser = new_command(commands, "evaluate-clip", _evaluate_clip, about)
    _add_common(parser, HELD_OUT, TEST_TEMPLATES)
    parser.add_argument("--model", default="tiny", help="tiny, a name of open_clip, or local-dir:FOLDER")
    parser.add_argument("--pretrained", help="weights of a model by name: a tag of open_clip or a file")


def _evaluate_clip(args: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(args.threads)
    classes = _classes(args.classes)
    numbers = _tested(args.model, args.pretrained, args, args.splits, classes, args.templates)
    _print(numbers, classes)


def _add_train_tiny_clip(commands: Commands) -> None:
    about = "train the tiny CLIP from scratch on generated data, test it, write its recipe"
    parser = new_command(commands, "train-tiny-clip", _train_tiny_clip, about)
    _add_common(parser, TRAINING, [*TEMPLATES, "openai_imagenet"])
    add_paths(parser, output="folder for the model as open_clip's local-dir, with recipe.json")
    parser.add_argument("--held-out", nargs="+", default=HELD_OUT, metavar="DATASET/SPLIT", help="to test on, once")
    parser.add_argument("--test-templates", nargs="+", default=TEST_TEMPLATES, help="templates to test with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="batches to train on, by default those of the shipped model")


def _train_tiny_clip(args: argparse.Namespace) -> None:
    import torch

    from blendclip.training import tiny_clip
    from blendclip.training.tiny_data import read_training_views

    if both := sorted(set(args.splits) & set(args.held_out)):
        raise UserError(f"{', '.join(both)} would be trained and tested on: take it out of --splits or --held-out")
    torch.set_num_threads(args.threads)
    classes, templates = _classes(args.classes), _templates(args.templates)
    recipe = tiny_clip.TinyRecipe(seed=args.seed, **({} if args.steps is None else {"steps": args.steps}))
    splits = [split_of(name) for name in args.splits]
    views = read_training_views(args.results, splits, classes.names, classes.words, recipe.stored_px)
    model = tiny_clip.train_tiny_clip(recipe, views, classes.words, templates, args.device)
    tiny_clip.save_tiny_clip(model, recipe, args.output)
    name = f"local-dir:{args.output}"
    numbers = _tested(name, None, args, args.held_out, classes, args.test_templates)
    test = {"command": _test_command(args), "classes": len(classes.words), "numbers": _rounded(numbers)}
    about = {"note": _NOTE, **tiny_clip.made_by(recipe, views), "texts": [*args.classes, *args.templates], "test": test}
    tiny_clip.write_json(args.output / "recipe.json", about)
    _print(numbers, classes)


def _test_command(args: argparse.Namespace) -> str:
    """What prints the numbers again, for people who have the folder and the results elsewhere."""
    chosen = (args.held_out, args.classes, args.test_templates)
    return Results("RESULTS").commands.evaluate_clip("local-dir:FOLDER", *chosen)


def _add_common(parser: argparse.ArgumentParser, splits: list[str], templates: list[str]) -> None:
    add = parser.add_argument
    add_paths(parser, results="results folder, with views and captions")
    add("--splits", nargs="+", default=splits, metavar="DATASET/SPLIT")
    add("--classes", nargs="+", default=CLASSES, help="files of class names, taken as one set to choose from")
    add("--templates", nargs="+", default=templates, help="files of templates or openai_imagenet, all together")
    add("--device", default="cpu", help="cpu, cuda ...")
    add("--threads", type=int, default=2, help="of the CPU")


def _tested(
    model: str,
    pretrained: str | None,
    args: argparse.Namespace,
    splits: list[str],
    classes: MergedClasses,
    templates: list[str],
) -> dict[str, dict[str, Any]]:
    from blendclip.encoders.clip import load_clip
    from blendclip.evaluation.image_text import evaluate_image_text

    clip = load_clip(model, pretrained, args.device)
    return evaluate_image_text(clip, args.results, [split_of(name) for name in splits], classes, _templates(templates))


def _print(numbers: dict[str, dict[str, Any]], classes: MergedClasses) -> None:
    from blendclip.evaluation.image_text import image_text_table

    sys.stdout.write(image_text_table(numbers, len(classes.words)) + "\n")


def _classes(paths: list[str]) -> MergedClasses:
    from blendclip.evaluation.prompts import merged_classes, read_classes

    return merged_classes([read_classes(Path(path)) for path in paths])


def _templates(sources: list[str]) -> list[str]:
    from blendclip.evaluation.prompts import read_templates

    return list(dict.fromkeys(template for source in sources for template in read_templates(source)))


def _rounded(numbers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        split: {name: round(value, 4) if isinstance(value, float) else value for name, value in one.items()}
        for split, one in numbers.items()
    }
