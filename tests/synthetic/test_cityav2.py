"""The city in Argoverse 2's layout against a real log, against OpenCV's lens, and against the plan's own motion."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from nuscenes.utils.data_classes import Box
from nuscenes.utils.geometry_utils import points_in_box
from PIL import Image
from pyarrow import feather
from pyquaternion import Quaternion

from blendclip.errors import UserError
from blendclip.synthetic.city.av2_cast import KINDS, fill_av2_stage
from blendclip.synthetic.city.av2_sensors import CAMERAS
from blendclip.synthetic.city.cast import plan_scene
from blendclip.synthetic.city.generate import RIGS, generate_city, make_recipe, scene_jobs
from blendclip.synthetic.city.motion import planar_SE3
from blendclip.synthetic.city.plan import CAR_BODY, ScenePlan
from blendclip.synthetic.city.raycasting import World, o3d
from blendclip.synthetic.city.sensors import rays_in_world
from blendclip.synthetic.meshes.catalog import AV2_CATEGORY_SHAPES
from tests.real import REAL

DURATION_S = 1.0
SIDES = {f"ring_{place}_{side}" for place in ("front", "side", "rear") for side in ("left", "right")}
CAMERA_NAMES = SIDES | {"ring_front_center", "stereo_front_left", "stereo_front_right"}
AXLE_M = 0.33
_POSE = dict.fromkeys(("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m"), "double")
COLUMNS = {
    "annotations": {"timestamp_ns": "int64", "track_uuid": "string", "category": "string"}
    | dict.fromkeys(("length_m", "width_m", "height_m"), "double")
    | _POSE
    | {"num_interior_pts": "int64"},
    "city_SE3_egovehicle": {"timestamp_ns": "int64"} | _POSE,
    "calibration/egovehicle_SE3_sensor": {"sensor_name": "string"} | _POSE,
    "calibration/intrinsics": {"sensor_name": "string"}
    | dict.fromkeys(("fx_px", "fy_px", "cx_px", "cy_px", "k1", "k2", "k3"), "double")
    | dict.fromkeys(("height_px", "width_px"), "uint16"),
    "sensors/lidar": dict.fromkeys("xyz", "halffloat")
    | {"intensity": "uint8", "laser_number": "uint8", "offset_ns": "int32"},
}


def columns(path: Path) -> dict[str, str]:
    """Names and types of a feather file's columns."""
    return {field.name: str(field.type) for field in feather.read_table(path).schema}


def rows(log: Path, name: str) -> list[dict]:
    """Rows of one of a log's tables."""
    return feather.read_table(log / f"{name}.feather").to_pylist()


def matrix(row: dict) -> np.ndarray:
    """The pose (4, 4) in a row."""
    pose = Quaternion(*(row[name] for name in ("qw", "qx", "qy", "qz"))).transformation_matrix
    pose[:3, 3] = [row[name] for name in ("tx_m", "ty_m", "tz_m")]
    return pose


def sweep_files(log: Path) -> list[Path]:
    """The sweeps of a log by time."""
    return sorted((log / "sensors" / "lidar").iterdir())


def sweep(path: Path) -> dict[str, np.ndarray]:
    """Columns of a sweep."""
    table = feather.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}


def xyz(path: Path) -> np.ndarray:
    """Points (N, 3) of a sweep."""
    return np.stack([sweep(path)[axis] for axis in "xyz"], axis=1).astype(float)


@pytest.fixture(scope="module")
def logs(cityav2_root: Path) -> list[Path]:
    """The logs of both splits."""
    return [log for split in ("train", "val") for log in sorted((cityav2_root / split).iterdir())]


@cache
def plan(name: str) -> ScenePlan:
    """The plan of a log of the small dataset: each split has one, of the first kind."""
    return plan_scene(name, KINDS[0], DURATION_S, 0, CAR_BODY, fill_av2_stage)


def test_files_have_the_columns_and_types_of_the_dataset(logs: list[Path]) -> None:
    for log in logs:
        for name, expected in COLUMNS.items():
            path = sweep_files(log)[0] if name == "sensors/lidar" else log / f"{name}.feather"
            assert columns(path) == expected, name


