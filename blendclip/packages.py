"""Packages that may be missing: what names clouds is installed without those that mine, train or report."""

from __future__ import annotations

import sys

from blendclip.errors import UserError

_DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "lzf": "python-neo-lzf",
    "nuscenes": "nuscenes-devkit",
    "open_clip": "open-clip-torch",
    "truckscenes": "truckscenes-devkit",
    "yaml": "pyyaml",
}
"""What pip calls a package whose module has another name."""
_DEVKITS = ("nuscenes", "truckscenes")
_PYTHON_OF_DEVKITS = (3, 11)  # truckscenes-devkit needs a Python before 3.12


def missing_package(error: ImportError) -> UserError | None:
    """A sentence on what to install, for the error of an import; None where no foreign package is missing."""
    module = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or module in ("", "blendclip"):
        return None
    return missing_module(module)


def missing_module(module: str) -> UserError:
    """A sentence on what to install, for a module that cannot be found."""
    package = _DISTRIBUTIONS.get(module, module)
    if module in _DEVKITS and sys.version_info[:2] > _PYTHON_OF_DEVKITS:
        return UserError(
            f"the package {package} is missing, since this is Python {sys.version_info[0]}.{sys.version_info[1]}: "
            "mining needs Python 3.11, naming clouds does not"
        )
    return UserError(f"the package {package} is missing: run `pip install {package}`, or install blendclip whole")
