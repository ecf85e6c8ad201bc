"""The registry of formats, and readers that lie outside of the project."""

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from blendclip.config import read_config, schema
from blendclip.datasets.formats import FORMATS, format_named, formats_of
from blendclip.errors import UserError
from blendclip.options import hints
from blendclip.schemas import STAGE_VERSIONS
from tests.test_workflow import REPOSITORY, run

OUTSIDE = '''
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from blendclip.benchmarks.clouds import LabeledCloud
from blendclip.errors import UserError
from blendclip.options import Options
from blendclip.ranges import Range


class Drives:
    @dataclass(frozen=True)
    class Options(Options):
        hz: Annotated[int, Range(ge=1)] = 2
        """Keyframes a second."""

    def load(self, root, hz):
        return root, hz

    def split_scenes(self, tables, split):
        raise UserError(f"read {tables[0].name} at {tables[1]} Hz")

    def rows(self, tables, scenes):
        return []


class Balls:
    @dataclass(frozen=True)
    class Options(Options):
        path: Path
        """Folder of balls."""
        radius_m: Annotated[float, Range(gt=0)] = 1.0
        """Radius of the balls, in metres."""

    def __init__(self, options):
        self.options, self.where = options, str(options.path)

    def names(self):
        return ["ball"]

    def clouds(self, left_out):
        points = np.eye(3, dtype=np.float32) * self.options.radius_m
        yield LabeledCloud("one", "ball", points)


DRIVES = Drives()
'''


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A folder that a package with readers was installed into."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "streets").mkdir()
    (source / "streets" / "__init__.py").write_text("")
    (source / "streets" / "readers.py").write_text(OUTSIDE)
    (source / "pyproject.toml").write_text('[project]\nname = "streets"\nversion = "1"\n')
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(target), str(source)], check=True)
    return target


def test_every_entry_says_who_reads_it_and_which_options_it_has():
    assert len({(one.kind == "benchmark", one.name) for one in FORMATS}) == len(FORMATS)
    for one in FORMATS:
        reader, options = one.open(), one.options_class()
        method = {"drive": "rows", "cad": "entries", "benchmark": "clouds"}[one.kind]
        assert hasattr(reader, method), one.name
        assert set(one.fixed) <= set(hints(options)), one.name
        if one.generator is not None:
            assert one.generator.stage in STAGE_VERSIONS and one.generator_options()


def test_the_schema_offers_every_format():
    for key, kinds in (("datasets", ("drive", "cad")), ("benchmarks", ("benchmark",))):
        choices = schema()["properties"][key]["additionalProperties"]["anyOf"]
        offered = [choice["properties"]["format"].get("const") for choice in choices]
        assert offered == [*(one.name for one in formats_of(*kinds)), None]


def test_a_format_that_is_nowhere_is_told():
    with pytest.raises(UserError, match="`format` is 'nuscene', which is no format: did you mean nuscenes"):
        format_named("nuscene", "drive", "cad")
    with pytest.raises(UserError, match="take one of mined, cad, modelnet40"):
        format_named("x", "benchmark")
    with pytest.raises(UserError, match="needs the method `rows` \\(drive\\)"):
        format_named("json:dumps", "drive")


def test_a_reader_from_outside_is_configured_by_its_own_options(outside, monkeypatch):
    monkeypatch.syspath_prepend(outside)
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    drive = {"format": "streets.readers:DRIVES", "root": "/data", "splits": ["all"], "parts": 2}
    config["datasets"]["streets"] = drive | {"hz": 5}
    config["benchmarks"]["balls"] = {
        "format": "streets.readers:Balls",
        "path": "/balls",
        "classes": "shapes",
        "templates": "plain",
    }
    config["mine"].append("streets")
    read = read_config(config)
    assert read.datasets["streets"].options.hz == 5 and read.benchmarks["balls"].options.radius_m == 1.0
    config["datasets"]["streets"] = drive | {"hz": 0}
    with pytest.raises(UserError, match="`datasets.streets.hz` is 0: it must be at least 1"):
        read_config(config)
    config["datasets"]["streets"] = drive | {"version": "v1"}
    with pytest.raises(UserError, match="`datasets.streets.version` is no option"):
        read_config(config)


