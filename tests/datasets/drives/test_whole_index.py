"""The whole index, value by value, against one made through the devkits."""

import math

import pyarrow.parquet as pq
import pytest

from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import TableOptions
from tests.datasets.drives.by_devkit import ByDevkit
from tests.real import recording

MINI = ("mini_train", "mini_val")


def roots(name, request):
    return request.getfixturevalue(f"{name}_root") if name.startswith("city") else recording(name)[0]


def same(found, expected, where=""):
    """Compare nested values; numbers to the last few bits, as matrices are multiplied one by one or in stacks."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            same(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            same(one, other, f"{where}[{number}]")
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-14, abs_tol=1e-11), f"{where}: {found} != {expected}"
    else:
        assert found == expected and type(found) is type(expected), f"{where}: {found!r} != {expected!r}"


@pytest.mark.parametrize(
    ("name", "format", "version", "splits"),
    [
        ("city", "nuscenes", "v1.0-mini", MINI),
        ("citytruck", "truckscenes", "v1.2-mini", MINI),
        ("nuscenes_frame", "nuscenes", "v1.0-mini", MINI[:1]),
        ("dgp_drive", "nuscenes", "v1.0-mini", MINI[:1]),
    ],
)
def test_the_index_is_what_the_devkit_says(name, format, version, splits, request, tmp_path):
    root = roots(name, request)
    write_index(root, TableOptions(version), name, splits, tmp_path, format=format)
    by_devkit = ByDevkit(format, root, version)
    for split in splits:
        found = pq.read_table(tmp_path / f"{split}.parquet").to_pylist()
        expected = [{"dataset": name, "split": split} | row for row in by_devkit.rows(split)]
        assert sum(len(track["annotations"]) for row in expected for track in row["tracks"]) > 30
        same(found, expected)
