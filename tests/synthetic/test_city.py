"""The generated city against the devkit, against its own ground truth, and against itself."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from nuscenes import NuScenes
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.utils.data_classes import Box, LidarPointCloud
from nuscenes.utils.geometry_utils import BoxVisibility, points_in_box
from nuscenes.utils.splits import create_splits_scenes
from pyquaternion import Quaternion

from blendclip.randomness import stable_rng
from blendclip.synthetic.city.cast import plan_scene
from blendclip.synthetic.city.generate import RIGS, generate_city, make_recipe, scene_jobs
from blendclip.synthetic.city.motion import Motion, Route
from blendclip.synthetic.meshes.catalog import CATEGORY_SHAPES, SHAPES

DETECTION_CLASSES = {
    *("car", "truck", "bus", "trailer", "construction_vehicle", "pedestrian", "motorcycle", "bicycle"),
    *("traffic_cone", "barrier"),
}


@pytest.fixture(scope="module")
def nusc(city_root: Path) -> NuScenes:
    """The city as the devkit sees it."""
    return NuScenes(version="v1.0-mini", dataroot=str(city_root), verbose=False)


def _chain(nusc: NuScenes, table: str, token: str) -> list[dict]:
    """Follow next from a row to the end."""
    rows = []
    while token:
        rows.append(nusc.get(table, token))
        token = rows[-1]["next"]
    return rows


def test_devkit_lists_official_scenes(nusc: NuScenes) -> None:
    splits = create_splits_scenes()
    assert [scene["name"] for scene in nusc.scene] == [splits["mini_train"][0], splits["mini_val"][0]]
    assert len(nusc.category) == 23
    assert [row["token"] for row in nusc.visibility] == ["1", "2", "3", "4"]


def test_samples_follow_each_other_at_2_hz(nusc: NuScenes) -> None:
    for scene in nusc.scene:
        samples = _chain(nusc, "sample", scene["first_sample_token"])
        assert len(samples) == scene["nbr_samples"] == 5
        assert samples[-1]["token"] == scene["last_sample_token"]
        assert set(np.diff([sample["timestamp"] for sample in samples])) == {500_000}
        for sample in samples:
            assert set(sample["data"]) == {row["channel"] for row in nusc.sensor}


def test_sweeps_follow_each_other_at_20_hz_and_serve_the_next_keyframe(nusc: NuScenes) -> None:
    for scene in nusc.scene:
        first = nusc.get("sample", scene["first_sample_token"])
        sweeps = _chain(nusc, "sample_data", first["data"]["LIDAR_TOP"])
        assert len(sweeps) == 41
        assert set(np.diff([sweep["timestamp"] for sweep in sweeps])) == {50_000}
        for sweep in sweeps:
            served = nusc.get("sample", sweep["sample_token"])["timestamp"] - sweep["timestamp"]
            assert 0 <= served < 500_000
            assert sweep["is_key_frame"] == (served == 0)
            assert sweep["filename"].startswith("samples/" if served == 0 else "sweeps/")
            assert sweep["ego_pose_token"] == sweep["token"]


def test_every_file_is_there(nusc: NuScenes, city_root: Path) -> None:
    named = {row["filename"] for row in nusc.sample_data} | {row["filename"] for row in nusc.map}
    found = {str(p.relative_to(city_root)) for d in ("samples", "sweeps", "maps") for p in (city_root / d).rglob("*.*")}
    assert named == found


def test_tracks_hold_every_annotation_once(nusc: NuScenes) -> None:
    seen = []
    for instance in nusc.instance:
        track = _chain(nusc, "sample_annotation", instance["first_annotation_token"])
        assert len(track) == instance["nbr_annotations"]
        assert track[-1]["token"] == instance["last_annotation_token"]
        times = [nusc.get("sample", row["sample_token"])["timestamp"] for row in track]
        assert times == sorted(set(times))
        seen += [row["token"] for row in track]
    assert sorted(seen) == sorted(row["token"] for row in nusc.sample_annotation)


def test_num_lidar_pts_is_what_the_devkit_counts(nusc: NuScenes) -> None:
    for sample in nusc.sample:
        path, boxes, _ = nusc.get_sample_data(sample["data"]["LIDAR_TOP"])
        points = LidarPointCloud.from_file(path).points[:3]
        assert len(boxes) >= 20
        for box in boxes:
            counted = int(points_in_box(box, points).sum())
            assert counted == nusc.get("sample_annotation", box.token)["num_lidar_pts"] > 0


def test_boxes_hold_what_the_rays_hit(nusc: NuScenes, city_root: Path) -> None:
    instances = json.loads((city_root / "truth" / "instances.json").read_text())
    number = {row["token"]: i + 1 for i, row in enumerate(instances)}
    both = hit = inside = 0
    for sample in nusc.sample:
        path, boxes, _ = nusc.get_sample_data(sample["data"]["LIDAR_TOP"])
        points = LidarPointCloud.from_file(path).points[:3]
        truth = np.load(city_root / "truth" / f"{Path(path).name.removesuffix('.pcd.bin')}.npy")
        assert truth.dtype == np.uint16 and len(truth) == points.shape[1]
        for box in boxes:
            token = nusc.get("sample_annotation", box.token)["instance_token"]
            assert instances[number[token] - 1]["category"] == box.name
            mine, within = truth == number[token], points_in_box(box, points)
            both, hit, inside = both + (mine & within).sum(), hit + mine.sum(), inside + within.sum()
    assert both / hit >= 0.99
    assert both / inside >= 0.95


def test_ego_poses_lie_on_the_ground_and_move_smoothly(nusc: NuScenes) -> None:
    for scene in nusc.scene:
        first = nusc.get("sample", scene["first_sample_token"])
        sweeps = _chain(nusc, "sample_data", first["data"]["LIDAR_TOP"])
        places = np.array([nusc.get("ego_pose", sweep["ego_pose_token"])["translation"] for sweep in sweeps])
        assert (places[:, 2] == 0).all()
        assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() / 0.05 < 12.5


def _is_in_image(box: Box, intrinsic: np.ndarray, width_px: int, height_px: int) -> bool:
    """Whether any of 9 x 9 x 9 points of a box in camera frame falls into the image."""
    grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 9)] * 3), -1).reshape(-1, 3)
    points = grid * box.wlh[[1, 0, 2]] @ box.rotation_matrix.T + box.center
    u, v, depth = intrinsic @ points[points[:, 2] > 0.05].T
    return bool(((u > 0) & (u < width_px * depth) & (v > 0) & (v < height_px * depth)).any())


def test_only_boxes_in_some_image_count_as_visible(nusc: NuScenes) -> None:
    levels = defaultdict(set)
    for sample in nusc.sample:
        seen = set()
        for token in [token for channel, token in sample["data"].items() if channel.startswith("CAM")]:
            row = nusc.get("sample_data", token)
            _, boxes, intrinsic = nusc.get_sample_data(token, box_vis_level=BoxVisibility.NONE)
            seen |= {box.token for box in boxes if _is_in_image(box, intrinsic, row["width"], row["height"])}
        for token in sample["anns"]:
            levels[token in seen].add(nusc.get("sample_annotation", token)["visibility_token"])
    assert levels[True] == {"1", "2", "3", "4"}
    assert levels[False] <= {"1"}


def test_heading_follows_motion(nusc: NuScenes) -> None:
    """Boxes point where they go: x of the box frame is forward."""
    checked = 0
    for annotation in nusc.sample_annotation:
        velocity = nusc.box_velocity(annotation["token"])[:2]
        if annotation["category_name"].startswith("vehicle.") and np.linalg.norm(velocity) > 2:
            forward = Quaternion(annotation["rotation"]).rotate(np.array([1.0, 0, 0]))[:2]
            assert forward @ velocity / np.linalg.norm(velocity) > 0.98
            checked += 1
    assert checked > 20


def test_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    digests = defaultdict(list)
    for workers in (1, 2):
        root = tmp_path / str(workers)
        one_each = {"mini_train": 1, "mini_val": 1}
        generate_city(root, scenes=one_each, duration_s=0.5, workers=workers, image_size_px=(96, 54))
        for path in root.rglob("*"):
            if path.is_file():
                digests[path.relative_to(root)].append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) > 50
    assert all(len(pair) == 2 and pair[0] == pair[1] for pair in digests.values())


def test_default_recipe_has_all_detection_classes_in_both_splits() -> None:
    recipe = make_recipe(RIGS["car"])
    split_of = {name: split for split, names in recipe["scenes"].items() for name in names}
    seen: dict[str, dict[str, int]] = {split: defaultdict(int) for split in recipe["scenes"]}
    for job in scene_jobs(RIGS["car"], Path("unused"), recipe):
        for thing in plan_scene(job.name, job.kind, job.duration_s, job.seed).things:
            seen[split_of[job.name]][category_to_detection_name(thing.category) or thing.category] += 1
    for split, counts in seen.items():
        assert set(counts) >= DETECTION_CLASSES, f"{split} lacks {DETECTION_CLASSES - set(counts)}"
        assert min(counts[name] for name in DETECTION_CLASSES) >= 2
        assert {"animal", "static_object.bicycle_rack", "human.pedestrian.wheelchair"} <= set(counts)


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_meshes_are_small_centered_and_varied(shape: str) -> None:
    first, second = (SHAPES[shape](stable_rng("test", shape, k)) for k in range(2))
    assert 20 < len(first.triangles) < 5000
    assert len(first.triangles) == len(first.colors) == len(first.reflectivity)
    assert np.allclose(first.vertices_m.min(axis=0), -first.vertices_m.max(axis=0), atol=1e-4)
    same = first.vertices_m.shape == second.vertices_m.shape and np.allclose(first.vertices_m, second.vertices_m)
    assert not same or not np.array_equal(first.colors, second.colors)


def test_every_category_has_shapes() -> None:
    assert len(CATEGORY_SHAPES) == 23
    assert {shape for shapes in CATEGORY_SHAPES.values() for shape in shapes} <= set(SHAPES)


def test_route_runs_a_line_then_a_quarter_circle_to_the_left() -> None:
    route = Route((0.0, 0.0, 0.0), ((10.0, 0.0), (2 * np.pi, 0.25)))
    expected = [[-1, 0, 0], [10, 0, 0], [14, 4, np.pi / 2], [14, 5, np.pi / 2]]
    assert np.allclose(route.pose_at(np.array([-1.0, 10.0, 10 + 2 * np.pi, 11 + 2 * np.pi])), expected)


def test_motion_runs_at_its_speed_beside_the_route() -> None:
    motion = Motion(Route((0.0, 0.0, 0.0)), s0_m=1.0, speed_mps=2.0, left_m=0.5)
    assert np.allclose(motion.pose_at(3.0), [7.0, 0.5, 0.0])


def test_a_folder_that_is_no_city_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(ValueError, match="is not a generated city"):
        generate_city(tmp_path, scenes={"mini_train": 1}, duration_s=0.5, image_size_px=(96, 54))
    assert (tmp_path / "thesis.txt").read_text() == "irreplaceable"


def test_an_older_or_unfinished_city_is_replaced(tmp_path: Path) -> None:
    root, unfinished = tmp_path / "city", tmp_path / ".city.unfinished"
    for folder in (root, unfinished, tmp_path / ".city.replaced"):
        folder.mkdir()
        (folder / ".city").write_text("")
        (folder / "stale").write_text("")
    (root / "city.json").write_text('{"city_version": "0"}')
    generate_city(root, scenes={"mini_train": 1}, duration_s=0.5, image_size_px=(96, 54))
    assert [path.name for path in tmp_path.iterdir()] == ["city"]
    assert not (root / "stale").exists()
    assert (root / "v1.0-mini" / "scene.json").is_file()


@pytest.mark.parametrize(
    ("scenes", "message"),
    [({"trainval": 1}, "no split 'trainval'"), ({"mini_val": 9}, "cannot make 9"), ({}, "no scene at all")],
)
def test_a_wrong_recipe_is_refused_by_a_sentence(tmp_path: Path, scenes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate_city(tmp_path / "city", scenes=scenes)
    assert not (tmp_path / "city").exists()
