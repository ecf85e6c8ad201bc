"""Commands that measure trained encoders on benchmarks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blendclip.cli.common import Commands, new_command
from blendclip.results import DEFAULT_ROOT, Results, split_of

if TYPE_CHECKING:
    from blendclip.evaluation.cloud_retrieval import HeldOutTriplets


def add_commands(commands: Commands) -> None:
    """Add the commands of this room."""
    parser = new_command(commands, "evaluate", _evaluate, "classify a benchmark zero-shot with a run or a model")
    add = parser.add_argument
    add("--results", type=Path, default=DEFAULT_ROOT, help="results folder with runs, benchmarks and class weights")
    add("--run", required=True, help="name of the run, or with --model a name for the model")
    add("--benchmark", required=True, help="name of the benchmark, as `blendclip benchmark` wrote it")
    add("--classes", required=True, help="name of the file of prompts/classes that the benchmark was labelled with")
    add("--templates", required=True, help="name of the file of prompts/templates")
    add("--triplets", help="dataset/split of packed triplets of the same clouds, to retrieve clouds by text and image")
    add("--model", type=Path, help="what to measure instead of a run: a model's folder, or a foreign checkpoint")
    add("--up", choices=("x", "y", "z"), help="axis that points up for the model; what its files say by default")
    add("--clip", help="folder name of the CLIP that the model is aligned to; what its files say by default")
    add("--device", help="such as cpu or cuda:1; by default a GPU where there is one")
    add("--threads", type=int, help="of torch on the CPU; its own choice when not given")


def _evaluate(args: argparse.Namespace) -> None:
    import torch

    from blendclip.evaluation.benchmark import check_classes, encoded_benchmark, predictions_of, write_evaluation
    from blendclip.evaluation.class_weights import read_class_weights
    from blendclip.evaluation.subjects import model_subject, run_subject

    if args.threads:
        torch.set_num_threads(args.threads)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    files = Results(args.results)
    if args.model is None:
        subject = run_subject(files.model_weights(args.run), device)
    else:
        subject = model_subject(args.model, device, args.clip, args.up)
    classes = read_class_weights(files.class_weights(subject.clip, args.classes, args.templates))
    subject.check(classes)
    benchmark = files.benchmark(args.benchmark)
    check_classes(benchmark, classes)
    triplets = _triplets(files, subject.clip, args.triplets) if args.triplets else None
    about, features = encoded_benchmark(subject.encoder, benchmark, subject.max_points, subject.up)
    output = files.evaluation(args.run, args.benchmark)
    predictions = predictions_of(about, features, classes)
    names = _names(args) | {"model": subject.foreign}
    numbers = write_evaluation(output, about, predictions, names, *subject.excluded, triplets=triplets)
    sys.stdout.write(f"{args.run} on {args.benchmark}: top-1 {numbers['top1']['value']:.1%}\n")


def _names(args: argparse.Namespace) -> dict[str, object]:
    """What metrics.json says of where its numbers come from."""
    files, names = Results(args.results), (args.run, args.benchmark)
    given = {"model": args.model, "up": args.up, "clip": args.clip}
    command = files.named.commands.evaluate(*names, args.classes, args.templates, args.triplets, **given)
    predictions = files.relative(files.predictions(*names))
    return {"run": args.run, "benchmark": args.benchmark, "command": command, "files": {"predictions": predictions}}


def _triplets(files: Results, clip: str, place: str) -> HeldOutTriplets:
    """Packed triplets, their clouds named as a benchmark names them: by annotation where mined, else by triplet."""
    import numpy as np

    from blendclip.evaluation.cloud_retrieval import HeldOutTriplets
    from blendclip.training.data.packed import PackedSplit

    dataset, split = split_of(place)
    packed = PackedSplit.open(files.root, clip, dataset, split)
    is_mined = files.part("clouds", dataset, split, 0).parent.is_dir()
    ids = list(packed.column("triplet_id"))
    rows = range(len(packed))
    return HeldOutTriplets(
        cloud_ids=[name.removeprefix(f"{dataset}/") for name in ids] if is_mined else ids,
        instances=packed.instances,
        captions=list(packed.column("caption")),
        images_TD=np.array([packed.image(row) for row in rows]),
        texts_TD=np.array([packed.text(row) for row in rows]),
    )
