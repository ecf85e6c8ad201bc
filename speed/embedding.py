"""How fast the embedding stage is beside the model's bare forward pass.

    python speed/embedding.py                            # 32 generated crops by ViT-B-16
    python speed/embedding.py --model ViT-L-14 --pretrained laion2b_s32b_b82k --device cuda --workers 16 \\
        --views results/views/city/mini_train/part-*.parquet

The stage reads Parquet, decodes and resizes pictures, runs the model and writes features; the bare pass runs the same
model on the same number of pictures which are ready on the device, in batches of the same size. Both take turns, in one
process with one thread on a CPU; on a GPU `--workers` processes decode. Prints pictures per second of both, and the
ratio. Weights are random where none are named: they change no time.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import figures
import numpy as np
import open_clip
import pyarrow.parquet as pq
import simplejpeg
import torch
from PIL import Image

from blendclip import schemas, storage
from blendclip.encoders.clip import Clip, largest_batch, load_clip
from blendclip.encoders.embedding import embed, parts_of


def main() -> None:
    """Time both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    figures.add_arguments(parser)
    parser.add_argument("--model", default="ViT-B-16")
    parser.add_argument("--pretrained", help="tag or file; random weights when not given")
    parser.add_argument("--views", type=Path, nargs="+", help="Parquet files of views; generated crops when not given")
    parser.add_argument("--pictures", type=int, default=32, help="crops to generate")
    parser.add_argument("--workers", type=int, default=1, help="on a GPU, processes that decode")
    parser.add_argument("--batch-size", type=int, help="by default 32, on a GPU what it has room for")
    parser.add_argument("--rounds", type=int, default=6)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    on_cpu = args.device == "cpu"
    if on_cpu:
        torch.set_num_threads(1)
    clip = (
        load_clip(args.model, args.pretrained, args.device) if args.pretrained else untrained(args.model, args.device)
    )
    batch_size = args.batch_size or (32 if on_cpu else largest_batch(clip))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        views = args.views or [generated(work / "views" / "part-00000.parquet", args.pictures)]
        captions = [without_captions(work / "captions" / path.name) for path in views]
        count = sum(pq.read_metadata(path).num_rows for path in views)
        parts = parts_of(views, captions, work / "features")
        workers = 1 if on_cpu else args.workers
        passes = iter(range(10**6))
        ways = {
            "the stage": lambda: embed(parts, clip, work / f"cache{next(passes)}", workers, batch_size),
            "bare forward pass": lambda: bare(clip, count, batch_size),
        }
        bare(clip, min(count, batch_size), batch_size)
        seconds = fastest_in_turn(ways, args.rounds)
    print(f"{args.model} on {args.device} ({clip.precision}), {count} pictures, batches of {batch_size}")
    for name, taken in seconds.items():
        print(f"  {name:<20}{count / taken:10.2f} pictures/s")
    ratio = seconds["bare forward pass"] / seconds["the stage"]
    print(f"  ratio: {ratio:.1%}")
    figures.write(args.figures, {"embedding, pictures/s": count / seconds["the stage"], "embedding, of bare": ratio})


def untrained(model: str, device: str) -> Clip:
    """A model with random weights."""
    network, _, transform = open_clip.create_model_and_transforms(model)
    config = open_clip.get_model_config(model)
    return Clip(model, config, network, transform, open_clip.get_tokenizer(model), device)


def generated(path: Path, count: int) -> Path:
    """A file of views: crops of 60 to 400 px with structure at several scales."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(count):
        height, width = random.integers(60, 400, 2)
        coarse = random.integers(0, 256, (height // 20 + 1, width // 20 + 1, 3), np.uint8)
        picture = coarse.repeat(20, 0).repeat(20, 1)[:height, :width] // 2
        picture = picture + random.integers(0, 40, picture.shape, np.uint8)
        jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), 95, "RGB", "444")
        named = {"view_id": f"crop/{number}", "dataset": "crops", "split": "all"}
        rows.append(dict.fromkeys(schemas.VIEWS.names) | named | {"image": {"bytes": jpeg, "path": f"{number}.jpg"}})
        # Not null: Parquet readers fail on a null list of fixed size.
        rows[-1] |= {"crop_xyxy_px": [0.0] * 4, "size_lwh_m": [1.0] * 3}
    tables = (storage.table_of(rows[start : start + 128], schemas.VIEWS) for start in range(0, count, 128))
    storage.write_parquet(path, schemas.VIEWS, tables, {})
    return path


def without_captions(path: Path) -> Path:
    """A file of no captions."""
    storage.write_parquet(path, schemas.CAPTIONS, [], {})
    return path


def bare(clip: Clip, count: int, batch_size: int) -> None:
    """Forward passes of so many pictures that are ready on the device."""
    height, width, _ = clip.prepared(Image.new("RGB", (64, 64))).shape
    pixels_B3HW = torch.zeros(batch_size, 3, height, width, device=clip.device)
    half = clip.device.type == "cuda"
    with torch.inference_mode(), torch.autocast(clip.device.type, torch.bfloat16, enabled=half):
        for start in range(0, count, batch_size):
            clip.model.encode_image(pixels_B3HW[: min(batch_size, count - start)])
    figures.wait(clip.device)


def fastest_in_turn(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each way, the best of several rounds in which they take turns, so that noise hits all alike."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, call in ways.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


if __name__ == "__main__":
    main()
