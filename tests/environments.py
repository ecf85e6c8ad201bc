"""What a wheel of this repository is, and environments that hold less than ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[1]
_FOLDERS = ("blendclip", "prompts", "workflow", "configs", "requirements")
_FILES = ("config.yaml", "README.md", "LICENSE", "pyproject.toml", "setup.py", "MANIFEST.in")
_HIDDEN = shutil.ignore_patterns("__pycache__")


def unpacked_wheel(folder: Path) -> Path:
    """A folder for `PYTHONPATH` with the wheel that is made of the source distribution of this repository."""
    source, unpacked, site = folder / "source", folder / "unpacked", folder / "site"
    source.mkdir(parents=True)
    for name in _FOLDERS:
        shutil.copytree(REPOSITORY / name, source / name, ignore=_HIDDEN)
    for name in _FILES:
        shutil.copy2(REPOSITORY / name, source / name)
    shutil.unpack_archive(_built("sdist", source, folder), unpacked)
    (root,) = unpacked.iterdir()
    with zipfile.ZipFile(_built("wheel", root, folder)) as archive:
        archive.extractall(site)
    return site


def _built(kind: str, source: Path, folder: Path) -> Path:
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1]


def requirements_in(path: Path) -> list[str]:
    """The lines of a file of requirements that are some."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def with_dependencies(requirements: list[str]) -> set[str]:
    """Names of the distributions that pip would install for these requirements, those that are here."""
    names, waiting = set(), [Requirement(line) for line in requirements]
    while waiting:
        one = waiting.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        if name not in names:
            names.add(name)
            more = [Requirement(line) for line in distribution(name).requires or []]
            waiting += [line for line in more if line.marker is None or line.marker.evaluate({"extra": ""})]
    return names


def linked_site(folder: Path, requirements: list[str]) -> Path:
    """A folder for `PYTHONPATH` with these packages and what they need, linked to ours."""
    folder.mkdir(parents=True)
    for name in with_dependencies(requirements):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(found.locate_file(top))))
    return folder


def run_alone(site: list[Path], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What `blendclip` says in a folder when Python sees these folders and its own library, and nothing else."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, site)), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-S", "-P", "-m", "blendclip", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
