"""Encoding of LiDAR objects for zero-shot tests against padding each to the most patches, in one process.

    python speed/evaluation.py                       # random clouds; base on a GPU, else narrow
    python speed/evaluation.py --model base --clouds 24
    python speed/evaluation.py --benchmark results/evaluation/benchmarks/city.parquet

The padded way has the same weights and the same patches of each cloud, then fills up to 512 with empty ones, which
attention and maximum mask; batches of 16. Prints clouds/s of both (best of the repeats), their ratio, and of how many
clouds both name the same of 40 random classes. On a CPU seconds of this process in one thread.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

import figures
from grouping import lidar_lengths

from blendclip import storage
from blendclip.encoders.clouds import Clouds, normalized
from blendclip.encoders.devices import sender
from blendclip.encoders.division import Division, num_patches
from blendclip.encoders.grouping import grouped
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.evaluation.encoding import encode_clouds

MAX_POINTS = 8192
MODELS = {"base": {}, "narrow": {"depth": 4, "width": 128, "heads": 4, "encoder_width": 64}}


def main() -> None:
    """Time both ways and compare what they name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_gpu = figures.add_arguments(parser)
    parser.add_argument("--model", choices=MODELS, default="base" if on_gpu else "narrow")
    parser.add_argument("--benchmark", type=Path, help="Parquet of `blendclip benchmark`; random clouds without")
    parser.add_argument("--clouds", type=int, default=4096 if on_gpu else 64, help="spread over the benchmark")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    device = torch.device(args.device)
    encoder = PointBert(PointBertConfig(out_dim=512, **MODELS[args.model])).to(device).eval()
    clouds = benchmark_clouds(args.benchmark, args.clouds) if args.benchmark else random_clouds(args.clouds)
    sizes = [len(cloud) for cloud in clouds]
    counts = [num_patches(size, encoder.config.patches_per_point, encoder.config.max_patches) for size in sizes]
    usual = f"median {np.median(sizes):.0f} points, mean {np.mean(counts):.1f} patches"
    print(f"{figures.named(device)}, {args.model}; {len(clouds)} clouds, {usual}")
    ours, ours_s = best(
        lambda: encode_clouds(encoder, lambda row: (clouds[row], None), sizes, MAX_POINTS, in_metres=False),
        args.repeats,
        device,
    )
    padded, padded_s = best(lambda: padded_features(encoder, clouds, device), args.repeats, device)
    classes = F.normalize(torch.randn(40, 512), dim=1).numpy()
    same = ((ours @ classes.T).argmax(1) == (padded @ classes.T).argmax(1)).sum()
    print(f"ours    {len(clouds) / ours_s:10.1f} clouds/s")
    print(f"padded  {len(clouds) / padded_s:10.1f} clouds/s")
    print(f"ratio   {padded_s / ours_s:10.1f} x")
    figures.write(
        args.figures, {"encoding, LiDAR clouds/s": len(clouds) / ours_s, "encoding, x padded": padded_s / ours_s}
    )
    print(f"same class of {same} of {len(clouds)} clouds; features differ by at most {np.abs(ours - padded).max():.1e}")


def random_clouds(count: int) -> list[np.ndarray]:
    """Boxes of points, as many as LiDAR objects have."""
    random = np.random.default_rng(0)
    return [random.uniform(-1, 1, (size, 3)).astype(np.float32) for size in lidar_lengths(count)]


def benchmark_clouds(path: Path, count: int) -> list[np.ndarray]:
    """Clouds of a benchmark, spread over it."""
    points = storage.read_parquet(path, ["points"])["points"].combine_chunks()
    rows = np.unique(np.linspace(0, len(points) - 1, count).round().astype(int)).tolist()
    clouds = [points[row].values.flatten().to_numpy().reshape(-1, 3) for row in rows]
    return [cloud[:MAX_POINTS].copy() for cloud in clouds]


def best(run: Callable[[], np.ndarray], repeats: int, device: torch.device) -> tuple[np.ndarray, float]:
    """What `run` returns, and the least seconds that it took."""
    now = figures.clock(device)
    seconds = []
    for _ in range(repeats + 1):  # the first compiles kernels
        begin = now()
        features = run()
        seconds.append(now() - begin)
    return features, min(seconds[1:])


