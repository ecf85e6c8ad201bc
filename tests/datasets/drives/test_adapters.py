"""The adapter in docs/adapters.md, as it stands there."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest

from blendclip import schemas
from blendclip.datasets.drives import index as drives_index
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.validation import validate_index
from blendclip.errors import UserError
from blendclip.mining.clouds import CloudOptions, gather_clouds
from tests.datasets.drives.truck import write_pcd

PAGE = Path(__file__).parents[3] / "docs" / "adapters.md"
START_S = 1_700_000_000


@pytest.fixture
def drives(monkeypatch):
    """The page's code as the adapter of format ours."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    module = ModuleType("blendclip.datasets.drives.ours")
    exec(compile(code, PAGE, "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(drives_index, "FORMATS", (*drives_index.FORMATS, "ours"))


@pytest.fixture
def root(tmp_path):
    """Drives 10 m/s along x past a car that stands 20 m ahead, and sees its left side."""
    folder = tmp_path / "data" / "v1" / "day-1"
    (folder / "lidar").mkdir(parents=True)
    (folder / "photo.jpg").touch()
    times_s = [START_S + step / 10 for step in range(6)]
    for number, time_s in enumerate(times_s):
        x_m = 10 * (time_s - START_S)
        xyz = np.stack([np.linspace(-2, 2, 50) + 20 - x_m - 1.0, np.full(50, 3.9), np.full(50, 0.7 - 1.8)], axis=1)
        write_pcd(folder / "lidar" / f"{number}.pcd", xyz, np.full(50, round(time_s * 1e6)))
    box = {"id": "car-1", "name": "car", "centre": [20.0, 3, 0.75], "yaw": 0.0, "length_width_height": [4.5, 2, 1.5]}
    drive = {
        "path": [[START_S + step / 50, 10 * step / 50, 0.0, 0.0] for step in range(-10, 40)],
        "lidar": [{"time": time_s, "file": f"lidar/{number}.pcd"} for number, time_s in enumerate(times_s)],
        "photographs": [{"time": times_s[-1], "file": "photo.jpg"}],
        "annotated": [{"time": time_s, "boxes": [box | {"points": 50}]} for time_s in (times_s[0], times_s[-1])],
    }
    (folder / "drive.json").write_text(json.dumps(drive))
    return tmp_path / "data"


def test_the_example_of_the_page_gives_an_index_that_is_mined(drives, root, tmp_path):
    index = tmp_path / "train.parquet"
    assert write_index(root, "v1", "ours", ["train"], tmp_path, format="ours") == {"train": 1}
    assert validate_index(index, root) == 1
    gather_clouds(index, root, 0, 1, tmp_path / "clouds.parquet", tmp_path / "rejects.parquet", CloudOptions(), 0.0)
    clouds = pq.read_table(tmp_path / "clouds.parquet").to_pandas()
    assert clouds["num_points"].tolist() == [50, 300]
    points = np.stack(clouds["points"][1])
    np.testing.assert_allclose(points[:, 1:], np.tile([0.9, -0.05], (300, 1)), atol=1e-3)
    assert points[:, 0].min() == pytest.approx(-2, abs=1e-3) and points[:, 0].max() == pytest.approx(2, abs=1e-3)


def test_the_page_names_every_column_of_the_index():
    page = PAGE.read_text().partition("## An example")[0]
    for field in schemas.INDEX:
        assert field.name in page
        for column in field.type.value_type if hasattr(field.type, "value_type") else ():
            assert column.name in page, f"{field.name}.{column.name}"
            for inner in column.type.value_type if column.name == "annotations" else ():
                assert inner.name in page, inner.name


def test_what_an_adapter_gets_wrong_is_not_left_behind(drives, root, tmp_path):
    path = root / "v1" / "day-1" / "drive.json"
    drive = json.loads(path.read_text())
    drive["path"] = drive["path"][:20]
    path.write_text(json.dumps(drive))
    with pytest.raises(UserError, match="sweeps row 2: global_SE3_sensor is NaN, must be known"):
        write_index(root, "v1", "ours", ["train"], tmp_path, format="ours")
    assert not list(tmp_path.glob("*.parquet"))
