"""The kernels of a GPU, run by Triton's interpreter: they choose the points that numba does."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from blendclip.encoders.grouping import group_with_numba

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")

SCRIPT = """
import json, sys
import numpy as np, torch
from blendclip.encoders.division import Division
from blendclip.encoders.triton_grouping import group_with_triton

given = np.load(sys.argv[1])
lengths, counts, size = (given[name].tolist() for name in ("lengths", "counts", "size"))
division = Division.of(lengths, counts, size)
points = torch.from_numpy(given["points"])
centers, members = group_with_triton(points, division.offsets, division.starts, max(lengths), sum(counts), size)
np.savez(sys.argv[2], centers=centers.numpy(), members=members.numpy())
"""


def by_interpreter(folder, points, lengths, counts, size):
    """Centres and members by the kernels; in a process of its own, which imports triton for the interpreter."""
    given, found = folder / "given.npz", folder / "found.npz"
    np.savez(given, points=points.numpy(), lengths=lengths, counts=counts, size=size)
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", SCRIPT, str(given), str(found)], env=environment, check=True)
    return (torch.from_numpy(np.load(found)[name]) for name in ("centers", "members"))


def clouds_of(kind):
    """Points of each cloud and the patches that are asked of it."""
    random = torch.Generator().manual_seed(7)

    def scattered(length):
        return torch.randn(length, 3, generator=random)

    return {
        "lengths": [
            (scattered(1), 1),
            (scattered(31), 5),
            (scattered(32), 32),
            (scattered(33), 33),
            (scattered(8192), 40),
        ],
        "lattice": [(torch.randint(0, 6, (1100, 3), generator=random).float(), 70), (scattered(40), 2)],
        "coincident": [(torch.ones(200, 3), 12), (torch.zeros(1500, 3), 3)],
        "twins": [(scattered(300).repeat(2, 1), 37), (scattered(1).repeat(2, 1), 2)],
    }[kind]


@pytest.mark.parametrize("size", [32, 5])
@pytest.mark.parametrize("kind", ["lengths", "lattice", "coincident", "twins"])
def test_kernels_choose_the_points_that_numba_chooses(tmp_path, kind, size):
    clouds, counts = zip(*clouds_of(kind), strict=True)
    points, lengths = torch.cat(clouds), [len(cloud) for cloud in clouds]
    centers, members = by_interpreter(tmp_path, points, lengths, list(counts), size)
    expected_centers, expected_members = group_with_numba(points, lengths, list(counts), size)
    assert torch.equal(centers, expected_centers)
    assert torch.equal(members, expected_members), "also beyond a cloud's points, where both leave 0"


COMPILE = """
import json
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from blendclip.encoders import triton_grouping as kernels

def ptx_of(kernel, signature, constants, warps):
    signature |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(kernel, signature, {(kernel.arg_names.index(name),): value for name, value in constants.items()})
    options = {"num_warps": warps, "enable_fp_fusion": False}
    return compile(source, target=GPUTarget("cuda", 80, 32), options=options).asm["ptx"]

rows = dict.fromkeys(("offsets", "starts", "owners", "centers", "members"), "*i64") | {"points": "*fp32"}
farthest, nearest = kernels._farthest_points, kernels._nearest_points
print(json.dumps([
    ptx_of(farthest, {name: rows[name] for name in farthest.arg_names if name in rows}, {"block": 256}, 4),
    ptx_of(nearest, {name: rows[name] for name in nearest.arg_names if name in rows},
           {"k": 32, "room": 32, "chunk": 1024}, 4),
]))
"""


def test_kernels_compile_and_round_each_operation_by_itself():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    for ptx in json.loads(done.stdout):
        assert "sub" in ptx and "mul" in ptx and "add" in ptx
        assert "fma." not in ptx
