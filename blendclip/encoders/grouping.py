"""Patches of clouds, as in Point-BERT: centres by farthest point sampling, around each its nearest neighbours.

Farthest point sampling (Eldar et al., "The farthest point strategy for progressive image sampling", 1997; for networks
on points Qi et al., arXiv 1706.02413) takes as next centre the point that is farthest from all centres before it. Ours
starts at a cloud's first point, and of points equally far or near takes the first. So patches depend on nothing but
their own cloud. On the CPU a numba kernel makes them cloud by cloud, on a CUDA device Triton kernels do (beside this
module), elsewhere torch does for many clouds at once; all choose the same points, since distances are rounded alike:
float32, (dx dx + dy dy) + dz dz.

Letters in names: N points of all clouds together, B clouds, P patches of all clouds together, K points of a patch;
in the padded layout of a chunk A is the 3 axes, S the longest cloud's length, M the most patches of a cloud.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numba
import numpy as np
import torch
from torch import Tensor

from blendclip.encoders.clouds import Clouds
from blendclip.encoders.division import Division

log = logging.getLogger(__name__)

_INFINITE = np.int32(np.float32(np.inf).view(np.int32))
# Limits of a chunk on devices other than the CPU, where launching kernels takes the time: chunks are few and large.
_POINTS_AT_ONCE = 2**24  # of its clouds, padding included
_DISTANCES_AT_ONCE = 2**24  # of a search for neighbours; 32 bytes each
_EVEN = 16  # ratio of work between its clouds


@dataclass(frozen=True)
class Patches:
    """Patches of B clouds, in the order of the clouds, as rows of the points of all clouds together."""

    counts: list[int]
    """Patches of each cloud."""
    centers: Tensor
    """(P,) int64: row of the centre of each patch."""
    members: Tensor
    """(P, K) int64: rows of the points of each patch, nearest first; beyond a cloud's points the centre again."""
    repeated: Tensor | None
    """(X,) int64: which of the P * K members repeat a centre; None where none does."""