def test_the_commands_and_the_workflow_use_readers_from_outside(outside, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(outside), *filter(None, [os.environ.get("PYTHONPATH")])]))

    def blendclip(*arguments):
        command = [sys.executable, "-m", "blendclip", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    index = ["index", "--root", "data", "--dataset", "d", "--splits", "all", "--output", "index"]
    done = blendclip(*index, "--format", "streets.readers:DRIVES", "--options", '{"hz": 7}')
    assert done.returncode == 1 and "read data at 7 Hz" in done.stderr, done.stderr
    (tmp_path / "classes.yaml").write_text("classes: {ball: [ball]}\n")
    options = json.dumps({"path": "balls", "radius_m": 2})
    made = ["benchmark", "--name", "balls", "--format", "streets.readers:Balls", "--options", options]
    done = blendclip(*made, "--classes", "classes.yaml", "--output", "balls.parquet")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.stack(pq.read_table(tmp_path / "balls.parquet")["points"][0].as_py()), 2 * np.eye(3))
    drive = {"format": "streets.readers:DRIVES", "root": "data", "splits": ["all"], "parts": 2}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"mine": ["streets"], "datasets": {"streets": drive}}))
    status, printed = run(tmp_path, "mine_triplets", "--dry-run")
    assert status == 0 and "--format streets.readers:DRIVES" in printed and '{"hz": 2}' in printed, printed


EVERYTHING = {
    "mine": ["nuscenes", "truckscenes", "argoverse2", "city", "citytruck", "cityav2"],
    "cad": ["meshes", "shapes", "openshape", "ulip2"],
    "clip": {"model": "ViT-bigG-14", "pretrained": "laion2b_s39b_b160k"},
    "datasets": {
        "nuscenes": {"format": "nuscenes", "root": "/n", "version": "v1.0-mini", "splits": ["mini_val"], "parts": 2},
        "truckscenes": {
            "format": "truckscenes",
            "root": "/t",
            "version": "v1.2-mini",
            "splits": ["mini_val"],
            "parts": 2,
        },
        "argoverse2": {"format": "argoverse2", "root": "/a", "splits": ["val"], "parts": 2},
        "cityav2": {"format": "cityav2", "splits": ["train", "val"], "parts": 1, "scenes": {"val": 1}},
        "meshes": {
            "format": "meshes",
            "root": "/m",
            "up": "z",
            "front": "-y",
            "unit_m": 0.1,
            "splits": ["a"],
            "parts": 1,
        },
        "openshape": {"format": "openshape", "root": "/o", "splits": ["train_all"], "parts": 2},
        "ulip2": {"format": "ulip2", "root": "/u", "views": 3, "splits": ["train"], "parts": 2},
    },
    "evaluate": ["mined", "cad", "modelnet40", "scanobjectnn", "objaverse_lvis", "table"],
    "benchmarks": {
        name: {"format": name, "classes": "shapes", "templates": "plain"} | options
        for name, options in {
            "mined": {"split": "city/mini_val"},
            "cad": {"split": "shapes/test"},
            "modelnet40": {"path": "/m40"},
            "scanobjectnn": {"path": "/s", "variant": "obj_only"},
            "objaverse_lvis": {"path": "/lvis"},
            "table": {"path": "/table.csv", "up": "y"},
        }.items()
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("shipped", ["everything", "paper"])
def test_plans_are_known_before_any_data_is_read(tmp_path, shipped):
    paper = yaml.safe_load((REPOSITORY / "configs" / "paper.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(EVERYTHING if shipped == "everything" else paper))
    for target in ("mine_triplets", "cad_triplets", "embed", "pack", "train_curriculum", "report"):
        status, printed = run(tmp_path, target, "--dry-run", "--quiet", "rules")
        assert status == 0, printed
