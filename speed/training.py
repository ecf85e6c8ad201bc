"""Training steps against those of the reference recipe: same encoder, same weights, same clouds, one process, one run.

    python speed/training.py                        # on a CPU: narrow encoder, about two minutes
    python speed/training.py --preset base          # on a GPU the default, in batches of 512; on a CPU ten minutes
    python speed/training.py --results results --clip tiny --synthetic shapes/train --real city/mini_train

Ours is what `blendclip train` does: features of CLIP computed before, clouds end to end, occluded and thinned where
they are read. The reference recipe is that of `reference.py`: CLIP in the loop, every cloud of max_points points.

Prints samples/s of both for a batch of the curriculum's middle, of CAD alone and of LiDAR alone, and the share of a
known GPU's peak that ours takes (model FLOPs, see `step_flops`); then where the time of a sample goes, when each stage
is waited for. `without CLIP` is the ratio to the reference less its CLIP. Of ours the rate is that of steps one after
another, as a run takes them, after some to warm up; of the reference a median. On a CPU seconds of this process in one
thread, so that what else runs counts little.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

os.environ["OMP_NUM_THREADS"] = "1"

import figures
import numpy as np
import open_clip
import torch
from packed import generate
from reference import Clock, Reference, Samples, check_same, update

from blendclip.encoders import pointbert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.training.data.batches import Batch, loader
from blendclip.training.data.mixture import Mixture
from blendclip.training.data.packed import PackedSplit
from blendclip.training.distributed import Group
from blendclip.training.loop import Training
from blendclip.training.pace import Pace
from blendclip.training.recipe import Data, Epochs, Recipe

STAGES = ("reading", "augmentation", "CLIP", "grouping", "forward", "backward", "optimizer")
SIDES = ("ours", "reference")


def step_flops(config: PointBertConfig, counts: Sequence[int]) -> float:
    """FLOPs of forward and backward pass of the encoder, for clouds of `counts` patches, counted by hand.

    A product and a sum of a matrix product are two; all else is left out. The backward pass takes two products for each
    of the forward pass. With K points of a patch, C channels, e the width of the mini-PointNet, D and L width and depth
    of the transformer, m its MLP's ratio and O the width of the features, the products are
      of a point of a patch: C e/2 + e/2 e (local), e 2e + 2e e (joint)
      of a patch:            e 2e (joint, the patch's maximum), e D, 3 128 + 128 D (position)
      of a token:            L (3 D^2 + D^2 + 2 m D^2), and 2 T D L for attention among T tokens
      of a cloud:            2 D O
    A base cloud of 512 patches takes 110 GFLOP, one of 2 patches 0.5.
    """
    e, width, depth, channels = config.encoder_width, config.width, config.depth, 6 if config.colors else 3
    of_point = channels * e // 2 + e // 2 * e + 4 * e * e
    of_patch = config.patch_points * of_point + 2 * e * e + e * width + 3 * 128 + 128 * width
    of_token = depth * width * width * (4 + 2 * config.mlp_ratio)
    tokens = np.asarray(counts) + 1
    attention = 2 * width * depth * (tokens.astype(float) ** 2).sum()
    products = of_patch * sum(counts) + of_token * tokens.sum() + attention
    return 6 * (products + len(tokens) * 2 * width * config.out_dim)


class Ours:
    """Steps of `Training`."""

    def __init__(self, training: Training, workers: int, clock: Clock) -> None:
        self._training, self._clock = training, clock
        self._reader = loader(training.batches, 0, workers, training.group.device.type == "cuda")
        self.patches: list[float] = []
        self.flops, self.waiting = 0.0, 0.0

    def run(self, steps: int) -> float:
        """Seconds of a step, of several one after another; nothing waits for the device between them."""
        device, now, pace = self._training.group.device, figures.clock(self._training.group.device), Pace()
        reader = self._counted()
        self.flops = 0.0
        figures.wait(device)
        start = now()
        for _ in range(steps):
            self._training._train_step(self._training.model, reader, pace)
            pace.step(self._training.recipe.batch_size)
        figures.wait(device)
        seconds = (now() - start) / steps
        numbers = pace.read()
        self.waiting = numbers["data_wait_s"] / numbers["step_s"]
        return seconds

    def _counted(self) -> Iterator[Batch]:
        for batch in self._reader:
            self.flops += step_flops(self._training.recipe.encoder, batch.plan.division.counts)
            yield batch

    def step(self) -> None:
        """One step."""
        training, clock = self._training, self._clock
        batch = next(self._reader).to(training.group.device)
        clock.mark("reading")
        batch = training._seen(batch)
        clock.mark("augmentation")
        with mock.patch.object(pointbert, "grouped", self._grouped):
            update(
                training.model,
                training.optimizer,
                training.recipe,
                clock,
                lambda: (*training.model(batch, training._draws(batch)), batch.images, batch.texts),
            )

    def _grouped(self, *args: object) -> object:
        self._clock.mark("forward")
        patches = GROUPED(*args)
        self._clock.mark("grouping")
        self.patches.append(np.mean(patches.counts))
        return patches


GROUPED = pointbert.grouped


def medians(side: Ours | Reference, steps: int, clock: Clock) -> dict[str, float]:
    """Milliseconds of each stage of a step, the median over steps after one to warm up, and of the whole."""
    taken = []
    for _ in range(steps + 1):
        clock.start()
        side.step()
        taken.append([clock.seconds[stage] for stage in STAGES] + [sum(clock.seconds.values())])
    return dict(zip((*STAGES, "whole"), 1000 * np.median(taken[1:], axis=0), strict=True))


def generated(folder: Path) -> dict[str, list[tuple[str, PackedSplit]]]:
    """Splits of each domain, by name: CAD objects of 10,000 points; LiDAR clouds of 5 to 2,000, most of them small."""
    sizes = np.exp(np.random.default_rng(2).uniform(np.log(5), np.log(2000), 512)).astype(int).tolist()
    return {
        "synthetic": [("cad/train", generate(folder / "cad", [10_000] * 64, 1, 12))],
        "real": [("lidar/train", generate(folder / "lidar", sizes, 4, 12))],
    }


def opened(args: argparse.Namespace) -> dict[str, list[tuple[str, PackedSplit]]]:
    """Splits of each domain from a results folder."""
    return {
        domain: [(name, PackedSplit.open(args.results, args.clip, *name.split("/"))) for name in getattr(args, domain)]
        for domain in ("synthetic", "real")
    }


def trainings(
    args: argparse.Namespace, data: dict[str, list[tuple[str, PackedSplit]]]
) -> Iterator[tuple[str, Training, Training]]:
    """Two trainings for each mixture of batches, of ours and of the reference's size."""
    splits = [split for domain in data.values() for _, split in domain]
    names = {domain: tuple(name for name, _ in named) for domain, named in data.items()}
    changes = {"max_patches": args.max_patches, "out_dim": len(splits[0].text(0))}
    for title, share in ((f"{args.real_share:.0%} LiDAR", args.real_share), ("CAD alone", 0.0), ("LiDAR alone", 1.0)):
        recipe = Recipe(
            clip=args.clip,
            data=Data(**names, max_points=args.max_points, min_points=5),
            encoder=PointBertConfig.preset(args.preset, **changes),
            mixture=Mixture("constant", share, warmup=0),
            epochs=Epochs(count=1000),
            batch_size=args.batch_size,
            same_caption=0.97,
        )
        group = Group(0, 1, torch.device(args.device))
        smaller = replace(recipe, batch_size=args.reference_batch_size or args.batch_size)
        yield title, Training(recipe, splits, group), Training(smaller, splits, group)


def main() -> None:
    """Time both sides and print the tables."""
    args = arguments()
    torch.set_num_threads(1)
    device = torch.device(args.device)
    clip = open_clip.create_model("ViT-B-16").eval().requires_grad_(False).to(device)
    with tempfile.TemporaryDirectory() as folder:
        data = opened(args) if args.results else generated(Path(folder))
        splits = [split for domain in data.values() for _, split in domain]
        name = figures.named(device)
        print(f"{args.preset} encoder, up to {args.max_patches} patches, {args.max_points} points, on {name}")
        print(f"{args.steps} steps of {args.batch_size} samples after as many to warm up; samples/s\n")
        head = f"{'batch':<14}{'ours':>9}{'reference':>11}{'ratio':>8}{'without CLIP':>14}{'patches':>9}{'of':>6}"
        print(f"{head}{'TFLOP/s':>9}{'of peak':>9}")
        tables, reached = {}, {}
        for title, training, smaller in trainings(args, data):
            clock = Clock(device)
            check_same(training, splits)
            ours = Ours(training, args.workers, clock)
            taken = {"ours": medians(ours, args.steps, clock)}
            taken["ours"]["whole"] = 1000 * ours.run(args.steps)
            reference = Reference(smaller, Samples(smaller, splits), clip, args.workers, clock)
            taken["reference"] = medians(reference, args.steps, clock)
            tables[title] = {"ours": shared(taken["ours"], training), "reference": shared(taken["reference"], smaller)}
            tflops = ours.flops / args.steps / taken["ours"]["whole"] / 1e9
            print_rates(title, tables[title], args, float(np.mean(ours.patches[1:])), tflops)
            reached |= reached_by(title, tables[title], tflops, device)
            reached[f"training, {title}, waiting for data of step"] = ours.waiting
        print_stages(tables)
        figures.write(args.figures, reached)


def shared(taken: dict[str, float], training: Training) -> dict[str, float]:
    """Milliseconds of a sample, of those of a step."""
    return {stage: ms / training.recipe.batch_size for stage, ms in taken.items()}


def reached_by(title: str, sides: dict[str, dict[str, float]], tflops: float, device: torch.device) -> dict[str, float]:
    """The figures of a kind of batches, by name."""
    ours, peak = sides["ours"], figures.peak_tflops(device)
    found = {
        f"training, {title}, samples/s": 1000 / ours["whole"],
        f"training, {title}, x reference": sides["reference"]["whole"] / ours["whole"],
        f"training, {title}, grouping of step": ours["grouping"] / sum(ours[stage] for stage in STAGES[1:]),
    }
    return found | ({f"training, {title}, MFU": tflops / peak} if peak else {})


def print_rates(
    title: str, sides: dict[str, dict[str, float]], args: argparse.Namespace, patches: float, tflops: float
) -> None:
    """A line of the first table."""
    ours, reference = (sides[side]["whole"] for side in SIDES)
    without, peak = (reference - sides["reference"]["CLIP"]) / ours, figures.peak_tflops(torch.device(args.device))
    share = f"{tflops / peak:.1%}" if peak else "-"
    rates = "".join(f"{1000 / ms:{width}.2f}" for ms, width in ((ours, 9), (reference, 11)))
    ratios = f"{reference / ours:>7.1f}x{without:>13.1f}x{patches:>9.0f}{args.max_patches:>6}"
    print(f"{title:<14}{rates}{ratios}{tflops:>9.2f}{share:>9}", flush=True)


def print_stages(tables: dict[str, dict[str, dict[str, float]]]) -> None:
    """Where the time goes."""
    print(f"\n{'milliseconds a sample':<32}" + "".join(f"{stage:>14}" for stage in STAGES))
    for title, sides in tables.items():
        for side, taken in sides.items():
            print(f"{title:<20}{side:<12}" + "".join(f"{taken[stage]:>14.3f}" for stage in STAGES))


def arguments() -> argparse.Namespace:
    """What to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_gpu = figures.add_arguments(parser)
    parser.add_argument("--preset", default="base" if on_gpu else "tiny", help="of the encoder: tiny or base")
    parser.add_argument("--max-patches", type=int, default=512)
    parser.add_argument("--max-points", type=int, default=8192)
    parser.add_argument("--batch-size", type=int, default=512 if on_gpu else 8)
    parser.add_argument(
        "--reference-batch-size", type=int, default=64 if on_gpu else None, help="of its padded batches"
    )
    parser.add_argument("--steps", type=int, default=100 if on_gpu else 3)
    workers = max(1, (os.cpu_count() or 1) - 2) if on_gpu else 0
    parser.add_argument("--workers", type=int, default=workers, help="processes that read, for both sides")
    parser.add_argument("--real-share", type=float, default=0.15, help="of the first line's batches")
    parser.add_argument("--results", type=Path, help="packed data to take; generated when not given")
    parser.add_argument("--clip", default="tiny", help="folder name in results")
    parser.add_argument("--synthetic", nargs="+", default=["shapes/train"], help="dataset/split in results")
    parser.add_argument("--real", nargs="+", default=["city/mini_train"], help="dataset/split in results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
