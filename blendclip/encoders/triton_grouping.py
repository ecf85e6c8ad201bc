"""Patches of clouds on a GPU by two Triton kernels: farthest point sampling, then nearest neighbours.

They choose the points that `grouping` describes, since they round as it does: compiled without fusing a multiplication
with an addition, (dx dx + dy dy) + dz dz in float32; and of points equally far or near they take the first. Nothing is
as large as clouds times patches times points: a program keeps what it compares in registers.

With TRITON_INTERPRET=1 in the environment before this module is imported, the kernels run on the CPU, in numpy.

Letters in names: N points of all clouds together, B clouds, P patches of all clouds together, K points of a patch.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

MOST_POINTS = 2**14
"""Points of the largest cloud whose coordinates a program keeps in registers."""
_POINTS_A_THREAD = 16
_CHUNK = 1024  # points that a search for neighbours looks at together: 8 keys in each of 128 threads
_FAR = tl.constexpr(2**63 - 1)  # the key of no point
_EMPTY = tl.constexpr(2**63 - 2**32)  # keys of points lie below, those of empty slots from here on


def group_with_triton(
    points_N3: Tensor, offsets: Tensor, starts: Tensor, longest: int, patches: int, patch_points: int
) -> tuple[Tensor, Tensor]:
    """Centres (P,) and members (P, K), as rows, of points on a GPU; nothing waits for it.

    Args:
        points_N3: float32, contiguous.
        offsets: (B + 1,) int64; cloud b has the points offsets[b] to offsets[b + 1].
        starts: (B + 1,) int64; cloud b has the patches starts[b] to starts[b + 1].
        longest: points of the largest cloud, at most `MOST_POINTS`.
        patches: P.
        patch_points: K; of a cloud of n < K points only the first n members are set.
    """
    clouds = len(offsets) - 1
    centers_P = torch.empty(patches, dtype=torch.int64, device=points_N3.device)
    members_PK = torch.zeros(patches, patch_points, dtype=torch.int64, device=points_N3.device)
    block = max(32, triton.next_power_of_2(longest))
    warps = max(1, min(block // (32 * _POINTS_A_THREAD), 16))
    _farthest_points[(clouds,)](
        points_N3, offsets, starts, centers_P, block=block, num_warps=warps, enable_fp_fusion=False
    )
    owners_P = torch.repeat_interleave(starts.diff(), output_size=patches)
    _nearest_points[(patches,)](
        points_N3,
        offsets,
        owners_P,
        centers_P,
        members_PK,
        k=patch_points,
        room=triton.next_power_of_2(patch_points),
        chunk=_CHUNK,
        num_warps=4,
        enable_fp_fusion=False,
    )
    return centers_P, members_PK


@triton.jit
def _farthest_points(points, offsets, starts, centers, block: tl.constexpr):
    """Centres of the patches of one cloud; one program for each of B clouds.

    Args:
        points: (N, 3) float32.
        offsets: (B + 1,) int64; cloud b has the points offsets[b] to offsets[b + 1].
        starts: (B + 1,) int64; cloud b has the patches starts[b] to starts[b + 1].
        centers: (P,) int64, written: row in `points` of the centre of patch p.
        block: a power of two, at least the points of the cloud.
    """
    cloud = tl.program_id(0)
    first = tl.load(offsets + cloud)
    size = tl.load(offsets + cloud + 1) - first
    index = tl.arange(0, block)
    inside = index < size
    place = points + 3 * (first + index)
    xs = tl.load(place, mask=inside, other=0.0)
    ys = tl.load(place + 1, mask=inside, other=0.0)
    zs = tl.load(place + 2, mask=inside, other=0.0)
    # Squared distance from the nearest of the centres so far; less than any where there is no point.
    reach = tl.where(inside, float("inf"), -1.0)
    last = 0
    for patch in range(tl.load(starts + cloud), tl.load(starts + cloud + 1)):
        center = first + last
        tl.store(centers + patch, center)
        dx = xs - tl.load(points + 3 * center)
        dy = ys - tl.load(points + 3 * center + 1)
        dz = zs - tl.load(points + 3 * center + 2)
        reach = tl.minimum(reach, dx * dx + dy * dy + dz * dz)
        last = tl.argmax(reach, axis=0, tie_break_left=True)


@triton.jit
def _nearest_points(
    points, offsets, owners, centers, members, k: tl.constexpr, room: tl.constexpr, chunk: tl.constexpr
):
    """Members of one patch; one program for each of P patches.

    A point's key has the bits of its squared distance, which are ordered as it is, above its number in the cloud: no
    two are equal, and of points equally near the first has the least. Of each chunk of points the nearest enters the k
    slots in place of the worst, until none is better: 32 times in the first chunk, 32 / c times in chunk c on average.

    Args:
        points: (N, 3) float32.
        offsets: (B + 1,) int64; cloud b has the points offsets[b] to offsets[b + 1].
        owners: (P,) int64: number of the cloud of patch p.
        centers: (P,) int64: row in `points` of the centre of patch p.
        members: (P, K) int64, written up to the number of the cloud's points: their rows in `points`, nearest first.
        k: points of a patch.
        room: a power of two, at least k.
        chunk: a power of two, points that are compared together.
    """
    patch = tl.program_id(0).to(tl.int64)
    cloud = tl.load(owners + patch)
    center = tl.load(centers + patch)
    first = tl.load(offsets + cloud)
    size = tl.load(offsets + cloud + 1) - first
    x = tl.load(points + 3 * center)
    y = tl.load(points + 3 * center + 1)
    z = tl.load(points + 3 * center + 2)
    slot = tl.arange(0, room).to(tl.int64)
    # No two empty slots are equal either. What is beyond k is less than any key, so nothing replaces it.
    slots = tl.where(slot < k, _EMPTY + slot, -1)
    worst = tl.max(slots, axis=0)
    for begin in range(0, size, chunk):
        number = begin + tl.arange(0, chunk).to(tl.int64)
        inside = number < size
        place = points + 3 * (first + number)
        dx = tl.load(place, mask=inside, other=0.0) - x
        dy = tl.load(place + 1, mask=inside, other=0.0) - y
        dz = tl.load(place + 2, mask=inside, other=0.0) - z
        squared = dx * dx + dy * dy + dz * dz
        keys = (squared.to(tl.int32, bitcast=True).to(tl.int64) << 32) | number
        keys = tl.where(inside, keys, _FAR)
        best = tl.min(keys, axis=0)
        while best < worst:
            slots = tl.where(slots == worst, best, slots)
            worst = tl.max(slots, axis=0)
            keys = tl.where(keys == best, _FAR, keys)
            best = tl.min(keys, axis=0)
    rank = tl.sum((slots[None, :] < slots[:, None]).to(tl.int32), axis=1) - (room - k)
    real = (slots >= 0) & (slots < _EMPTY)
    tl.store(members + patch * k + rank, first + (slots & 0xFFFFFFFF), mask=real)
