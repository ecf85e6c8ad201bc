"""The city on a truck against the TruckScenes devkit, against the plan's own motion, and against itself."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import pypcd4
import pytest
from pyquaternion import Quaternion
from truckscenes import TruckScenes
from truckscenes.eval.common.loaders import add_center_dist, filter_eval_boxes, load_gt
from truckscenes.eval.detection.config import config_factory
from truckscenes.eval.detection.constants import DETECTION_NAMES
from truckscenes.eval.detection.data_classes import DetectionBox
from truckscenes.eval.detection.utils import category_to_detection_name
from truckscenes.utils.colormap import get_colormap
from truckscenes.utils.data_classes import LidarPointCloud
from truckscenes.utils.geometry_utils import points_in_box
from truckscenes.utils.splits import create_splits_scenes

from blendclip.synthetic.city.cast import plan_scene
from blendclip.synthetic.city.generate import RIGS, generate_city, make_recipe, scene_jobs
from blendclip.synthetic.city.motion import planar_SE3
from blendclip.synthetic.city.plan import ScenePlan
from blendclip.synthetic.city.raycasting import World, o3d
from blendclip.synthetic.city.truck_cast import KINDS, TRUCK_BODY, fill_truck_stage
from blendclip.synthetic.city.truck_sensors import LIDARS

TRUCK = RIGS["truck"]
LIDAR_NAMES = {f"LIDAR_{name}" for name in ("LEFT", "RIGHT", "TOP_FRONT", "TOP_LEFT", "TOP_RIGHT", "REAR")}
CAMERA_NAMES = {f"CAMERA_{side}_{end}" for side in ("LEFT", "RIGHT") for end in ("FRONT", "BACK")}
_EGO_MOTION = "token timestamp vx vy vz ax ay az yaw pitch roll yaw_rate pitch_rate roll_rate"
COLUMNS = {
    "attribute": "token name description",
    "calibrated_sensor": "token sensor_token translation rotation camera_intrinsic",
    "category": "token name description index",
    "ego_motion_cabin": _EGO_MOTION,
    "ego_motion_chassis": _EGO_MOTION,
    "ego_pose": "token translation rotation timestamp",
    "instance": "token category_token nbr_annotations first_annotation_token last_annotation_token",
    "sample": "token timestamp scene_token next prev",
    "sample_annotation": "token sample_token instance_token attribute_tokens visibility_token translation size rotation"
    " num_lidar_pts num_radar_pts next prev",
    "sample_data": "token sample_token ego_pose_token calibrated_sensor_token filename fileformat width height"
    " timestamp is_key_frame next prev",
    "scene": "token name description log_token weather_annotation_token nbr_samples first_sample_token"
    " last_sample_token",
    "sensor": "token channel modality",
    "visibility": "token level description",
    "weather_annotation": "token precipitation temperature wind_speed wind_direction",
}


@pytest.fixture(scope="module")
def trucksc(citytruck_root: Path) -> TruckScenes:
    """The dataset as its devkit sees it."""
    return TruckScenes("v1.2-mini", str(citytruck_root), verbose=False)


def _sweeps(trucksc: TruckScenes, scene: dict, channel: str) -> list[dict]:
    """All files of a channel in a scene, in order."""
    token = trucksc.get("sample", scene["first_sample_token"])["data"][channel]
    rows = []
    while token:
        rows.append(trucksc.get("sample_data", token))
        token = rows[-1]["next"]
    return rows


@cache
def _plan(name: str) -> ScenePlan:
    """The plan of a scene of the small dataset: each split has one, of the first kind."""
    return plan_scene(name, KINDS[0], 1.0, 0, TRUCK_BODY, fill_truck_stage)


class Ego:
    """The ego poses that the tables give, between which it goes straight and turns evenly."""

    def __init__(self, trucksc: TruckScenes, scene: dict) -> None:
        start = trucksc.get("sample", scene["first_sample_token"])["timestamp"]
        rows = [row for row in trucksc.ego_pose if abs(row["timestamp"] - start) < 10_000_000]
        self.start_us = start
        self.time_us = np.array([row["timestamp"] for row in rows])
        self.xy = np.array([row["translation"][:2] for row in rows])
        self.yaw = np.unwrap([Quaternion(row["rotation"]).yaw_pitch_roll[0] for row in rows])

    def pose_at(self, time_us: np.ndarray) -> np.ndarray:
        """(N, 3) x, y, yaw in global frame at timestamps (N,)."""
        assert self.time_us[0] <= np.min(time_us) and np.max(time_us) <= self.time_us[-1]
        columns = (*self.xy.T, self.yaw)
        return np.stack([np.interp(time_us, self.time_us, column) for column in columns], -1)

    def to_global(self, points: np.ndarray, time_us: np.ndarray) -> np.ndarray:
        """(N, 3) points in ego frame, each at its own time, in global frame."""
        x, y, yaw = self.pose_at(time_us).T
        cos, sin = np.cos(yaw), np.sin(yaw)
        return np.stack(
            [cos * points[:, 0] - sin * points[:, 1] + x, sin * points[:, 0] + cos * points[:, 1] + y, points[:, 2]], -1
        )


def _points(trucksc: TruckScenes, row: dict, ego: Ego) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) of a sweep in global frame, each taken there at its own time, and these times (N,)."""
    cloud = LidarPointCloud.from_file(trucksc.get_sample_data_path(row["token"]))
    mounting = trucksc.get("calibrated_sensor", row["calibrated_sensor_token"])
    in_ego = Quaternion(mounting["rotation"]).rotation_matrix @ cloud.points[:3]
    time_us = cloud.timestamps[0].astype(np.int64)
    return ego.to_global(in_ego.T + mounting["translation"], time_us), time_us


