"""Times naming a detector's 40 boxes in a sweep of 35,000 points, ours beside a plain numpy loop, on one core.

    python speed/naming.py [--model results/runs/curriculum]

Without a model the tiny encoder has random weights, which takes as long.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

import blendclip
from blendclip.encoders.model_folder import ClipSource, Description
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.model import Model

POINTS, BOXES = 35_000, 40
CLASSES = "nuscenes"


def main() -> None:
    """Print milliseconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a run or a model")
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = blendclip.load(args.model, device="cpu") if args.model else tiny_model()
    sweep, boxes = street()
    clouds, looped = blendclip.crop(sweep, boxes), crop_by_loop(sweep, boxes)
    same = all(np.allclose(a, b, atol=1e-4) for a, b in zip(clouds, looped, strict=True) if a is not None)
    points = [len(cloud) for cloud in looped]
    print(f"{POINTS:,} points, {BOXES} boxes of {min(points)} to {max(points)}, together {sum(points):,} points")
    print(f"the loop cuts out the same points: {same}")
    weights = model.classifier(CLASSES)
    ours = milliseconds(lambda: blendclip.crop(sweep, boxes), args.repeats)
    loop = milliseconds(lambda: crop_by_loop(sweep, boxes), args.repeats)
    print(f"crop      ours {ours:8.2f} ms   numpy loop {loop:8.2f} ms   {loop / ours:5.1f} x")
    named = milliseconds(lambda: model.classify(clouds, weights), args.repeats)
    alone = milliseconds(lambda: [model.classify([cloud], weights) for cloud in clouds], args.repeats)
    print(f"classify  ours {named:8.2f} ms   one by one {alone:8.2f} ms   {alone / named:5.1f} x")
    print(f"crop and classify {ours + named:.2f} ms")


def tiny_model() -> Model:
    """The tiny encoder of random weights, with the tiny CLIP."""
    encoder = PointBert(PointBertConfig.preset("tiny", out_dim=128))
    return Model(encoder, Description("tiny", 2048, clip=ClipSource("tiny")))


def street(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A sweep (N, 5), mostly ground, and boxes (M, 7) of cars and people, near ones with more points."""
    rng = np.random.default_rng(seed)
    size = np.where(rng.random((BOXES, 1)) < 0.6, [[4.6, 1.9, 1.7]], [[0.7, 0.7, 1.8]])
    angle, range_m = rng.uniform(0, 2 * np.pi, BOXES), rng.uniform(5, 50, BOXES)
    centre = np.column_stack([range_m * np.cos(angle), range_m * np.sin(angle), size[:, 2] / 2 - 1.8])
    boxes = np.column_stack([centre, size, rng.uniform(-np.pi, np.pi, BOXES)])
    counts = (12_000 * size.prod(axis=1) ** (1 / 3) / range_m**2).astype(int) + 3
    surface = np.concatenate([points_of(rng, box, count) for box, count in zip(boxes, counts, strict=True)])
    ground = np.column_stack(
        [rng.normal(0, 25, (POINTS - len(surface), 2)), rng.normal(-1.85, 0.02, POINTS - len(surface))]
    )
    sweep = np.concatenate([surface, ground])[rng.permutation(POINTS)]
    return np.column_stack([sweep, np.zeros((POINTS, 2))]).astype(np.float32), boxes


def points_of(rng: np.random.Generator, box: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """`count` points inside a box."""
    local = rng.uniform(-0.49, 0.49, (count, 3)) * box[3:6]
    cos, sin = np.cos(box[6]), np.sin(box[6])
    return local @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) + box[:3]


def crop_by_loop(sweep: NDArray[np.float32], boxes: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Points in each box, a box at a time."""
    found = []
    for box in boxes:
        cos, sin = np.cos(box[6]), np.sin(box[6])
        local = (sweep[:, :3] - box[:3]) @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        inside = (np.abs(local) <= box[3:6] / 2).all(axis=1)
        found.append(np.column_stack([local[inside], sweep[inside, 3:]]))
    return found


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of `work`, after one run that is not counted."""
    took = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - start))
    return statistics.median(took[1:])


if __name__ == "__main__":
    main()
