"""What is written down twice agrees."""

import re
import tomllib
from pathlib import Path

import yaml

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
