"""What is written down twice agrees."""

import hashlib
import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import blendclip

REPOSITORY = Path(__file__).parents[1]


def requirements(lines):
    """Name to requirement; what stands behind a semicolon, a Python that it is for, is left out."""
    plain = [re.sub(r"\s", "", line.partition(";")[0].lower()) for line in lines]
    return {re.split(r"[<>=!~\[]", line)[0]: line for line in plain}


def test_environment_and_pyproject_agree():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    conda = [re.sub(r"^[a-z-]+::", "", entry) for entry in environment["dependencies"] if isinstance(entry, str)]
    listed = requirements([*conda, *pip])
    assert listed.pop("python") == "python>=3.11,<3.12", "the only one that has the devkits"
    listed.pop("pip")
    wanted = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    assert listed == requirements(wanted)


def test_on_python_3_12_the_devkits_alone_are_missing():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert [
        python for python in ("3.10", "3.11", "3.12", "3.13") if python in SpecifierSet(project["requires-python"])
    ] == ["3.11", "3.12"]
    wanted = [Requirement(line) for line in project["dependencies"]]
    there = {
        python: {one.name for one in wanted if not one.marker or one.marker.evaluate({"python_version": python})}
        for python in ("3.11", "3.12")
    }
    assert there["3.11"] - there["3.12"] == {"nuscenes-devkit", "truckscenes-devkit"}
    assert metadata("truckscenes-devkit")["Requires-Python"].startswith("<3.12"), "else it could be there as well"


def test_citation_changelog_and_pyproject_agree():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == blendclip.__version__
    assert f"\n## [{blendclip.__version__}]" in (REPOSITORY / "CHANGELOG.md").read_text()
    assert citation["license"] == project["license"]
    assert citation["authors"] == project["authors"]
    assert citation["repository-code"] == project["urls"]["Source"]


def test_the_license_is_the_one_that_is_named():
    text = (REPOSITORY / "LICENSE").read_bytes()
    apache_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # of LICENSE-2.0.txt at apache.org
    assert hashlib.sha256(text).hexdigest() == apache_2_0
    assert tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"


def test_the_page_on_design_names_every_room():
    page = (REPOSITORY / "docs" / "design.md").read_text()
    table = page.partition("| module | does |")[2].partition("\n\n")[0]
    places = "\n".join(row.split("|")[1] for row in table.splitlines() if row.count("|") > 2)
    rooms = [path for path in (REPOSITORY / "blendclip").iterdir() if path.suffix == ".py" or path.is_dir()]
    for room in {path.name for path in rooms} - {"__main__.py", "__pycache__"}:
        assert re.search(rf"[/`]{re.escape(room)}[/`]", places), room