def _truth(root: Path, row: dict) -> np.ndarray:
    return np.load(root / "truth" / f"{Path(row['filename']).stem}.npy")


def test_tables_have_the_columns_of_the_schema(citytruck_root: Path) -> None:
    for table, columns in COLUMNS.items():
        rows = json.loads((citytruck_root / "v1.2-mini" / f"{table}.json").read_text())
        assert rows
        assert all(set(row) == set(columns.split()) for row in rows), table
        assert len({row["token"] for row in rows}) == len(rows)
    assert {path.stem for path in (citytruck_root / "v1.2-mini").iterdir()} == set(COLUMNS)


def test_devkit_lists_official_scenes_categories_and_sensors(trucksc: TruckScenes) -> None:
    splits = create_splits_scenes()
    assert [scene["name"] for scene in trucksc.scene] == [splits["mini_train"][0], splits["mini_val"][0]]
    assert {row["name"] for row in trucksc.category} == set(get_colormap())
    assert [row["level"] for row in trucksc.visibility] == [1, 2, 3, 4]
    assert {row["channel"] for row in trucksc.sensor} == LIDAR_NAMES | CAMERA_NAMES
    for scene in trucksc.scene:
        assert trucksc.get("weather_annotation", scene["weather_annotation_token"])["temperature"] > 273
    assert trucksc.get_scenes_description_filtered([("weather.clear", "==")])


def test_samples_at_2_hz_and_sweeps_at_10_hz_in_phases_of_their_own(trucksc: TruckScenes) -> None:
    for scene in trucksc.scene:
        samples = [sample for sample in trucksc.sample if sample["scene_token"] == scene["token"]]
        stamps = np.array([sample["timestamp"] for sample in samples])
        assert set(np.diff(stamps)) == {500_000}
        phases = set()
        for sample in samples:
            assert set(sample["data"]) == LIDAR_NAMES | CAMERA_NAMES
        for channel in LIDAR_NAMES:
            rows = _sweeps(trucksc, scene, channel)
            assert set(np.diff([row["timestamp"] for row in rows])) == {100_000}
            assert [row["is_key_frame"] for row in rows] == [number % 5 == 0 for number in range(len(rows))]
            phases.add(rows[0]["timestamp"] - samples[0]["timestamp"])
            for row in rows:
                wait = trucksc.get("sample", row["sample_token"])["timestamp"] - row["timestamp"]
                assert abs(wait) < 50_000 if row["is_key_frame"] else 0 < wait < 500_000
        assert len(phases) == 6 and max(phases) - min(phases) > 50_000


def test_files_name_the_nearest_pose_of_a_stream(trucksc: TruckScenes) -> None:
    times = np.sort([row["timestamp"] for row in trucksc.ego_pose])
    assert np.median(np.diff(times)) == 10_000
    for row in trucksc.sample_data:
        pose = trucksc.get("ego_pose", row["ego_pose_token"])
        assert pose == trucksc.getclosest("ego_pose", row["timestamp"])
        assert 0 < abs(pose["timestamp"] - row["timestamp"]) <= 5_000


