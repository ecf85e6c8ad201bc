"""`requirements/name.txt` is what naming clouds needs: no less, and nothing that pyproject.toml does not say."""

import os
import subprocess
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import laspy
import numpy as np
import pyarrow.parquet as pq
import pytest
import trimesh

from blendclip.packages import missing_package
from tests.environments import REPOSITORY, linked_site, requirements_in, run_alone
from tests.models import small_model
from tests.test_architecture import IMPORTS, MODULES, loaded_with

LIST = REPOSITORY / "requirements" / "name.txt"
NAME_PYTHONS = [path for path in os.environ.get("BLENDCLIP_NAME_PYTHON", "").split(os.pathsep) if path]
NEEDS_ENVIRONMENT = pytest.mark.skipif(not NAME_PYTHONS, reason="BLENDCLIP_NAME_PYTHON names no Python with the list")


def names_of(lines):
    return {line.split(">")[0].replace("_", "-").lower() for line in lines}


def test_the_list_agrees_with_pyproject():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    lines = requirements_in(LIST)
    assert set(lines) <= set(project["dependencies"]) and lines == sorted(set(lines))


def test_the_list_is_what_the_modules_for_naming_import():
    rooms = ("blendclip.naming", "blendclip.cli.naming", "blendclip.cli.main")
    modules = {module for module in MODULES if module.startswith(rooms)} | {
        "blendclip.model",
        "blendclip.encoders.clip",
    }
    loaded = set().union(*(loaded_with(IMPORTS, module) for module in modules))
    loaded |= {
        one.target for one in IMPORTS if one.lazy and one.importer.startswith(("blendclip.naming", "blendclip.opt"))
    }
    distributions = packages_distributions()
    tops = {module.partition(".")[0] for module in loaded} & distributions.keys() - {"blendclip"}
    assert {distributions[top][0].replace("_", "-").lower() for top in tops} == names_of(requirements_in(LIST))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Folders for a Python that sees the list's packages, what these need, and ours."""
    return [linked_site(tmp_path_factory.mktemp("site") / "site", requirements_in(LIST)), REPOSITORY]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and the same cloud in files of several kinds."""
    folder = tmp_path_factory.mktemp("name")
    small_model().save(folder / "model")
    (folder / "clouds").mkdir()
    points = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    np.save(folder / "clouds" / "a.npy", points)
    trimesh.PointCloud(points).export(folder / "clouds" / "b.ply")
    las = laspy.create()
    las.x, las.y, las.z = points.T.astype(np.float64)
    las.write(folder / "clouds" / "c.las")
    return folder


NAME = ("name", "clouds", "--model", "model", "--classes", "car,tree,pedestrian", "--output", "names.parquet")


@pytest.mark.slow
def test_clouds_and_boxes_are_named_with_the_listed_packages_alone(alone, folder):
    done = run_alone(alone, folder, *NAME)
    assert done.returncode == 0, done.stderr
    clouds = [np.load(folder / "clouds" / "a.npy")]
    expected = small_model().classify(clouds, ["car", "tree", "pedestrian"])
    rows = pq.read_table(folder / "names.parquet").to_pylist()
    assert [row["name"] for row in rows] == [expected.names[0]] * 3
    assert rows[0]["score"] == pytest.approx(float(expected.scores[0]), abs=1e-5)
    (folder / "boxes.csv").write_text("x,y,z,length,width,height,yaw\n0,0,0,2,2,2,0.5\n")
    boxes = ("name", "clouds/a.npy", "--boxes", "boxes.csv", *NAME[2:-1], "boxes.parquet", "--html", "page.html")
    done = run_alone(alone, folder, *boxes)
    assert done.returncode == 0 and (folder / "page.html").is_file(), done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["workflow", "mine_triplets", "-n"],
            "blendclip workflow: the package snakemake is missing: run `pip install",
        ),
        (
            "index --format nuscenes --root . --version v1.0-mini --dataset a --splits mini_val --output o".split(),
            "blendclip index: the package nuscenes-devkit is missing: run `pip install nuscenes-devkit`, or install",
        ),
        (["shapes", "--root", "o"], "blendclip shapes: the package trimesh is missing: run `pip install trimesh`, or"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_missing_package_is_one_sentence(tmp_path, arguments, sentence):
    lines = [line for line in requirements_in(LIST) if not line.startswith("trimesh")]
    done = run_alone([linked_site(tmp_path / "site", lines), REPOSITORY], tmp_path, *arguments)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(sentence)


@pytest.mark.parametrize(
    ("version", "module", "sentence"),
    [
        ((3, 11, 7), "truckscenes.eval", "truckscenes-devkit is missing: run `pip install truckscenes-devkit`"),
        (
            (3, 12, 1),
            "truckscenes.eval",
            "truckscenes-devkit is missing, since this is Python 3.12: mining needs Python 3.11",
        ),
        ((3, 12, 1), "PIL", "pillow is missing: run `pip install pillow`"),
    ],
)
def test_what_is_said_of_a_missing_package_depends_on_python(monkeypatch, version, module, sentence):
    monkeypatch.setattr("sys.version_info", version)
    assert sentence in str(missing_package(ModuleNotFoundError(name=module)))


def test_a_module_of_ours_that_is_missing_and_a_name_that_is_are_no_missing_package():
    assert missing_package(ModuleNotFoundError(name="blendclip.nothing")) is None
    assert missing_package(ImportError(name="numpy")) is None


@pytest.mark.slow
@NEEDS_ENVIRONMENT
@pytest.mark.parametrize("python", NAME_PYTHONS or ["none"])
def test_the_wheel_names_clouds_in_an_environment_of_the_list_alone(folder, python):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    place = [python, "-P", "-c", "import blendclip; print(blendclip.__file__)"]
    printed = subprocess.run(place, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
    assert not Path(printed.strip()).is_relative_to(REPOSITORY)
    command = [str(Path(python).with_name("blendclip")), *NAME[:-1], "there.parquet"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(folder / "there.parquet").to_pylist()
    expected = small_model().classify([np.load(folder / "clouds" / "a.npy")], ["car", "tree", "pedestrian"])
    assert [row["name"] for row in rows] == [expected.names[0]] * 3
