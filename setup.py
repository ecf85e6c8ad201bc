"""What pyproject.toml cannot say: a wheel holds the data that lies at the top of the repository, in `blendclip/_data`.

`blendclip/shipped.py` finds it there. An installation in place (`pip install -e`) takes it from the repository itself.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DATA = ("prompts", "workflow", "configs", "config.yaml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "*~")


class BuildWithData(build_py):
    """Builds the package and copies the data into it."""

    def run(self) -> None:
        """Build, with data unless the package is installed in place."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "blendclip" / "_data"
        shutil.rmtree(target, ignore_errors=True)  # what an earlier build left
        target.mkdir(parents=True)
        for source in map(Path, DATA):
            if source.is_dir():
                shutil.copytree(source, target / source, ignore=LEFT_OUT)
            else:
                shutil.copy2(source, target / source)


setup(cmdclass={"build_py": BuildWithData})