def test_a_real_log_has_the_same_columns_types_and_sensors(logs: list[Path]) -> None:
    real = next((REAL / "av2_log").glob("val/*"), None)
    if real is None:
        pytest.skip("the real log is not on this machine")
    for name in COLUMNS:
        ours, theirs = (
            sweep_files(log)[0] if name == "sensors/lidar" else log / f"{name}.feather" for log in (logs[0], real)
        )
        assert list(columns(ours).items()) == list(columns(theirs).items()), name
    for name in ("egovehicle_SE3_sensor", "intrinsics"):
        ours, theirs = ([row["sensor_name"] for row in rows(log, f"calibration/{name}")] for log in (logs[0], real))
        assert ours == theirs
    mounted, really = (
        {row["sensor_name"]: matrix(row) for row in rows(log, "calibration/egovehicle_SE3_sensor")}
        for log in (logs[0], real)
    )
    for name in CAMERA_NAMES:
        assert np.linalg.norm(mounted[name][:3, 3] - really[name][:3, 3]) < 0.02
        assert mounted[name][:3, 2] @ really[name][:3, 2] > np.cos(np.deg2rad(4)), "both look the same way"


def test_images_are_as_large_as_the_calibration_says_and_the_front_one_stands_upright(logs: list[Path]) -> None:
    for log in logs:
        lenses = {row["sensor_name"]: row for row in rows(log, "calibration/intrinsics")}
        assert set(lenses) == CAMERA_NAMES
        for name, lens in lenses.items():
            paths = sorted((log / "sensors" / "cameras" / name).iterdir())
            assert len(paths) == 3  # two a second, both ends included
            for path in paths:
                with Image.open(path) as image:
                    assert image.size == (lens["width_px"], lens["height_px"])
                    assert image.mode == ("L" if name.startswith("stereo") else "RGB")
            assert (lens["width_px"] < lens["height_px"]) == (name == "ring_front_center")


def test_sweeps_boxes_and_poses_share_a_clock_that_does_not_count_from_1970(logs: list[Path]) -> None:
    for log in logs:
        begins = [int(path.stem) for path in sweep_files(log)]
        assert len(begins) == 11 and all(abs(b - a - 1e8) < 1e6 for a, b in pairwise(begins))
        assert len(set(np.diff(begins))) > 1, "a real LiDAR does not turn in exactly a tenth of a second"
        boxes = [row["timestamp_ns"] for row in rows(log, "annotations")]
        assert sorted(set(boxes)) == begins and boxes == sorted(boxes)
        poses = np.array([row["timestamp_ns"] for row in rows(log, "city_SE3_egovehicle")])
        images = [int(path.stem) for path in (log / "sensors" / "cameras").glob("*/*.jpg")]
        assert set(begins) | set(images) <= set(poses.tolist())
        assert 0 < np.diff(poses).min() < 1000 and np.diff(poses).max() < 2e7
        assert poses[0] < begins[0] and poses[-1] > begins[-1] + 2e8
        assert begins[0] / 1e9 < 320_000_000, "1980: no date of a recording"


def test_two_lidars_turn_half_a_turn_apart_in_one_file(logs: list[Path]) -> None:
    for path in sweep_files(logs[0])[:3]:
        points = sweep(path)
        assert (np.diff(points["offset_ns"]) >= 0).all() and points["offset_ns"][0] >= 0
        assert 1e8 < points["offset_ns"][-1] < 1.1e8
        assert set(points["laser_number"]) == set(range(64))
        azimuth = np.arctan2(points["y"].astype(float), points["x"].astype(float) - 1.35)
        far = np.hypot(points["x"].astype(float), points["y"].astype(float)) > 15
        early = points["offset_ns"] < 2e7
        for lasers, middle in ((points["laser_number"] < 32, np.pi - 0.63), (points["laser_number"] >= 32, -0.5)):
            looks = azimuth[lasers & far & early]
            assert len(looks) > 200
            assert abs(np.angle(np.exp(1j * (looks - middle)))).max() < 0.75


def test_every_track_has_boxes_without_a_gap_and_points_in_some(logs: list[Path]) -> None:
    for log in logs:
        begins, tracks = [int(path.stem) for path in sweep_files(log)], defaultdict(list)
        for row in rows(log, "annotations"):
            tracks[row["track_uuid"]].append(row)
        assert len(tracks) > 40
        for track in tracks.values():
            numbers = [begins.index(row["timestamp_ns"]) for row in track]
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
            assert max(row["num_interior_pts"] for row in track) > 0
            assert len({(row["category"], row["length_m"]) for row in track}) == 1
        assert any(row["num_interior_pts"] == 0 for track in tracks.values() for row in track)


def test_num_interior_pts_is_what_another_kit_counts(logs: list[Path]) -> None:
    for log in logs:
        for path in sweep_files(log)[::4]:
            points, counted = xyz(path).T, 0
            for row in rows(log, "annotations"):
                if row["timestamp_ns"] == int(path.stem):
                    pose = matrix(row)
                    size_wlh = [row["width_m"], row["length_m"], row["height_m"]]
                    box = Box(pose[:3, 3], size_wlh, Quaternion(matrix=pose[:3, :3], rtol=1e-6, atol=1e-6))
                    assert int(points_in_box(box, points).sum()) == row["num_interior_pts"]
                    counted += row["num_interior_pts"]
            assert counted > 3000


