"""What is installed from a wheel works outside the checkout as it does inside."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from blendclip.cli import workflow
from blendclip.cli.main import main
from blendclip.evaluation.prompts import read_classes
from blendclip.prompts import prompt_path
from blendclip.shipped import shipped
from tests.environments import REPOSITORY, unpacked_wheel

DATA = ("prompts", "workflow", "configs", "config.yaml")
PACKAGE_DATA = {".css", ".html", ".jinja", ".js", ".json", ".py", ".safetensors", ".typed", ".yaml"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return unpacked_wheel(tmp_path_factory.mktemp("wheel"))


def blendclip_of(site, folder, *arguments):
    """The command of the wheel in a folder, with all other packages of this environment."""
    environment = os.environ | {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-P", "-m", "blendclip", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def files_below(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_wheel_holds_the_data_and_the_package_byte_for_byte(site):
    for name in DATA:
        ours, theirs = REPOSITORY / name, site / "blendclip" / "_data" / name
        if ours.is_dir():
            assert files_below(theirs) == files_below(ours) != {}
        else:
            assert theirs.read_bytes() == ours.read_bytes()
    package = {
        path: text for path, text in files_below(REPOSITORY / "blendclip").items() if "__pycache__" not in path.parts
    }
    assert {path.suffix for path in package} == PACKAGE_DATA, "something of another kind: is it in the wheel?"
    installed = files_below(site / "blendclip")
    assert {path: installed[path] for path in installed if path.parts[0] != "_data"} == package
    assert [path.name for path in site.iterdir() if path.suffix != ".dist-info"] == ["blendclip"]


def test_an_empty_folder_is_planned_from_the_wheel(site, tmp_path):
    status, printed = blendclip_of(site, tmp_path, "workflow", "mine_triplets", "-n", "--quiet", "rules")
    assert status == 0, printed
    data = site / "blendclip" / "_data"
    assert (
        f"profile {data}/workflow/profiles/default for" in printed
        and f"Snakefile: {data}/workflow/Snakefile" in printed
    )
    assert "gather_clouds             8\n" in printed and f"{REPOSITORY}/" not in printed


def test_the_config_of_the_folder_is_taken_and_one_that_is_given_instead(site, tmp_path):
    for name, parts in (("config.yaml", 3), ("other.yaml", 5)):
        city = {"format": "nuscenes", "root": "/data", "version": "v1.0-mini", "splits": ["mini_val"], "parts": parts}
        (tmp_path / name).write_text(yaml.safe_dump({"mine": ["town"], "datasets": {"town": city}}))
    for more, parts in (([], 3), (["--configfile", "other.yaml"], 5), (["--config", "mine=[city]"], 4)):
        status, printed = blendclip_of(site, tmp_path, "workflow", "mine_triplets", "-n", "--quiet", "rules", *more)
        assert status == 0 and re.search(rf"gather_clouds +{parts}\b", printed), printed


def test_rules_find_the_command_and_the_exit_status_is_that_of_snakemake(site, tmp_path):
    """The recipe of a run is written by a rule, `blendclip recipe`, though `blendclip` is on no search path."""
    recipe = "results/runs/curriculum/recipe.json"
    status, printed = blendclip_of(site, tmp_path, "workflow", recipe, "--cores", "1")
    assert status == 0 and (tmp_path / recipe).is_file(), printed
    status, printed = blendclip_of(site, tmp_path, "workflow", "no_such_target", "-n")
    assert status == 1 and "MissingRuleException" in printed


def test_a_checkout_takes_what_lies_beside_the_package(monkeypatch, tmp_path):
    assert shipped("workflow") == REPOSITORY / "workflow"
    monkeypatch.chdir(tmp_path)
    snakefile = str(REPOSITORY / "workflow" / "Snakefile")
    assert workflow.snakemake_arguments("report", ["-n"]) == ["--snakefile", snakefile, "report", "-n"]
    (tmp_path / "config.yaml").touch()
    assert workflow.snakemake_arguments("report", []) == [
        "--configfile",
        "config.yaml",
        "--snakefile",
        snakefile,
        "report",
    ]


def test_a_folder_of_that_name_that_is_not_ours_is_not_taken(monkeypatch, tmp_path, capsys):
    (tmp_path / "workflow").mkdir()
    monkeypatch.setattr("blendclip.shipped._PLACES", (tmp_path / "_data", tmp_path))
    assert main(["workflow", "report"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("blendclip workflow: ") and line.endswith("install it again from a wheel or a checkout")


def test_paths_of_prompts_that_are_not_here_are_those_that_ship(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = Path("prompts/classes/city.yaml")
    assert prompt_path(path) == REPOSITORY / path and len(read_classes(path)) == 10
    for other in (Path("prompts/classes/none.yaml"), Path("classes/city.yaml"), Path("/prompts/classes/city.yaml")):
        assert prompt_path(other) == other
    path.parent.mkdir(parents=True)
    path.write_text("classes: {car: [car]}")
    assert read_classes(path) == {"car": ["car"]}
