"""What is written down twice agrees."""

import hashlib
import re
import tomllib
from pathlib import Path

import yaml

import blendclip

REPOSITORY = Path(__file__).parents[1]


def requirements(lines):
    return {re.split(r"[<>=!~\[; ]", line)[0].lower(): re.sub(r"\s", "", line.lower()) for line in lines}


def test_environment_and_pyproject_agree():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    conda = [re.sub(r"^[a-z-]+::", "", entry) for entry in environment["dependencies"] if isinstance(entry, str)]
    listed = requirements([*conda, *pip])
    assert listed.pop("python") == "python>=3.11,<3.12" == f"python{project['requires-python']}"
    listed.pop("pip")
    wanted = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    assert listed == requirements(wanted)


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