def test_ego_poses_are_the_plan_s_on_a_street_that_slopes(logs: list[Path]) -> None:
    for log in logs:
        poses, start_ns = rows(log, "city_SE3_egovehicle"), int(sweep_files(log)[0].stem)
        found = np.stack([matrix(row) for row in poses])
        driven = plan(log.name).ego.pose_at((np.array([row["timestamp_ns"] for row in poses]) - start_ns) / 1e9)
        planned = np.stack([planar_SE3(pose, AXLE_M) for pose in driven])
        steps = np.linalg.inv(found[0]) @ found[1:]
        assert np.allclose(steps, np.linalg.inv(planned[0]) @ planned[1:], atol=1e-7)
        assert 0.01 < np.hypot(*found[0, :2, 2]) < 0.03, "up of the car is not up of the city"


def residuals(log: Path, root: Path, *, own_time: bool) -> dict[bool, np.ndarray]:
    """Distances of points to the surface of the thing they are said to lie on, by whether it is fast."""
    scene, found = plan(log.name), defaultdict(list)
    things = json.loads((root / "truth" / "instances.json").read_text())
    first_number = next(i for i, row in enumerate(things, 1) if row["scene"] == log.name)
    start_ns, surfaces = int(sweep_files(log)[0].stem), {}
    for path in sweep_files(log)[::5]:
        points, begins_s = sweep(path), (int(path.stem) - start_ns) / 1e9
        ego = planar_SE3(scene.ego.pose_at(begins_s), AXLE_M)
        in_world = xyz(path) @ ego[:3, :3].T + ego[:3, 3]
        truth = np.load(root / "truth" / f"{log.name}_{path.stem}.npy")
        assert truth.dtype == np.uint16 and len(truth) == len(in_world)
        time_s = begins_s + (points["offset_ns"] / 1e9 if own_time else np.zeros(len(truth)))
        for number in np.unique(truth[truth > 0]):
            thing, mine = scene.things[number - first_number], truth == number
            x, y, yaw = thing.motion.pose_at(time_s[mine]).T
            dx, dy = in_world[mine, 0] - x, in_world[mine, 1] - y
            cos, sin = np.cos(yaw), np.sin(yaw)
            local = np.stack([cos * dx + sin * dy, cos * dy - sin * dx, in_world[mine, 2] - thing.mesh_z_m], -1)
            if number not in surfaces:
                surfaces[number] = o3d.t.geometry.RaycastingScene()
                mesh = o3d.core.Tensor(thing.mesh.vertices_m), o3d.core.Tensor(thing.mesh.triangles)
                surfaces[number].add_triangles(*mesh)
            off_m = surfaces[number].compute_distance(o3d.core.Tensor(local.astype(np.float32))).numpy()
            near = np.hypot(*xyz(path)[mine, :2].T) < 32  # further off half floats are steps of 3 cm and more
            fast = bool(np.linalg.norm(np.diff(thing.motion.pose_at(np.array([0.0, 0.1])), axis=0)[0, :2]) > 0.7)
            found[fast].append(off_m[near])
    return {fast: np.concatenate(parts) for fast, parts in found.items()}


def test_points_lie_on_their_things_at_their_own_times(logs: list[Path], cityav2_root: Path) -> None:
    for log in logs:
        for fast, off_m in residuals(log, cityav2_root, own_time=True).items():
            assert len(off_m) > 300, fast
            assert np.sqrt(np.mean(off_m**2)) < 0.022  # range noise is 0.02, half floats add millimetres
            assert off_m.max() < 0.12
        off_m = residuals(log, cityav2_root, own_time=False)[True]
        assert np.sqrt(np.mean(off_m**2)) > 0.1  # traffic moves while the LiDARs turn


def test_pixels_look_where_opencv_s_lens_says(logs: list[Path]) -> None:
    lenses = {row["sensor_name"]: row for row in rows(logs[0], "calibration/intrinsics")}
    for camera in CAMERAS:
        lens = lenses[camera.channel]
        width, height = lens["width_px"], lens["height_px"]
        middle = np.array([[lens["fx_px"], 0, lens["cx_px"]], [0, lens["fy_px"], lens["cy_px"]], [0, 0, 1]])
        rays = camera.directions(width, height).reshape(-1, 3).astype(float)
        coefficients = np.array([lens["k1"], lens["k2"], 0, 0, lens["k3"]])
        seen, straight = (
            cv2.projectPoints(rays, np.zeros(3), np.zeros(3), middle, lens_k)[0][:, 0]
            for lens_k in (coefficients, np.zeros(5))
        )
        u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        pixels = np.stack([u.ravel(), v.ravel()], -1)
        assert np.abs(seen - pixels).max() < 1e-3
        assert np.linalg.norm(straight - pixels, axis=1).max() > 15, "corners are bent by pixels"


