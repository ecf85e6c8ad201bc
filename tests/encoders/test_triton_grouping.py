"""The kernels of a GPU, run by Triton's interpreter: they choose the points that numba does."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from blendclip.encoders.grouping import group_with_numba

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")

SCRIPT = """
import sys
import torch
from blendclip.encoders.division import Division
from blendclip.encoders.triton_grouping import group_with_triton

found = {}
for kind, (points, lengths, counts) in torch.load(sys.argv[1]).items():
    for size in (32, 5):
        division = Division.of(lengths, counts, size)
        found[kind, size] = group_with_triton(
            points, division.offsets, division.starts, max(lengths), sum(counts), size
        )
torch.save(found, sys.argv[2])
"""


def clouds_by_kind():
    """For each kind points of several clouds, with how many patches are asked of each."""
    random = torch.Generator().manual_seed(7)

    def scattered(length):
        return torch.randn(length, 3, generator=random)

    lattice = torch.randint(0, 6, (1100, 3), generator=random).float()
    given = {
        "lengths": [(scattered(n), m) for n, m in ((1, 1), (31, 5), (32, 32), (33, 33), (8192, 30))],
        "ties": [(lattice, 70), (scattered(40), 2)],
        "coincident": [(torch.ones(200, 3), 12), (torch.zeros(1500, 3), 3)],
        "one point twice": [(scattered(300).repeat(2, 1), 37), (scattered(1).repeat(2, 1), 2)],
    }
    return {kind: together(clouds) for kind, clouds in given.items()}


def together(clouds):
    """Points of all clouds, the points of each and the patches of each."""
    points, counts = zip(*clouds, strict=True)
    return torch.cat(points), [len(cloud) for cloud in points], list(counts)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    """Centres and members by the kernels; in a process of its own, which imports triton for the interpreter."""
    given, found = (tmp_path_factory.mktemp("interpreted") / name for name in ("given.pt", "found.pt"))
    torch.save(clouds_by_kind(), given)
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", SCRIPT, str(given), str(found)], env=environment, check=True)
    return torch.load(found)


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 5])
@pytest.mark.parametrize("kind", ["lengths", "ties", "coincident", "one point twice"])
def test_kernels_choose_the_points_that_numba_chooses(interpreted, kind, size):
    centers, members = interpreted[kind, size]
    expected_centers, expected_members = group_with_numba(*clouds_by_kind()[kind], size)
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


@pytest.mark.slow
def test_kernels_compile_and_round_each_operation_by_itself():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    for ptx in json.loads(done.stdout):
        assert "sub" in ptx and "mul" in ptx and "add" in ptx
        assert "fma." not in ptx
