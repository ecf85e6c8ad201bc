"""Clouds of citytruck, six LiDARs with times of their own, against the rays that really hit each object."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pypcd4
import pytest
from truckscenes import TruckScenes

from blendclip.datasets import write_index
from blendclip.datasets.city import generate_city
from blendclip.datasets.city.cast import plan_scene
from blendclip.datasets.city.raycasting import o3d
from blendclip.datasets.city.truck_cast import KINDS, TRUCK_BODY, fill_truck_stage
from blendclip.mining.clouds import CloudOptions, gather_clouds
from tests.mining.pipeline import read

DURATION_S = 2.0
LIDAR_NUMBER = 100_000  # more than a sweep has points: intensity becomes row + LIDAR_NUMBER * number of the LiDAR


@pytest.fixture(scope="module")
def truck(tmp_path_factory):
    """A scene of each kind, long enough for full windows; intensities say which point of which LiDAR it is."""
    root = tmp_path_factory.mktemp("clouds") / "citytruck"
    scenes = {"mini_train": len(KINDS), "mini_val": 0}
    generate_city(root, rig="truck", scenes=scenes, duration_s=DURATION_S, workers=2, image_size_px=(64, 40))
    for number, channel in enumerate(lidars(root)):
        for path in root.glob(f"s*/{channel}/*.pcd"):
            number_points(path, number)
    write_index(root, "v1.2-mini", "citytruck", ["mini_train"], root.parent, format="truckscenes")
    return root


def lidars(root):
    return sorted(path.name for path in (root / "samples").glob("LIDAR_*"))


def number_points(path, lidar):
    cloud = pypcd4.PointCloud.from_path(path)
    cloud.pc_data["intensity"] = np.arange(cloud.points) + LIDAR_NUMBER * lidar
    cloud.save(path)


def clouds(root, **options):
    index, output = root.parent / "mini_train.parquet", root.parent / "clouds" / "part-00000.parquet"
    gather_clouds(index, root, 0, 1, output, root.parent / "rejects.parquet", CloudOptions(**options), 0.0)
    return read(output.parent)


class Truth:
    """What each ray hit, and which sweeps the devkit counts back from each keyframe."""

    def __init__(self, root, sweeps=10):
        self.tables, self.sweeps = TruckScenes("v1.2-mini", str(root), verbose=False), sweeps
        self.root, self.lidars = root, lidars(root)
        things = json.loads((root / "truth" / "instances.json").read_text())
        self.number = {thing["token"]: i + 1 for i, thing in enumerate(things)}
        self.hits = cache(lambda name: np.load(root / "truth" / f"{name}.npy"))

    @cache  # noqa: B019
    def window(self, sample_token):
        """Per LiDAR, the names of the files of the last sweeps before and at a keyframe."""
        files = {}
        for channel in self.lidars:
            token, names = self.tables.get("sample", sample_token)["data"][channel], []
            while token and len(names) < self.sweeps:
                row = self.tables.get("sample_data", token)
                names.append(Path(row["filename"]).stem)
                token = row["prev"]
            files[channel] = names
        return files

    def compare(self, cloud):
        """Points of the cloud that are its object's, points of the cloud, points of the object in its window."""
        number = self.number[cloud["instance_token"]]
        window = self.window(cloud["sample_token"])
        seen = sum(np.count_nonzero(self.hits(name) == number) for names in window.values() for name in names)
        lidar, row = np.divmod(cloud["intensity"].astype(np.int64), LIDAR_NUMBER)
        point_us = cloud["timestamp_us"] - np.round(cloud["time_lag_s"].astype(float) * 1e6).astype(np.int64)
        own = 0
        for number_of_lidar, channel in enumerate(self.lidars):
            ends = {int(name.rsplit("_", 1)[1]): name for name in window[channel]}
            mine = lidar == number_of_lidar
            # A point belongs to the first sweep that ends when it was measured or later.
            ordered = np.array(sorted(ends))
            for place, index in zip(np.searchsorted(ordered, point_us[mine] - 1), row[mine], strict=True):
                own += self.hits(ends[int(ordered[place])])[index] == number
        return np.array([own, len(row), seen])


SPEEDS_MPS = (0.5, 5, 10, 20)


def by_speed(root, **options):
    """Recall and precision of clouds, for objects that stand and for faster and faster ones."""
    truth, sums = Truth(root), np.zeros((len(SPEEDS_MPS) + 1, 3))
    for cloud in clouds(root, **options).to_dict("records"):
        velocity = cloud["velocity_mps"]
        speed = 0.0 if velocity is None else np.linalg.norm(velocity[:2])
        sums[np.searchsorted(SPEEDS_MPS, speed)] += truth.compare(cloud)
    return sums


def test_x(truck):
    for motion in ("per_point", "interpolate", "none"):
        s = by_speed(truck, motion=motion)
        print(motion, s[:, 2], np.round(s[:, 0] / s[:, 2], 4), np.round(s[:, 0] / s[:, 1], 4))
    assert 0