def test_an_image_shows_a_thing_where_opencv_projects_its_mesh(logs: list[Path]) -> None:
    log, camera = logs[0], CAMERAS[0]
    width, height = 242, 320
    scene, middle = plan(log.name), camera.intrinsic(width, height)
    path = sorted((log / "sensors" / "cameras" / camera.channel).iterdir())[1]
    time_s = (int(path.stem) - int(sweep_files(log)[0].stem)) / 1e9
    world, ego = World(scene), planar_SE3(scene.ego.pose_at(time_s), AXLE_M)
    world.move_to(time_s)
    world_SE3_camera = ego @ camera.ego_SE3_camera
    shown = world.cast(rays_in_world(world_SE3_camera, camera.directions(width, height))).thing.reshape(height, width)
    alone, camera_SE3_world = 0, np.linalg.inv(world_SE3_camera)
    for number in np.unique(shown[shown >= 0]):
        thing = scene.things[number]
        pose = camera_SE3_world @ planar_SE3(thing.motion.pose_at(time_s), thing.mesh_z_m)
        vertices = thing.mesh.vertices_m.astype(float) @ pose[:3, :3].T + pose[:3, 3]
        if vertices[:, 2].min() < 1:
            continue
        lens = np.array([*camera.k[:2], 0, 0, camera.k[2]])
        projected = cv2.projectPoints(vertices, np.zeros(3), np.zeros(3), middle, lens)[0][:, 0]
        v, u = np.nonzero(shown == number)
        low, high = projected.min(axis=0), projected.max(axis=0)
        assert (np.array([u.min() + 0.5, v.min() + 0.5]) >= low - 1e-2).all()
        assert (np.array([u.max() + 0.5, v.max() + 0.5]) <= high + 1e-2).all()
        bounds = np.array([u.min(), v.min(), u.max() + 1, v.max() + 1])
        alone += bool(np.abs(bounds - np.r_[low, high]).max() < 1 and np.ptp(u) > 8)
    assert alone >= 3, "things that nothing hides fill what is projected"


def test_what_the_dataset_has_no_category_for_is_hit_and_not_annotated(logs: list[Path], cityav2_root: Path) -> None:
    things = {row["token"]: row for row in json.loads((cityav2_root / "truth" / "instances.json").read_text())}
    annotated = {row["track_uuid"]: row["category"] for log in logs for row in rows(log, "annotations")}
    assert all(things[token]["category"] == category for token, category in annotated.items())
    without = {row["shape"] for row in things.values() if row["category"] is None}
    assert {"jersey_barrier", "shopping_cart"} <= without
    assert not without & {shape for shapes in AV2_CATEGORY_SHAPES.values() for shape in shapes}


def test_default_recipe_has_all_categories_in_both_splits() -> None:
    rig = RIGS["av2"]
    recipe = make_recipe(rig)
    assert list(recipe["scenes"]) == ["train", "val"]
    seen = defaultdict(Counter)
    for job in scene_jobs(rig, Path("unused"), recipe):
        things = plan_scene(job.name, job.kind, job.duration_s, job.seed, CAR_BODY, fill_av2_stage).things
        seen[job.split].update(thing.shape for thing in things)
    for split, shapes in seen.items():
        missing = [name for name, wanted in AV2_CATEGORY_SHAPES.items() if not any(shapes[shape] for shape in wanted)]
        assert not missing, split


def test_splits_of_other_rigs_are_refused_by_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cityav2 has no split 'mini_train': ask for scenes of train and val"):
        generate_city(tmp_path / "city", rig="av2", scenes={"mini_train": 1})


@pytest.mark.slow
def test_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    digests = defaultdict(list)
    for workers in (1, 2):
        root, one_each = tmp_path / str(workers), {"train": 1, "val": 1}
        generate_city(root, rig="av2", scenes=one_each, duration_s=0.5, workers=workers, image_size_px=(96, 72))
        for path in root.rglob("*"):
            if path.is_file():
                digests[path.relative_to(root)].append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) > 60
    assert all(len(pair) == 2 and pair[0] == pair[1] for pair in digests.values())