@torch.inference_mode()
def padded_features(encoder: PointBert, clouds: list[np.ndarray], device: torch.device) -> np.ndarray:
    """Unit features (N, D) with every cloud padded to the most patches that the encoder takes."""
    features = []
    for begin in range(0, len(clouds), 16):
        batch = Clouds.of([torch.from_numpy(cloud) for cloud in clouds[begin : begin + 16]]).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            encoded = padded_forward(encoder, normalized(batch))
        features.append(F.normalize(encoded.float(), dim=1).cpu())
    return torch.cat(features).numpy()


def padded_forward(encoder: PointBert, clouds: Clouds) -> Tensor:
    """(B, out_dim) features."""
    config, most = encoder.config, encoder.config.max_patches
    counts = [num_patches(size, config.patches_per_point, most) for size in clouds.lengths.tolist()]
    division = Division.of(clouds.lengths.tolist(), counts, config.patch_points)
    patches = grouped(clouds, division.moved(sender(clouds.points.device)))
    centers = clouds.points[patches.centers]
    inside = clouds.points[patches.members] - centers[:, None]
    place = torch.cat([row * most + torch.arange(count) for row, count in enumerate(counts)]).to(inside.device)
    size = len(counts) * most
    inside_PK3 = inside.new_zeros(size, *inside.shape[1:]).index_copy(0, place, inside)
    center_P3 = centers.new_zeros(size, 3).index_copy(0, place, centers)
    real_BT = torch.zeros(size, dtype=torch.bool, device=inside.device).index_fill(0, place, True).view(len(counts), -1)
    real_BT = F.pad(real_BT, (1, 0), value=True)
    tokens = with_class(encoder.to_token(patch_vectors(encoder, inside_PK3)), encoder.class_token, len(counts))
    positions = with_class(encoder.position(center_P3), encoder.class_position, len(counts))
    for block in encoder.blocks:
        tokens = tokens + positions
        tokens = tokens + attended(block.attention, block.norm1(tokens), real_BT)
        tokens = tokens + block.mlp(block.norm2(tokens))
    tokens = encoder.norm(tokens)
    highest = tokens[:, 1:].masked_fill(~real_BT[:, 1:, None], -torch.inf).max(1).values
    return encoder.projection(torch.cat([tokens[:, 0], highest], dim=1))


def patch_vectors(encoder: PointBert, inside_PK3: Tensor) -> Tensor:
    """(P, C) of all patches, also empty ones."""
    number, size, _ = inside_PK3.shape
    local, joint = encoder.patch_encoder.local, encoder.patch_encoder.joint
    features = local["out"](F.relu(local["norm"](local["linear"](inside_PK3.flatten(0, 1))))).view(number, size, -1)
    whole = features.max(1, keepdim=True).values.expand_as(features)
    hidden = joint["linear"](torch.cat([whole, features], dim=2)).flatten(0, 1)
    return joint["out"](F.relu(joint["norm"](hidden))).view(number, size, -1).max(1).values


def with_class(vectors_PD: Tensor, of_class_D: Tensor, batch: int) -> Tensor:
    """(B, 1 + patches, D)"""
    vectors = vectors_PD.view(batch, -1, vectors_PD.shape[1]).to(of_class_D.dtype)
    return torch.cat([of_class_D.expand(batch, 1, -1), vectors], dim=1)


def attended(attention: torch.nn.Module, tokens_BTD: Tensor, real_BT: Tensor) -> Tensor:
    """Attention to all tokens that are real."""
    batch, length, _ = tokens_BTD.shape
    qkv = attention.qkv(tokens_BTD).view(batch, length, 3, attention.heads, -1).permute(2, 0, 3, 1, 4)
    gathered = F.scaled_dot_product_attention(*qkv, attn_mask=real_BT[:, None, None, :])
    return attention.out(gathered.transpose(1, 2).reshape(batch, length, -1))


if __name__ == "__main__":
    main()
