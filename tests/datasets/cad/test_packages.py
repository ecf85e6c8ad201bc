"""CAD datasets are read where nothing is installed but what the project itself needs: no package of its extras."""

import subprocess
import sys
import tomllib

import pyarrow.parquet as pq
import pytest
import trimesh
from packaging.requirements import Requirement

from tests.datasets.cad import test_meshes, test_openshape, test_ulip2
from tests.environments import REPOSITORY, linked_site, run_alone


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the packages of a fresh install."""
    lines = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = [line for line in lines if (marker := Requirement(line).marker) is None or marker.evaluate()]
    return linked_site(tmp_path_factory.mktemp("site") / "site", wanted)


def meshes(root):
    trimesh.creation.box().export(test_meshes.table(root, [{"path": "a.ply", "name": "box", "up": "z"}]) / "a.ply")


def openshape(root):
    test_openshape.release(root, test_openshape.shape())


def ulip2(root):
    test_ulip2.add(root, "u1", test_ulip2.cloud(), {0: test_ulip2.render(1)}, {0: ["a box"]})


def test_pandas_is_no_part_of_a_fresh_install(site):
    code = f"import sys; sys.path.insert(0, {str(site)!r}); import numpy, pandas"
    done = subprocess.run([sys.executable, "-S", "-P", "-c", code], capture_output=True, text=True, env={})
    assert "No module named 'pandas'" in done.stderr


@pytest.mark.parametrize(("made", "split"), [(meshes, "train"), (openshape, "train_all"), (ulip2, "train")])
def test_every_format_is_read_there(site, tmp_path, made, split):
    made(tmp_path / "in")
    files = "--output t.parquet --view-output v.parquet --captions c.parquet --embeddings e.parquet --rejects r.parquet"
    command = ["cad", "--format", made.__name__, "--root", "in", "--dataset", "a", "--split", split, *files.split()]
    done = run_alone([site, REPOSITORY], tmp_path, *command)
    assert done.returncode == 0, done.stderr
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 1
