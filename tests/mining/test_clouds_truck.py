"""Clouds of citytruck, six LiDARs with times of their own, against the rays that really hit each object."""

import json
import logging
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pypcd4
import pytest
from truckscenes import TruckScenes

from blendclip import schemas, storage
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.mining.clouds import gather_clouds
from blendclip.mining.options import CloudOptions
from blendclip.synthetic.city.cast import plan_scene
from blendclip.synthetic.city.generate import generate_city
from blendclip.synthetic.city.raycasting import o3d
from blendclip.synthetic.city.truck_cast import KINDS, TRUCK_BODY, fill_truck_stage
from tests.mining.pipeline import read

log = logging.getLogger(__name__)

DURATION_S = 2.0
LIDAR_NUMBER = 100_000  # more than a sweep has points: intensity becomes row + LIDAR_NUMBER * number of the LiDAR


@pytest.fixture(scope="module")
def truck(tmp_path_factory):
    """A fast and a turning scene, with full windows; intensities say which point of which LiDAR it is."""
    root = tmp_path_factory.mktemp("clouds") / "citytruck"
    scenes = {"mini_train": 2, "mini_val": 0}
    generate_city(root, rig="truck", scenes=scenes, duration_s=DURATION_S, workers=2, image_size_px=(64, 40))
    for number, channel in enumerate(lidars(root)):
        for path in root.glob(f"s*/{channel}/*.pcd"):
            number_points(path, number)
    write_index(root, DriveOptions("v1.2-mini"), "citytruck", ["mini_train"], root.parent, format="truckscenes")
    return root


def lidars(root):
    return sorted(path.name for path in (root / "samples").glob("LIDAR_*"))


def number_points(path, lidar):
    cloud = pypcd4.PointCloud.from_path(path)
    cloud.pc_data["intensity"] = np.arange(cloud.points) + LIDAR_NUMBER * lidar
    cloud.save(path)


def clouds(root, index_name="mini_train.parquet", **options):
    index, output = root.parent / index_name, root.parent / "clouds" / "part-00000.parquet"
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


FASTER_THAN_MPS = (0.5, 5, 10)


def by_speed(root, **options):
    """Recall and precision of clouds (4, 2), for objects that stand and for faster and faster ones."""
    truth, sums = Truth(root), np.zeros((len(FASTER_THAN_MPS) + 1, 3))
    for cloud in clouds(root, min_points=0, **options).to_dict("records"):
        sums[np.searchsorted(FASTER_THAN_MPS, speed_mps(cloud))] += truth.compare(cloud)
    own, found, seen = sums.T
    assert seen.min() > 10_000
    return np.stack([own / seen, own / found], axis=1)


def speed_mps(cloud):
    return 0.0 if cloud["velocity_mps"] is None else np.linalg.norm(cloud["velocity_mps"][:2])


def test_at_their_own_time_points_are_found_and_else_lost_the_more_the_faster(truck):
    per_point, interpolated, kept = (by_speed(truck, motion=motion) for motion in ("per_point", "interpolate", "none"))
    log.info("recall and precision by speed: %s", np.round([per_point, interpolated, kept], 4).tolist())
    assert (per_point[:, 0] >= 0.99).all() and (per_point[:, 1] >= 0.95).all()
    assert (interpolated[:, 0] < per_point[:, 0] - 0.02).all(), "ego and boxes move within a turn of a LiDAR"
    assert kept[0, 0] > kept[1, 0] > 0.5 > kept[2:, 0].max(), "the faster, the fewer at the keyframe's pose"


@cache
def things(root):
    """The mesh of every object, by instance token, and how far its centre is above the box's."""
    listed = json.loads((root / "truth" / "instances.json").read_text())
    found = {}
    for number, scene in enumerate(dict.fromkeys(thing["scene"] for thing in listed)):
        plan = plan_scene(scene, KINDS[number], DURATION_S, 0, TRUCK_BODY, fill_truck_stage)
        tokens = [thing["token"] for thing in listed if thing["scene"] == scene]
        for token, thing in zip(tokens, plan.things, strict=True):
            found[token] = (thing.mesh, thing.box_z_m - thing.mesh_z_m)
    return found


def distance_to_surface_m(root, cloud):
    """Mean distance of the cloud's points to the mesh that the rays were cast against."""
    mesh, up_m = things(root)[cloud["instance_token"]]
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(mesh.vertices_m.astype(np.float32), mesh.triangles.astype(np.uint32))
    points = np.stack(cloud["points"]) + np.float32([0, 0, up_m])
    return scene.compute_distance(points.astype(np.float32)).numpy().mean()


def test_points_of_moving_objects_lie_on_their_surface(truck):
    index = read(truck.parent, "mini_train.parquet")
    ego_mps = {}
    for keyframes in index["keyframes"]:
        times = np.array([row["timestamp_us"] for row in keyframes]) * 1e-6
        places = np.array([np.reshape(row["global_SE3_ego"], (3, 4))[:2, 3] for row in keyframes])
        speeds = np.gradient(places, times, axis=0)
        ego_mps |= {row["sample_token"]: speed for row, speed in zip(keyframes, speeds, strict=True)}
    rows = [cloud for cloud in clouds(truck, min_points=20).to_dict("records") if speed_mps(cloud) > 1]
    relative_mps = np.array([np.linalg.norm(row["velocity_mps"][:2] - ego_mps[row["sample_token"]]) for row in rows])
    distances_m = np.array([distance_to_surface_m(truck, row) for row in rows])
    fast = relative_mps >= 30
    log.info("mean distance to the surface %.4f m, at 30 m/s %.4f m", distances_m.mean(), distances_m[fast].mean())
    assert fast.sum() >= 5
    assert distances_m.mean() <= 0.03 and distances_m[fast].mean() <= 0.03
    assert np.quantile(distances_m, 0.95) <= 0.03


def test_a_lidar_that_has_fallen_silent_adds_nothing_old(truck):
    rows = pq.read_table(truck.parent / "mini_train.parquet").to_pylist()
    for row in rows:
        silent_us = row["keyframes"][0]["timestamp_us"] + 100_000
        row["sweeps"] = [s for s in row["sweeps"] if s["channel"] != "LIDAR_LEFT" or s["timestamp_us"] < silent_us]
    scenes = [storage.table_of([row], schemas.INDEX) for row in rows]
    storage.write_parquet(truck.parent / "silent.parquet", schemas.INDEX, scenes, {})
    left = lidars(truck).index("LIDAR_LEFT")
    first_us = {row["scene"]: row["keyframes"][0]["timestamp_us"] for row in rows}
    heard = set()
    for cloud in clouds(truck, "silent.parquet").to_dict("records"):
        if (cloud["intensity"] // LIDAR_NUMBER == left).any():
            heard.add(cloud["timestamp_us"] - first_us[cloud["scene"]])
    # Ten sweeps take a second; half as long again is let pass for sweeps that are missing in between.
    assert {0, 500_000} <= heard <= {0, 500_000, 1_000_000, 1_500_000}