def test_ego_poses_are_the_plan_s_and_motion_tells_their_change(trucksc: TruckScenes) -> None:
    for scene in trucksc.scene:
        ego = Ego(trucksc, scene)
        world = _plan(scene["name"]).ego.pose_at((ego.time_us - ego.start_us) / 1e6)
        turned = ego.yaw - world[:, 2]
        assert np.ptp(turned) < 1e-9
        cos, sin = np.cos(turned[0]), np.sin(turned[0])
        moved = ego.xy - world[:, :2] @ np.array([[cos, sin], [-sin, cos]])
        assert np.ptp(moved, axis=0).max() < 1e-6
        speed = np.linalg.norm(np.diff(ego.xy, axis=0), axis=1) / 0.01
        stamps = set(ego.time_us.tolist())
        said = [row["vx"] for row in trucksc.ego_motion_chassis if row["timestamp"] in stamps]
        assert np.allclose(speed, (np.array(said)[:-1] + said[1:]) / 2, atol=1e-3)


def test_pcd_is_compressed_and_its_times_lie_in_the_scan(trucksc: TruckScenes, citytruck_root: Path) -> None:
    for row in trucksc.sample_data:
        path = citytruck_root / row["filename"]
        assert path.is_file()
        if row["fileformat"] != "pcd":
            continue
        cloud = pypcd4.PointCloud.from_path(path)
        assert cloud.metadata.data == "binary_compressed"
        assert cloud.fields == ("x", "y", "z", "intensity", "timestamp")
        assert cloud.pc_data["timestamp"].dtype == np.uint64 and cloud.pc_data["x"].dtype == np.float32
        age_us = row["timestamp"] - cloud.pc_data["timestamp"].astype(np.int64)
        assert age_us.min() >= 0 and 35_000 < age_us.max() < 100_000
        assert 3_000 < len(age_us) < 25_000
        assert _truth(citytruck_root, row).shape == age_us.shape


def _residuals(trucksc: TruckScenes, root: Path, *, own_time: bool) -> dict[bool, np.ndarray]:
    """Distances of points to the surface of the thing they are said to lie on, by whether it is fast."""
    found = defaultdict(list)
    for scene in trucksc.scene:
        plan, ego = _plan(scene["name"]), Ego(trucksc, scene)
        first_number = next(
            i for i, row in enumerate(json.loads((root / "truth/instances.json").read_text()), 1)
            if row["scene"] == scene["name"]
        )  # fmt: skip
        start = planar_SE3(plan.ego.pose_at(0.0))
        world_SE3_global = start @ np.linalg.inv(planar_SE3(ego.pose_at(np.array([ego.start_us]))[0]))
        surfaces = {}
        for channel in sorted(LIDAR_NAMES):
            row = _sweeps(trucksc, scene, channel)[-2]
            points, time_us = _points(trucksc, row, ego)
            truth = _truth(root, row)
            in_world = points @ world_SE3_global[:3, :3].T + world_SE3_global[:3, 3]
            for number in np.unique(truth[truth > 0]):
                thing, mine = plan.things[number - first_number], truth == number
                when = time_us[mine] if own_time else np.full(mine.sum(), row["timestamp"])
                x, y, yaw = thing.motion.pose_at((when - ego.start_us) / 1e6).T
                dx, dy = in_world[mine, 0] - x, in_world[mine, 1] - y
                cos, sin = np.cos(yaw), np.sin(yaw)
                local = np.stack([cos * dx + sin * dy, cos * dy - sin * dx, in_world[mine, 2] - thing.mesh_z_m], -1)
                if number not in surfaces:
                    surfaces[number] = o3d.t.geometry.RaycastingScene()
                    surfaces[number].add_triangles(
                        o3d.core.Tensor(thing.mesh.vertices_m), o3d.core.Tensor(thing.mesh.triangles)
                    )
                off = surfaces[number].compute_distance(o3d.core.Tensor(local.astype(np.float32))).numpy()
                speed = np.linalg.norm(np.diff(thing.motion.pose_at(np.array([0.0, 0.1])), axis=0)[0, :2]) / 0.1
                found[bool(speed > 10)].append(off)
    return {fast: np.concatenate(parts) for fast, parts in found.items()}


