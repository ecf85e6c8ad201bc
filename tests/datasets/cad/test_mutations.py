"""Files of every format with random damage, of a seed: each is read or rejected by a rule that was foreseen."""

import numpy as np
import pytest

from blendclip.datasets.cad.objects import BrokenObjectError
from blendclip.datasets.cad.openshape import OpenShape
from blendclip.datasets.cad.options import OpenShapeOptions, Ulip2Options
from blendclip.datasets.cad.surface import read_surface
from blendclip.datasets.cad.ulip2 import CLOUDS, RENDERS, Ulip2
from tests.datasets.cad import test_openshape, test_ulip2
from tests.datasets.cad.test_cut_meshes import WRITTEN, ball_and_box

MUTATIONS = 50


def mutated(content, rng):
    """The content with one to five places flipped, overwritten, left out, repeated, or made a large number."""
    found = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        place = int(rng.integers(0, len(found) if rng.random() < 0.6 else min(len(found), 400)))
        size = int(rng.integers(1, 300))
        match rng.integers(0, 5):
            case 0:
                found[place] ^= 1 << int(rng.integers(0, 8))
            case 1:
                found[place : place + size] = rng.bytes(size)
            case 2:
                del found[place : min(place + size, len(found) - 1)]
            case 3:
                found[place:place] = found[max(0, place - size) : place]
            case _:
                found[place : place + 4] = b"\xff\xff\xff\x7f"
    return bytes(found)


def rejects(path, read):
    """How many mutations of a file are rejected; any other error is raised."""
    content, rng, count = path.read_bytes(), np.random.default_rng(7), 0
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(content, rng))
        try:
            read()
        except BrokenObjectError as error:
            assert error.rule.kind == "fault" and len(str(error)) < 600 and "\n" not in str(error)
            count += 1
    path.write_bytes(content)
    return count


@pytest.mark.parametrize("name", WRITTEN)
def test_meshes(tmp_path, name):
    suffix, written = WRITTEN[name]
    path = tmp_path / f"mesh{suffix}"
    path.write_bytes(written(ball_and_box()))
    assert rejects(path, lambda: read_surface(path)) > MUTATIONS // 2


def test_shapes_of_openshape(tmp_path):
    reader = OpenShape(test_openshape.release(tmp_path, test_openshape.shape()), OpenShapeOptions())
    (entry,) = reader.entries("train_all")
    assert rejects(tmp_path / entry.path, lambda: reader.read(entry)) > MUTATIONS // 2


@pytest.mark.parametrize("file", [f"{CLOUDS}/u1_10000.npz", f"{RENDERS}/u1.hdf5"])
def test_objects_of_ulip2(tmp_path, file):
    test_ulip2.add(tmp_path, "u1", test_ulip2.cloud(), {0: test_ulip2.render(1)}, {0: ["a box"]})
    reader = Ulip2(tmp_path, Ulip2Options())
    (entry,) = reader.entries("train")
    reader.prepare([entry])
    assert rejects(tmp_path / file, lambda: reader.read(entry)) > MUTATIONS // 2
