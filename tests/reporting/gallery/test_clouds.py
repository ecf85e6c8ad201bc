from __future__ import annotations

import base64

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blendclip.reporting.gallery.clouds import packed_cloud, points_each, read_rows


def decoded(cloud: dict) -> np.ndarray:
    steps = np.frombuffer(base64.b64decode(cloud["points"]), "<i2").reshape(-1, 3)
    return np.array(cloud["centre"]) + cloud["scale"] * steps / 32767


def test_points_come_back_within_half_a_step():
    points = (np.random.default_rng(0).normal(size=(500, 3)) * [3, 1, 0.5] + [100, -4, 1]).astype(np.float32)
    cloud = packed_cloud(points, "a", 4096)
    half_step = cloud["scale"] / 32767 / 2
    np.testing.assert_allclose(decoded(cloud), points, rtol=0, atol=half_step + 2e-6)
    assert cloud["scale"] == pytest.approx(np.ptp(points, axis=0).max() / 2, abs=1e-6)


def test_a_large_cloud_is_thinned_to_some_of_its_points():
    points = np.random.default_rng(0).normal(size=(9000, 3)).astype(np.float32)
    back = decoded(packed_cloud(points, "a", 4096))
    assert len(back) == 4096
    nearest = np.abs(back[::64, None] - points[None]).max(axis=2).min(axis=1)
    assert nearest.max() < 2e-4
    assert packed_cloud(points, "a", 4096) != packed_cloud(points, "b", 4096)


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.full((1, 3), 2.5), np.full((4, 3), -1.0)])
def test_clouds_without_extent(points):
    np.testing.assert_allclose(decoded(packed_cloud(points.astype(np.float32), "a", 10)), points)


def test_many_clouds_get_fewer_points_each():
    assert points_each(0) == points_each(100) == 4096
    assert points_each(500) == 1500
    assert points_each(10**6) == 512


def test_rows_are_read_in_the_order_asked_for(tmp_path):
    table = pa.table({"number": list(range(2000)), "other": ["x"] * 2000})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=700)
    rows = [1999, 3, 700, 699, 3, 1400, 650]
    assert read_rows(tmp_path / "t.parquet", rows, ["number"]).to_pydict() == {"number": rows}
    assert read_rows(tmp_path / "t.parquet", [], ["number"]).to_pydict() == {"number": []}