def test_points_lie_on_their_things_at_their_own_times(trucksc: TruckScenes, citytruck_root: Path) -> None:
    for fast, off_m in _residuals(trucksc, citytruck_root, own_time=True).items():
        assert len(off_m) > 1000, fast
        assert np.sqrt(np.mean(off_m**2)) < 0.021  # range noise is 0.02
        assert off_m.max() < 0.12
    off_m = _residuals(trucksc, citytruck_root, own_time=False)[True]
    assert np.percentile(off_m, 75) > 0.1  # motion inside a scan is real


def test_rolling_rays_meet_what_rays_at_one_moment_meet(trucksc: TruckScenes) -> None:
    plan = _plan(trucksc.scene[0]["name"])
    world, rng = World(plan), np.random.default_rng(0)
    movers = [thing for thing in plan.things if thing.motion.moves]
    time_s = rng.uniform(-0.1, 1.0, 80)
    eye = np.array([-40.0, 0.0, 3.0])
    aims = [
        np.array([*movers[i % len(movers)].motion.pose_at(t)[:2], movers[i % len(movers)].mesh_z_m]) - eye
        for i, t in enumerate(time_s)
    ]
    rays = np.array([[*eye, *(aim / np.linalg.norm(aim))] for aim in aims])
    rolling = world.cast_rolling(rays, time_s)
    assert len(set(rolling.thing.tolist())) > 15
    for i, moment in enumerate(time_s):
        world.move_to(moment)
        still = world.cast(rays[i : i + 1].astype(np.float32))
        assert rolling.thing[i] == still.thing[0]
        assert abs(rolling.distance_m[i] - still.distance_m[0]) < 1e-3
        assert np.allclose(np.abs(rolling.normal[i] @ still.normal[0]), 1, atol=1e-3)


def test_traffic_passes_at_30_metres_a_second(trucksc: TruckScenes) -> None:
    relative = []
    for annotation in trucksc.sample_annotation:
        stamp = trucksc.get("sample", annotation["sample_token"])["timestamp"]
        motion, pose = trucksc.getclosest("ego_motion_chassis", stamp), trucksc.getclosest("ego_pose", stamp)
        ego = Quaternion(pose["rotation"]).rotate([motion["vx"], motion["vy"], 0.0])
        relative.append(np.linalg.norm(trucksc.box_velocity(annotation["token"]) - ego))
    assert np.nanmax(relative) > 30


def test_num_lidar_pts_counts_all_lidars_where_things_stand(trucksc: TruckScenes) -> None:
    counted = 0
    for scene in trucksc.scene:
        ego, sample = Ego(trucksc, scene), trucksc.get("sample", scene["last_sample_token"])
        rows = [trucksc.get("sample_data", sample["data"][channel]) for channel in sorted(LIDAR_NAMES)]
        points = np.concatenate([_points(trucksc, row, ego)[0] for row in rows]).T
        for token in sample["anns"]:
            annotation = trucksc.get("sample_annotation", token)
            if not annotation["prev"] or np.linalg.norm(trucksc.box_velocity(token)) > 0:
                continue
            inside = int(points_in_box(trucksc.get_box(token), points).sum())
            assert abs(inside - annotation["num_lidar_pts"]) <= 1  # a point may lie on the face
            counted += inside
    assert counted > 10_000


def test_boxes_hold_what_the_rays_hit_even_when_it_moves(trucksc: TruckScenes, citytruck_root: Path) -> None:
    """Boxes interpolated by the devkit to the time of a sweep hold most of the points that are near it in time."""
    number = {
        row["token"]: i for i, row in enumerate(json.loads((citytruck_root / "truth/instances.json").read_text()), 1)
    }
    both = hit = 0
    for scene in trucksc.scene:
        ego = Ego(trucksc, scene)
        for row in _sweeps(trucksc, scene, "LIDAR_TOP_FRONT")[1:-1]:
            points, time_us = _points(trucksc, row, ego)
            truth, late = _truth(citytruck_root, row), row["timestamp"] - time_us < 2_000
            for box in trucksc.get_boxes(row["token"]):
                token = trucksc.get("sample_annotation", box.token)["instance_token"]
                mine = (truth == number[token]) & late
                both += points_in_box(box, points[mine].T).sum() if mine.any() else 0
                hit += mine.sum()
    assert hit > 300
    assert both / hit > 0.97


