"""Patches and PointBERT against the straightforward ways, side by side in one process.

    python speed/grouping.py              # on a GPU where there is one: 64 CAD clouds; else 4, on one core
    python speed/grouping.py --threads 2

Prints
- farthest point sampling and neighbours, milliseconds a batch: ours, torch's way on the same device, and a loop over
  clouds with a loop over centres in it (plain torch, what torch_cluster's `fps` and `knn` do cloud by cloud); on clouds
  of 8192 points, and on LiDAR objects of 1 to 2000 points, most of them small;
- forward and backward of the encoder on a batch of both kinds: ours, and with every cloud brought to 8192 points, which
  is what an encoder without masks needs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import figures
from figures import milliseconds

from blendclip.encoders.clouds import Clouds, normalized
from blendclip.encoders.devices import sender
from blendclip.encoders.division import Division, num_patches
from blendclip.encoders.grouping import group_with_torch, grouped
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig

CAD_POINTS = 8192
PATCH_POINTS = 32


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_gpu = figures.add_arguments(parser)
    parser.add_argument("--cad", type=int, default=64 if on_gpu else 4, help="CAD clouds of a batch")
    parser.add_argument("--lidar", type=int, default=512 if on_gpu else 64, help="LiDAR clouds of a batch")
    parser.add_argument("--model", default="base" if on_gpu else "tiny")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    print(f"{figures.named(device)}, torch {torch.__version__}, {args.threads} threads; median of {args.repeats}")
    cad, lidar = [CAD_POINTS] * args.cad, lidar_lengths(args.lidar)
    ours, batched = measure_grouping(f"{args.cad} x {CAD_POINTS} points", clouds_of(cad, device), args.repeats)
    measure_grouping(f"{args.lidar} LiDAR objects", clouds_of(lidar, device), args.repeats)
    share = max(1, args.lidar * 3 // 10)
    measure_encoder(args.model, args.cad, share, device, args.repeats)
    figures.write(args.figures, {"grouping, ms a CAD cloud": ours / args.cad, "grouping, x torch": batched / ours})


def lidar_lengths(count: int) -> list[int]:
    """1 to 2000 points, log-normal around 60, as of mined objects."""
    generator = torch.Generator().manual_seed(0)
    return torch.empty(count).log_normal_(4.1, 1.5, generator=generator).clamp(1, 2000).long().tolist()


def clouds_of(lengths: list[int], device: torch.device) -> Clouds:
    """Normalised random clouds."""
    generator = torch.Generator().manual_seed(1)
    return normalized(Clouds.of([torch.randn(length, 3, generator=generator) for length in lengths])).to(device)


def measure_grouping(what: str, clouds: Clouds, repeats: int) -> tuple[float, float]:
    """Print milliseconds of ours and of the others; return those of ours and of torch with many clouds."""
    lengths, device = clouds.lengths.tolist(), clouds.points.device
    counts = [num_patches(length, 2 / PATCH_POINTS, 512) for length in lengths]
    division = Division.of(lengths, counts, PATCH_POINTS).moved(sender(device))
    print(f"farthest points and neighbours, {what}, {sum(counts)} patches")
    ours = milliseconds(lambda: grouped(clouds, division), repeats, device)
    print(f"  ours                {ours:10.1f} ms")
    batched = milliseconds(lambda: group_with_torch(clouds.points, lengths, counts, PATCH_POINTS), repeats, device)
    print(f"  torch, many clouds  {batched:10.1f} ms  {batched / ours:6.1f} x")
    loop = milliseconds(lambda: loop_over_clouds(clouds, lengths, counts), max(1, repeats // 3), device)
    print(f"  loop over clouds    {loop:10.1f} ms  {loop / ours:6.1f} x")
    return ours, batched


def loop_over_clouds(clouds: Clouds, lengths: list[int], counts: list[int]) -> list[torch.Tensor]:
    """Neighbours of each cloud by plain torch, a cloud and a centre at a time."""
    members = []
    for points, count in zip(clouds.points.split(lengths), counts, strict=True):
        centers = torch.zeros(count, dtype=torch.int64, device=points.device)
        reach = torch.full((len(points),), torch.inf, device=points.device)
        for step in range(1, count):
            reach = torch.minimum(reach, (points - points[centers[step - 1]]).square().sum(1))
            centers[step] = reach.argmax()
        distances = torch.cdist(points[centers], points)
        members.append(distances.topk(min(PATCH_POINTS, len(points)), largest=False).indices)
    return members


def measure_encoder(name: str, cad: int, lidar: int, device: torch.device, repeats: int) -> None:
    """Print milliseconds of a training step on a mixed batch, and on one in which all clouds have CAD's points."""
    torch.manual_seed(0)
    model = PointBert(PointBertConfig.preset(name)).to(device).train()
    ragged = clouds_of([CAD_POINTS] * cad + lidar_lengths(lidar), device)
    full = clouds_of([CAD_POINTS] * (cad + lidar), device)
    print(f"{name}: forward and backward of {cad} CAD and {lidar} LiDAR clouds")
    took = [
        milliseconds(lambda batch=batch: step(model, batch), max(1, repeats // 2), device) for batch in (ragged, full)
    ]
    print(f"  ours                {took[0]:10.1f} ms")
    print(f"  all of {CAD_POINTS} points  {took[1]:10.1f} ms  {took[1] / took[0]:6.1f} x")


def step(model: PointBert, clouds: Clouds) -> None:
    """Gradients of something."""
    model.zero_grad()
    device = clouds.points.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        features = model(clouds)
    features.float().square().mean().backward()


if __name__ == "__main__":
    main()
