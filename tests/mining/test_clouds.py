"""Clouds of city against the rays that really hit each object."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.mining.clouds import gather_clouds
from blendclip.mining.options import CloudOptions
from blendclip.synthetic.city.generate import generate_city
from tests.mining.pipeline import read

MOVING_MPS = 1.0


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """Three scenes, long enough for full windows; the sweeps carry row numbers as intensity."""
    root = tmp_path_factory.mktemp("clouds") / "city"
    generate_city(root, scenes={"mini_train": 3, "mini_val": 0}, duration_s=2.0, workers=2, image_size_px=(64, 36))
    for path in root.glob("s*/LIDAR_TOP/*.bin"):
        points = np.fromfile(path, np.float32).reshape(-1, 5)
        points[:, 3] = np.arange(len(points))
        points.tofile(path)
    write_index(root, DriveOptions("v1.0-mini"), "city", ["mini_train"], root.parent)
    return root


def clouds(root, **options):
    """Clouds of the city as a data frame; `intensity` holds the row of each point in its sweep."""
    index, output = root.parent / "mini_train.parquet", root.parent / "clouds" / "part-00000.parquet"
    gather_clouds(index, root, 0, 1, output, root.parent / "rejects.parquet", CloudOptions(**options), 0.0)
    return read(output.parent)


class Truth:
    """Which thing each ray hit, sweep by sweep."""

    def __init__(self, root):
        things = json.loads((root / "truth" / "instances.json").read_text())
        self.number = {thing["token"]: i + 1 for i, thing in enumerate(things)}
        self.hits = {}
        for path in root.glob("s*/LIDAR_TOP/*.bin"):
            time_us = int(path.name.removesuffix(".pcd.bin").rsplit("__", 1)[1])
            self.hits[time_us] = np.load(root / "truth" / f"{path.name.removesuffix('.pcd.bin')}.npy")

    def compare(self, cloud, sweeps=10, period_us=50_000):
        """Points of the cloud that are its object's, points of the cloud, points of the object in its window."""
        times = [t for t in self.hits if 0 <= cloud["timestamp_us"] - t < sweeps * period_us]
        number = self.number[cloud["instance_token"]]
        seen = sum(np.count_nonzero(self.hits[t] == number) for t in times)
        point_times = cloud["timestamp_us"] - np.round(cloud["time_lag_s"] * 1e6).astype(np.int64)
        assert set(point_times) <= set(times)
        own = [self.hits[t][int(row)] == number for t, row in zip(point_times, cloud["intensity"], strict=True)]
        return np.array([sum(own), len(own), seen])


def recall_and_precision(root, **options):
    """Recall and precision over all standing and over all moving objects."""
    truth, sums = Truth(root), {"standing": np.zeros(3), "moving": np.zeros(3)}
    for cloud in clouds(root, **options).to_dict("records"):
        velocity = cloud["velocity_mps"]
        moving = velocity is not None and np.hypot(*velocity[:2]) > MOVING_MPS
        sums["moving" if moving else "standing"] += truth.compare(cloud)
    assert min(seen for _, _, seen in sums.values()) > 10_000
    return {name: (own / seen, own / found) for name, (own, found, seen) in sums.items()}


def test_clouds_hold_the_points_of_their_object_moving_or_not(city):
    followed, kept = recall_and_precision(city), recall_and_precision(city, motion="none")
    for recall, precision in followed.values():
        assert recall >= 0.99
        assert precision >= 0.95
    assert kept["standing"] == pytest.approx(followed["standing"], abs=0.005)
    assert kept["moving"][0] < 0.8, "with the pose of the keyframe a moving object's points are lost"


def test_the_keyframes_sweep_alone_gives_the_official_counts(city):
    rows = clouds(city, sweeps=1, min_points=0)
    assert len(rows) > 100
    assert rows["num_points"].tolist() == rows["num_lidar_pts"].tolist()


def test_points_come_newest_sweep_first_and_in_the_order_of_the_file(city):
    for cloud in clouds(city).to_dict("records"):
        order = np.lexsort((cloud["intensity"], cloud["time_lag_s"]))
        np.testing.assert_array_equal(order, np.arange(cloud["num_points"]))


def test_too_few_points_make_a_reject(city):
    everyone, some = clouds(city), clouds(city, min_points=50)
    assert some["annotation_token"].tolist() == everyone[everyone["num_points"] >= 50]["annotation_token"].tolist()
    rejects = pq.read_table(city.parent / "rejects.parquet").to_pandas()
    assert len(rejects) == len(everyone) - len(some)
    assert rejects["reason"].str.fullmatch(r"\d+ LiDAR points in its box over \d+ sweeps; min_points is 50").all()


def test_distance_and_velocity_are_passed_on(city):
    index = pq.read_table(city.parent / "mini_train.parquet").to_pylist()
    egos = {row["sample_token"]: np.reshape(row["global_SE3_ego"], (3, 4)) for s in index for row in s["keyframes"]}
    for cloud in clouds(city).to_dict("records"):
        ego_m = egos[cloud["sample_token"]][:2, 3]
        assert cloud["distance_m"] == pytest.approx(np.linalg.norm(cloud["translation"][:2] - ego_m), abs=1e-4)
