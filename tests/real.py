"""Real recordings, where they lie beside the checkout."""

import json
from pathlib import Path

import pytest

REAL = Path(__file__).parents[2] / "shared" / "real"


def recording(name):
    """Folder and expected values of a real recording; skips the test where it is absent."""
    if not (REAL / name).is_dir():
        pytest.skip(f"the real recording {name} is not on this machine")
    return REAL / name, json.loads((REAL / f"{name}.expected.json").read_text())


def objects(name):
    """Table of real LiDAR objects with their class names; skips the test where it is absent."""
    path = REAL / "objects" / f"{name}.parquet"
    if not path.is_file():
        pytest.skip(f"the real objects {name} are not on this machine")
    return path
