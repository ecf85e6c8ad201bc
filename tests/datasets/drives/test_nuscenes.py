"""The scene index against the devkit's own answers."""

import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.loaders import add_center_dist, filter_eval_boxes, load_gt
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.geometry_utils import transform_matrix
from pyquaternion import Quaternion

from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.errors import UserError
from tests.real import recording


@pytest.fixture(scope="module")
def tables(city_root):
    return NuScenes("v1.0-mini", str(city_root), verbose=False)


@pytest.fixture(scope="module")
def index(city_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    assert write_index(city_root, DriveOptions("v1.0-mini"), "city", ["mini_train", "mini_val"], folder) == {
        "mini_train": 1,
        "mini_val": 1,
    }
    return {split: pq.read_table(folder / f"{split}.parquet").to_pylist() for split in ("mini_train", "mini_val")}


def annotations(scenes):
    return [(scene, track, row) for scene in scenes for track in scene["tracks"] for row in track["annotations"]]


def test_holds_every_annotation_of_the_split_as_the_devkit_gives_it(tables, index):
    rows = annotations(index["mini_train"] + index["mini_val"])
    assert {row["token"] for _, _, row in rows} == {row["token"] for row in tables.sample_annotation}
    assert any(track["class_name"] is None for _, track, _ in rows)
    for scene, track, row in rows:
        box = tables.get_box(row["token"])
        np.testing.assert_allclose(row["translation"], box.center)
        np.testing.assert_allclose(row["size_lwh_m"], box.wlh[[1, 0, 2]])
        assert Quaternion.absolute_distance(Quaternion(row["rotation_wxyz"]), box.orientation) < 1e-9
        assert track["category"] == box.name
        record = tables.get("sample_annotation", row["token"])
        assert scene["keyframes"][row["keyframe"]]["sample_token"] == record["sample_token"]
        velocity = tables.box_velocity(row["token"])
        assert (row["velocity_mps"] is None) == bool(np.isnan(velocity).any())
        if row["velocity_mps"]:
            np.testing.assert_allclose(row["velocity_mps"], velocity)


@pytest.mark.parametrize("split", ["mini_train", "mini_val"])
def test_marks_the_boxes_that_the_official_benchmark_evaluates(tables, index, split):
    truth = load_gt(tables, split, DetectionBox, verbose=False)
    add_center_dist(tables, truth)
    truth = filter_eval_boxes(tables, truth, config_factory("detection_cvpr_2019").class_range)
    expected = {(box.sample_token, *box.translation, box.detection_name) for box in truth.all}
    rows = annotations(index[split])
    found = {
        (scene["keyframes"][row["keyframe"]]["sample_token"], *row["translation"], track["class_name"])
        for scene, track, row in rows
        if row["evaluated"]
    }
    assert found == expected
    assert 0 < len(found) < len(rows)


def test_sensor_poses_are_the_devkits(tables, index):
    (scene,) = index["mini_val"]
    by_path = {data["filename"]: data for data in tables.sample_data}
    for reading in scene["sweeps"] + scene["images"]:
        data = by_path[reading["path"]]
        sensor, ego = (
            tables.get("calibrated_sensor", data["calibrated_sensor_token"]),
            tables.get("ego_pose", data["ego_pose_token"]),
        )
        expected = transform_matrix(ego["translation"], Quaternion(ego["rotation"])) @ transform_matrix(
            sensor["translation"], Quaternion(sensor["rotation"])
        )
        pose = reading.get("global_SE3_sensor") or reading["global_SE3_camera"]
        np.testing.assert_allclose(np.reshape(pose, (3, 4)), expected[:3], atol=1e-9)
        assert reading["timestamp_us"] == data["timestamp"]
        assert scene["keyframes"][reading["keyframe"]]["sample_token"] == data["sample_token"]
    lidar = [data for data in tables.sample_data if data["channel"] == "LIDAR_TOP"]
    in_scene = {sample["token"] for sample in tables.sample if sample["scene_token"] == scene["scene_token"]}
    assert len(scene["sweeps"]) == sum(data["sample_token"] in in_scene for data in lidar)
    assert len(scene["images"]) == 6 * len(scene["keyframes"])


def write(root, output, version="v1.0-mini", split="mini_train"):
    write_index(root, DriveOptions(version), "x", [split], output)


def test_missing_input_is_one_clear_sentence(city_root, tmp_path):
    with pytest.raises(UserError, match="no folder .*nowhere: set `root`"):
        write(tmp_path / "nowhere", tmp_path)
    with pytest.raises(UserError, match=r"no version 'v1.0-trainval': set `version` to one of \['v1.0-mini'\]"):
        write(city_root, tmp_path, version="v1.0-trainval")
    with pytest.raises(UserError, match="has no split 'mini': set `splits` to some of"):
        write(city_root, tmp_path, split="mini")
    with pytest.raises(UserError, match=r"split 'val' is not one of version v1.0-mini .*\['mini_train', 'mini_val'\]"):
        write(city_root, tmp_path, split="val")
    with pytest.raises(UserError, match="`format` is 'kitti', which is no format: take one of nuscenes"):
        write_index(city_root, DriveOptions("v1.0-mini"), "x", ["mini_train"], tmp_path, format="kitti")
    assert not list(tmp_path.glob("*.parquet"))


def test_a_split_without_scenes_is_one_clear_sentence(tmp_path):
    root, _ = recording("nuscenes_frame")
    with pytest.raises(UserError, match="holds no scene of split 'mini_val': set `splits` to some of .*'mini_train'"):
        write(root, tmp_path, split="mini_val")


def test_splits_and_visibility_levels_of_ones_own_are_understood(city_root, tmp_path):
    root = tmp_path / "city"
    shutil.copytree(city_root / "v1.0-mini", root / "v1.0-custom")
    (root / "samples").symlink_to(city_root / "samples")
    for name in ("visibility", "sample_annotation"):
        text = (root / "v1.0-custom" / f"{name}.json").read_text()
        for level in "1234":
            text = re.sub(rf'("(?:visibility_)?token": )"{level}"', rf'\1"level-{level}"', text)
        (root / "v1.0-custom" / f"{name}.json").write_text(text)
    (root / "v1.0-custom" / "splits.json").write_text('{"ours": ["scene-0103"]}')
    assert write_index(root, DriveOptions("v1.0-custom"), "x", ["ours"], tmp_path) == {"ours": 1}
    (scene,) = pq.read_table(tmp_path / "ours.parquet").to_pylist()
    assert scene["scene"] == "scene-0103"
    levels = {row["visibility"] for track in scene["tracks"] for row in track["annotations"]}
    assert levels <= {1, 2, 3, 4} and len(levels) > 1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("missing", "instance.json is not there: unpack the dataset again"),
        ("torn", "instance.json is no whole list of JSON records: unpack the dataset again"),
        ("dangling", r"sample_annotation.json, record \d+ \(token \w+\): instance_token is '\w+', must be a token of"),
    ],
)
def test_broken_tables_are_one_clear_sentence(city_root, tmp_path, damage, reason):
    root = tmp_path / "city"
    shutil.copytree(city_root / "v1.0-mini", root / "v1.0-mini")
    (root / "samples").symlink_to(city_root / "samples")
    table = root / "v1.0-mini" / "instance.json"
    if damage == "missing":
        table.unlink()
    elif damage == "torn":
        table.write_text(table.read_text()[:-50])
    else:
        table.write_text(json.dumps(json.loads(table.read_text())[1:]))
    with pytest.raises(UserError, match=reason):
        write(root, tmp_path)