@torch.no_grad()
def grouped(clouds: Clouds, division: Division) -> Patches:
    """Patches of clouds: farthest point sampling and neighbours as in Point-BERT (arXiv 2111.14819, section 3.1).

    Args:
        clouds: on the device that computes.
        division: of these clouds, on the same device.
    """
    centers_P, members_PK = _chosen(clouds.points.detach().float().contiguous(), division)
    repeated_X = division.repeated
    if repeated_X is not None:
        members_PK.view(-1)[repeated_X] = centers_P[repeated_X // division.patch_points]
    return Patches(division.counts, centers_P, members_PK, repeated_X)


def _chosen(points_N3: Tensor, division: Division) -> tuple[Tensor, Tensor]:
    """Centres (P,) and members (P, K), by what is fastest on the device of the points."""
    lengths, counts, patch_points = division.lengths, division.counts, division.patch_points
    if points_N3.device.type == "cpu":
        return group_with_numba(points_N3, lengths, counts, patch_points)
    if points_N3.device.type == "cuda" and _triton_works(points_N3.device):
        from blendclip.encoders import triton_grouping  # which takes a second, and is not everywhere

        longest = max(lengths)
        if longest <= triton_grouping.MOST_POINTS:
            return triton_grouping.group_with_triton(
                points_N3, division.offsets, division.starts, longest, sum(counts), patch_points
            )
    return group_with_torch(points_N3, lengths, counts, patch_points)


@cache
def _triton_works(device: torch.device) -> bool:
    """Whether Triton's kernels run here, as one point shows: it needs a C compiler and the headers of Python."""
    try:
        from blendclip.encoders.triton_grouping import group_with_triton

        ends = torch.tensor([0, 1], device=device)
        group_with_triton(torch.zeros(1, 3, device=device), ends, ends, 1, 1, 32)
    except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        told = " ".join(str(error).split())[:200]
        log.warning("patches on %s are made by torch, which is much slower: Triton does not run (%s)", device, told)
        return False
    return True


def group_with_numba(
    points_N3: Tensor,
    lengths: list[int],
    counts: list[int],
    patch_points: int,
) -> tuple[Tensor, Tensor]:
    """Centres (P,) and members (P, K), as rows, of points on the CPU.

    Args:
        points_N3: float32, contiguous, on the CPU.
        lengths: points of each cloud.
        counts: patches of each cloud.
        patch_points: K; of a cloud of n < K points only the first n members are set.
    """
    offsets = np.cumsum([0, *lengths])
    starts = np.cumsum([0, *counts])
    centers = np.empty(starts[-1], np.int64)
    members = np.zeros((starts[-1], patch_points), np.int64)
    _group(points_N3.numpy(), offsets, starts, centers, members)
    return torch.from_numpy(centers), torch.from_numpy(members)


@numba.njit(cache=True, nogil=True)
def _group(points, offsets, starts, centers, members):
    """Centres and members of all patches, cloud by cloud.

    Args:
        points: (N, 3) float32.
        offsets: (B + 1,) int64; cloud b has the points offsets[b] to offsets[b + 1].
        starts: (B + 1,) int64; cloud b has the patches starts[b] to starts[b + 1].
        centers: (P,) int64, written: row in `points` of the centre of patch p.
        members: (P, K) int64, written: rows in `points` of the points of patch p, nearest first.
    """
    for b in range(len(offsets) - 1):
        n = offsets[b + 1] - offsets[b]
        axes = points[offsets[b] : offsets[b + 1]].T.copy()
        # Floats that are not negative are ordered as their bits are, and integers are what the compiler vectorises.
        squared, reach = np.empty(n, np.float32), np.full(n, _INFINITE, np.int32)
        nearest = np.empty(min(n, members.shape[1]), np.int32)
        last = 0
        for p in range(starts[b], starts[b + 1]):
            centers[p] = offsets[b] + last
            _squared_distances(axes[0], axes[1], axes[2], last, squared)
            last = _farthest(squared.view(np.int32), reach)
            _neighbours(squared.view(np.int32), offsets[b], nearest, members[p])


@numba.njit(cache=True, nogil=True)
def _squared_distances(xs, ys, zs, of, squared):
    """Squared distances of the n points of a cloud from its point number `of`.

    Args:
        xs, ys, zs: (n,) float32 coordinates.
        of: number of a point, 0 to n - 1.
        squared: (n,) float32, written.
    """
    x, y, z = xs[of], ys[of], zs[of]
    for i in range(len(xs)):
        dx, dy, dz = xs[i] - x, ys[i] - y, zs[i] - z
        squared[i] = dx * dx + dy * dy + dz * dz


@numba.njit(cache=True, nogil=True)
def _farthest(squared, reach):
    """The point of a cloud that is farthest from its nearest centre; the first of several.

    Args:
        squared: (n,) int32, bits of each point's squared distance from the newest centre.
        reach: (n,) int32, bits of the squared distance from the nearest of the centres before; the newest is added.
    """
    top = np.int32(-1)
    for i in range(len(reach)):
        reach[i] = min(reach[i], squared[i])
        top = max(top, reach[i])
    farthest = 0
    while reach[farthest] != top:
        farthest += 1
    return farthest


@numba.njit(cache=True, nogil=True)
def _neighbours(squared, offset, nearest, rows):
    """The points nearest to a centre, by insertion into a sorted list, which few points of many enter.

    Args:
        squared: (n,) int32, bits of each point's squared distance from the centre.
        offset: row of the cloud's first point.
        nearest: (k,) int32 with k = min(n, K), scratch: the k least of `squared`, rising.
        rows: (K,) int64, written up to k: rows of these points, nearest first.
    """
    nearest[:] = np.iinfo(np.int32).max
    worst = nearest[-1]
    for i in range(len(squared)):
        if squared[i] < worst:
            slot = len(nearest) - 1
            while slot > 0 and nearest[slot - 1] > squared[i]:
                nearest[slot], rows[slot] = nearest[slot - 1], rows[slot - 1]
                slot -= 1
            nearest[slot], rows[slot] = squared[i], offset + i
            worst = nearest[-1]


def group_with_torch(
    points_N3: Tensor,
    lengths: list[int],
    counts: list[int],
    patch_points: int,
) -> tuple[Tensor, Tensor]:
    """Centres (P,) and members (P, K), as rows, of points on any device.

    Args:
        points_N3: float32.
        lengths: points of each cloud.
        counts: patches of each cloud.
        patch_points: K; of a cloud of n < K points only the first n members are set.
    """
    device = points_N3.device
    order = sorted(range(len(lengths)), key=lambda b: (counts[b], lengths[b]), reverse=True)
    offsets, starts = np.cumsum([0, *lengths]), np.cumsum([0, *counts])
    centers_P = torch.empty(starts[-1], dtype=torch.int64, device=device)
    members_PK = torch.zeros(starts[-1], patch_points, dtype=torch.int64, device=device)
    for chunk in _chunks(order, lengths, counts):
        chunk_lengths, chunk_counts = [lengths[b] for b in chunk], [counts[b] for b in chunk]
        offset_B1 = torch.as_tensor(offsets[chunk], device=device)[:, None]
        axes_ABS, outside_BS = _padded(points_N3, offset_B1, chunk_lengths)
        center_BM = _farthest_points(axes_ABS, outside_BS, chunk_counts)
        patches = np.concatenate([np.arange(starts[b], starts[b + 1]) for b in chunk])
        taken = np.concatenate([i * chunk_counts[0] + np.arange(m) for i, m in enumerate(chunk_counts)])
        rows_P, taken_P = torch.as_tensor(patches, device=device), torch.as_tensor(taken, device=device)
        near_BMK = _nearest_points(axes_ABS, outside_BS, center_BM, patch_points)
        centers_P[rows_P] = (center_BM + offset_B1).flatten()[taken_P]
        members_PK[rows_P, : near_BMK.shape[2]] = (near_BMK + offset_B1[:, :, None]).flatten(0, 1)[taken_P]
    return centers_P, members_PK


def _chunks(order: list[int], lengths: list[int], counts: list[int]) -> Iterator[list[int]]:
    """Chunks of `order`, which falls in patches: clouds of similar work, few enough to be grouped together."""
    chunk: list[int] = []
    longest = 0
    for b in order:
        longest = max(longest, lengths[b])
        if chunk:
            most = counts[chunk[0]]
            uneven = longest * most > _EVEN * lengths[b] * counts[b]
            if uneven or (len(chunk) + 1) * longest > _POINTS_AT_ONCE:
                yield chunk
                chunk, longest = [], lengths[b]
        chunk.append(b)
    yield chunk


def _padded(points_N3: Tensor, offset_B1: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Coordinates (3, B, S) of the clouds of a chunk, and (B, S) what of them is padding."""
    index_S = torch.arange(max(lengths), device=points_N3.device)
    outside_BS = index_S >= torch.as_tensor(lengths, device=points_N3.device)[:, None]
    rows_BS = offset_B1 + torch.where(outside_BS, 0, index_S)
    return points_N3[rows_BS].permute(2, 0, 1).contiguous(), outside_BS


def _farthest_points(axes_ABS: Tensor, outside_BS: Tensor, counts: list[int]) -> Tensor:
    """(B, M) indices of centres within their clouds; 0 beyond a cloud's count. Counts fall, so the last drop out."""
    center_BM = torch.zeros(len(counts), counts[0], dtype=torch.int64, device=axes_ABS.device)
    reach_BS = torch.where(outside_BS, -1.0, torch.inf)
    active = len(counts)
    for step in range(1, counts[0]):
        while counts[active - 1] <= step:
            active -= 1
        last_B1 = center_BM[:active, step - 1 : step]
        squared_BS = _squared(axes_ABS[:, :active], last_B1)
        reach_BS[:active] = torch.minimum(reach_BS[:active], squared_BS)
        center_BM[:active, step] = reach_BS[:active].argmax(dim=1)
    return center_BM


def _squared(axes_ABS: Tensor, center_BM: Tensor) -> Tensor:
    """(B, S), or (B, M, S) where M is more than 1: squared distances of all points from the centres (B, M)."""
    offset = axes_ABS[:, :, None] - axes_ABS.gather(2, center_BM.expand(3, -1, -1))[..., None]
    offset = (offset * offset).squeeze(2)
    return offset[0] + offset[1] + offset[2]


def _nearest_points(axes_ABS: Tensor, outside_BS: Tensor, center_BM: Tensor, patch_points: int) -> Tensor:
    """(B, M, min(K, S)) indices of the points nearest to each centre, nearest first, padding last."""
    most = min(patch_points, axes_ABS.shape[2])
    index_S = torch.arange(axes_ABS.shape[2], device=axes_ABS.device)
    at_once = max(1, _DISTANCES_AT_ONCE // axes_ABS[0].numel())
    near = []
    for start in range(0, center_BM.shape[1], at_once):
        squared_BMS = _squared(axes_ABS, center_BM[:, start : start + at_once]).reshape(
            len(center_BM), -1, len(index_S)
        )
        squared_BMS = squared_BMS.masked_fill(outside_BS[:, None], torch.inf)
        # topk leaves open which of equal keys it takes, so none are equal: the index follows the bits of the distance.
        key_BMS = squared_BMS.view(torch.int32).long() << 32 | index_S
        near.append(key_BMS.topk(most, dim=2, largest=False, sorted=True).values & 0xFFFFFFFF)
    return torch.cat(near, dim=1)