def test_devkit_evaluates_every_class_in_both_splits(trucksc: TruckScenes) -> None:
    ranges = config_factory("detection_cvpr_2024").class_range
    for split in ("mini_train", "mini_val"):
        boxes = add_center_dist(trucksc, load_gt(trucksc, split, DetectionBox))
        kept = filter_eval_boxes(trucksc, boxes, ranges).all
        assert set(DETECTION_NAMES) == {box.detection_name for box in kept}
        assert max(box.ego_dist for box in kept) > 75


def test_multisweep_reads_all_lidars(trucksc: TruckScenes) -> None:
    sample = trucksc.sample[1]
    for channel in sorted(LIDAR_NAMES):
        cloud, lag = LidarPointCloud.from_file_multisweep(trucksc, sample, channel, "LIDAR_LEFT", nsweeps=3)
        assert cloud.nbr_points() == lag.size > 5_000
        assert 0.2 < np.ptp(lag) < 0.35


def test_the_trailer_follows_the_truck(trucksc: TruckScenes) -> None:
    trailers = [row for row in trucksc.sample_annotation if row["category_name"] == "vehicle.ego_trailer"]
    assert len(trailers) == len(trucksc.sample)
    for scene in trucksc.scene:
        ego = Ego(trucksc, scene)
        behind = []
        for row in trailers:
            sample = trucksc.get("sample", row["sample_token"])
            if sample["scene_token"] == scene["token"]:
                x, y, yaw = ego.pose_at(np.array([sample["timestamp"]]))[0]
                offset = np.array(row["translation"][:2]) - (x, y)
                behind.append([offset @ (np.cos(yaw), np.sin(yaw)), offset @ (-np.sin(yaw), np.cos(yaw))])
                assert row["num_lidar_pts"] > 500
        assert np.allclose(behind, [[1.7 - 11.5 / 2, 0]] * len(behind), atol=1e-3)


def test_signs_say_how_they_hang(trucksc: TruckScenes) -> None:
    seen = defaultdict(set)
    for row in trucksc.sample_annotation:
        if row["category_name"] == "static_object.traffic_sign":
            (token,) = row["attribute_tokens"]
            seen[trucksc.get("attribute", token)["name"].split(".")[1]].add(round(row["translation"][2]))
    assert set(seen) == {"pole_mounted", "overhanging", "temporary"}
    assert max(seen["temporary"]) < min(seen["pole_mounted"]) < min(seen["overhanging"])


def test_default_recipe_has_all_detection_classes_and_turning_traffic_in_both_splits() -> None:
    recipe = make_recipe(TRUCK)
    split_of = {name: split for split, names in recipe["scenes"].items() for name in names}
    seen, turning = defaultdict(Counter), Counter()
    for job in scene_jobs(TRUCK, Path("unused"), recipe):
        plan = plan_scene(job.name, job.kind, job.duration_s, job.seed, TRUCK_BODY, fill_truck_stage)
        seen[split_of[job.name]].update(category_to_detection_name(thing.category) for thing in plan.things)
        yaws = (thing.motion.pose_at(np.array([0.0, job.duration_s]))[:, 2] for thing in plan.things)
        turning[split_of[job.name]] += sum(np.ptp(yaw) > 0.2 for yaw in yaws)
    for split, counts in seen.items():
        assert all(counts[name] >= 2 for name in DETECTION_NAMES), split
        assert turning[split] >= 1


@pytest.mark.slow
def test_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    digests = defaultdict(list)
    for workers in (1, 2):
        root, one_each = tmp_path / str(workers), {"mini_train": 1, "mini_val": 1}
        generate_city(root, rig="truck", scenes=one_each, duration_s=0.5, workers=workers, image_size_px=(96, 60))
        for path in root.rglob("*"):
            if path.is_file():
                digests[path.relative_to(root)].append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) > 150
    assert all(len(pair) == 2 and pair[0] == pair[1] for pair in digests.values())


def test_an_unknown_rig_is_refused_by_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no rig 'tram'"):
        generate_city(tmp_path / "city", rig="tram")


def test_lidars_look_where_their_mounting_says() -> None:
    left = next(lidar for lidar in LIDARS if lidar.channel == "LIDAR_TOP_LEFT")
    rays, column_us = left.columns()
    middle = left.ego_SE3_lidar[:3, :3] @ rays[len(rays) // 2, left.rows // 2]
    assert middle[1] > 0.9 and middle[2] < -0.3  # to the left and down
    assert column_us[-1] == 0 and (np.diff(column_us) > 0).all()
