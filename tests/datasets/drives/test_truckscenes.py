"""TruckScenes' format: the index against the devkit's answers and against poses worked out by hand."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyquaternion import Quaternion
from truckscenes import TruckScenes
from truckscenes.eval.common.config import config_factory
from truckscenes.eval.common.loaders import add_center_dist, filter_eval_boxes, load_gt
from truckscenes.eval.detection.data_classes import DetectionBox
from truckscenes.eval.detection.utils import category_to_detection_name

from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.datasets.drives.validation import validate_index
from blendclip.errors import UserError
from blendclip.mining.clouds import gather_clouds
from blendclip.mining.options import CloudOptions
from tests.datasets.drives.truck import (
    CAMERA,
    LIDARS,
    SCENES,
    START_US,
    TURN_DEGPS,
    Truck,
    write_pcd,
    x_m,
)

SPLITS = ["mini_train", "mini_val"]
FIRST = next(iter(SCENES))


def indexed(root, folder, version="v1.2-mini", splits=SPLITS):
    write_index(root, DriveOptions(version), "truck", splits, folder, format="truckscenes")
    return {split: pq.read_table(folder / f"{split}.parquet").to_pylist() for split in splits}


@pytest.fixture
def truck(tmp_path):
    return Truck(tmp_path / "data")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return Truck(tmp_path_factory.mktemp("truck")).write()


@pytest.fixture(scope="module")
def devkit(root):
    return TruckScenes("v1.2-mini", str(root), verbose=False)


@pytest.fixture(scope="module")
def index(root, tmp_path_factory):
    return indexed(root, tmp_path_factory.mktemp("index"))


def annotations(scenes):
    return [(scene, track, row) for scene in scenes for track in scene["tracks"] for row in track["annotations"]]


def test_boxes_names_and_velocities_are_the_devkits(devkit, index):
    rows = annotations(index["mini_train"] + index["mini_val"])
    assert {row["token"] for _, _, row in rows} == {row["token"] for row in devkit.sample_annotation}
    for scene, track, row in rows:
        box, record = devkit.get_box(row["token"]), devkit.get("sample_annotation", row["token"])
        np.testing.assert_allclose(row["translation"], box.center)
        np.testing.assert_allclose(row["size_lwh_m"], box.wlh[[1, 0, 2]])
        assert Quaternion.absolute_distance(Quaternion(row["rotation_wxyz"]), box.orientation) < 1e-9
        assert (track["category"], track["class_name"]) == (box.name, category_to_detection_name(box.name))
        assert scene["keyframes"][row["keyframe"]]["sample_token"] == record["sample_token"]
        np.testing.assert_allclose(row["velocity_mps"], devkit.box_velocity(row["token"]))
        assert row["visibility"] == (4 if row["keyframe"] else None)
        assert row["attributes"] == (["vehicle.moving"] if box.name == "vehicle.car" else [])
    assert {track["class_name"] for _, track, _ in rows} == {"car", "pedestrian", "truck", None}


@pytest.mark.parametrize("split", SPLITS)
def test_marks_the_boxes_that_the_official_benchmark_evaluates(devkit, index, split):
    truth = load_gt(devkit, split, DetectionBox, verbose=False)
    add_center_dist(devkit, truth)
    truth = filter_eval_boxes(devkit, truth, config_factory("detection_cvpr_2024").class_range)
    expected = {(box.sample_token, *box.translation, box.detection_name) for box in truth.all}
    found = {
        (scene["keyframes"][row["keyframe"]]["sample_token"], *row["translation"], track["class_name"])
        for scene, track, row in annotations(index[split])
        if row["evaluated"]
    }
    assert found == expected
    # The car always, the pedestrian once it is within 75 m, the truck without points never.
    assert len(found) == 3 + 2


def test_sensor_poses_are_interpolated_at_their_own_time(index):
    scene = index["mini_train"][0]
    mountings = LIDARS | {CAMERA: [5.5, 0.5, 2.0]}
    assert len(scene["sweeps"]) == 3 * 5 * 2 and len(scene["images"]) == 3
    for reading in scene["sweeps"] + scene["images"]:
        seconds = (reading["timestamp_us"] - START_US) * 1e-6
        ego = Quaternion(axis=[0, 0, 1], degrees=TURN_DEGPS * seconds)
        pose = np.reshape(reading.get("global_SE3_sensor") or reading["global_SE3_camera"], (3, 4))
        mounting = np.array(mountings[reading["channel"]])
        np.testing.assert_allclose(pose[:, 3], ego.rotate(mounting) + [x_m(seconds), 0, 0], atol=1e-6)
        turned = ego * Quaternion(axis=[0, 0, 1], degrees=90)
        np.testing.assert_allclose(pose[:, :3], turned.rotation_matrix, atol=1e-9)
    for sweep in scene["sweeps"]:
        assert sweep["point_times"]
        np.testing.assert_allclose(np.reshape(sweep["ego_SE3_sensor"], (3, 4))[:, 3], LIDARS[sweep["channel"]])


def test_keyframes_and_the_stream_are_the_scenes_own(devkit, index):
    for (scene,), start_us in zip(index.values(), SCENES.values(), strict=True):
        times_us = [pose["timestamp_us"] for pose in scene["ego_poses"]]
        assert times_us == [row["timestamp"] for row in devkit.ego_pose if abs(row["timestamp"] - start_us) < 10**7]
        for pose in scene["ego_poses"]:
            assert pose["global_SE3_ego"][3] == pytest.approx(x_m((pose["timestamp_us"] - start_us) * 1e-6))
        for keyframe in scene["keyframes"]:  # where the official evaluation measures from, not interpolated
            sample = devkit.get("sample", keyframe["sample_token"])
            data = devkit.get("sample_data", sample["data"]["LIDAR_LEFT"])
            ego = devkit.get("ego_pose", data["ego_pose_token"])
            np.testing.assert_allclose(np.reshape(keyframe["global_SE3_ego"], (3, 4))[:, 3], ego["translation"])
        for reading in scene["sweeps"] + scene["images"]:
            data = devkit.get("sample_data", f"{scene['scene']}/{reading['channel']}/{reading['timestamp_us']}")
            assert scene["keyframes"][reading["keyframe"]]["sample_token"] == data["sample_token"]


def test_the_index_keeps_its_promises_and_finds_its_sweeps(root, tmp_path):
    indexed(root, tmp_path)
    with pytest.raises(UserError, match=f"images row 0: path is samples/{CAMERA}/.*must be a file under"):
        validate_index(tmp_path / "mini_train.parquet", root)  # the tiny dataset has sweeps but no images


def test_version_1_0_has_no_weather(tmp_path):
    root = Truck(tmp_path / "data", version="v1.0-mini").write()
    assert not (root / "v1.0-mini" / "weather_annotation.json").exists()
    assert len(annotations(indexed(root, tmp_path, "v1.0-mini")["mini_train"])) == 12


def test_a_test_split_without_annotations_is_indexed(truck, tmp_path):
    truck.version = "v1.2-test"
    truck.tables["sample_annotation"].clear()
    (scene,) = truck.rows("scene", name=FIRST)
    scene["name"] = "scene-0c2e941c5ba2476b9e20b29ce4c678b9-11"
    (row,) = indexed(truck.write(), tmp_path, "v1.2-test", ["test"])["test"]
    assert row["tracks"] == [] and len(row["sweeps"]) == 30


def sentence(truck, tmp_path, version="v1.2-mini", split="mini_train"):
    with pytest.raises(UserError) as caught:
        indexed(truck.write(), tmp_path, version, [split])
    assert not list(tmp_path.glob("*.parquet"))
    return str(caught.value)


def test_unknown_versions_and_splits_are_one_clear_sentence(truck, tmp_path):
    assert "no version 'v2.0-mini': set `version` to one of ['v1.2-mini']" in sentence(truck, tmp_path, "v2.0-mini")
    assert "split 'val' is not one of version v1.2-mini" in sentence(truck, tmp_path, split="val")
    assert "has no split 'night': set `splits` to some of" in sentence(truck, tmp_path, split="night")
    truck.tables["scene"] = truck.tables["scene"][:1]
    reason = sentence(truck, tmp_path, split="mini_val")
    assert "holds no scene of split 'mini_val': set `splits` to some of ['mini_train'" in reason


def test_splits_of_ones_own_are_understood(truck, tmp_path):
    root = truck.write()
    (root / "v1.2-mini" / "splits.json").write_text(f'{{"ours": ["{FIRST}"]}}')
    assert [scene["scene"] for scene in indexed(root, tmp_path, splits=["ours"])["ours"]] == [FIRST]
    (root / "v1.2-mini" / "splits.json").write_text("[]")
    with pytest.raises(UserError, match="splits.json is a list: it must map names of splits"):
        indexed(root, tmp_path, splits=["ours"])


def test_dangling_and_missing_tables_are_one_clear_sentence(truck, tmp_path):
    removed = truck.tables["visibility"].pop()
    reason = sentence(truck, tmp_path)
    assert f"visibility_token is {removed['token']!r}, must be a token of visibility.json" in reason
    assert f"sample_annotation.json, record 1 (token {FIRST}/vehicle.car/1)" in reason
    truck.tables.pop("ego_pose")
    (truck.root / "v1.2-mini" / "ego_pose.json").unlink()
    assert "ego_pose.json is not there: unpack the dataset again" in sentence(truck, tmp_path)


def test_poses_out_of_order_and_twice_are_put_right(truck, tmp_path, index):
    poses = truck.tables["ego_pose"]
    twin = poses[20] | {"token": "twin", "rotation": [-value for value in poses[20]["rotation"]]}
    truck.tables["ego_pose"] = [twin, *reversed(poses)]
    assert indexed(truck.write(), tmp_path) == index


@pytest.mark.parametrize("aside_m", [20.0, 5000.0, 1e300])
def test_a_pose_aside_of_its_neighbours_is_left_out_and_said(truck, tmp_path, index, caplog, aside_m):
    poses = truck.tables["ego_pose"]
    between = (poses[20]["timestamp"] + poses[21]["timestamp"]) // 2
    place = [poses[20]["translation"][0], poses[20]["translation"][1] + aside_m, 0.0]
    truck.add("ego_pose", poses[20] | {"token": "aside", "timestamp": between, "translation": place})
    assert indexed(truck.write(), tmp_path) == index
    assert "record aside of ego_pose.json is left out: it is at [" in caplog.text


@pytest.mark.parametrize("timestamp", [-1, 10**9, START_US + 2 * 86_400 * 10**6])
def test_a_pose_of_another_day_is_said(truck, tmp_path, index, caplog, timestamp):
    truck.add("ego_pose", truck.tables["ego_pose"][20] | {"token": "stray", "timestamp": timestamp})
    assert indexed(truck.write(), tmp_path) == index
    assert f"records have times a day or more off all samples, such as {timestamp}, and are not used" in caplog.text


def test_two_poses_at_one_time_are_one_clear_sentence(truck, tmp_path):
    pose = truck.tables["ego_pose"][20]
    truck.add("ego_pose", pose | {"token": "other", "translation": [0.0, 0.0, 0.0]})
    reason = sentence(truck, tmp_path)
    assert f"scene {FIRST} has two different ego poses at {pose['timestamp']} us" in reason
    assert f"records {pose['token']} and other of ego_pose.json" in reason


def test_a_scene_without_keyframes_is_one_clear_sentence(truck, tmp_path):
    truck.rows("scene", name=FIRST)[0]["first_sample_token"] = ""
    assert f"scene {FIRST} has no sample" in sentence(truck, tmp_path)


def test_seconds_for_microseconds_are_one_clear_sentence(truck, tmp_path):
    for table in ("sample", "sample_data", "ego_pose"):
        for row in truck.tables[table]:
            row["timestamp"] *= 1e-6
    reason = sentence(truck, tmp_path)
    assert "seconds by the look of it, must be microseconds since 1970" in reason


def mined(truck, tmp_path, faults=1.0):
    """Clouds and rejects of the training scene."""
    root = truck if not isinstance(truck, Truck) else truck.write()
    indexed(root, tmp_path)
    paths = tmp_path / "clouds.parquet", tmp_path / "rejects.parquet"
    # Sweeps show the car alone, so that the number of points of other boxes is not true.
    gather_clouds(tmp_path / "mini_train.parquet", root, 0, 1, *paths, CloudOptions(), faults, 1.0)
    return [pq.read_table(path).to_pandas() for path in paths]


def cloud_of_car(clouds, keyframe):
    (row,) = clouds[clouds["annotation_token"] == f"{FIRST}/vehicle.car/{keyframe}"].to_dict("records")
    return row


def test_a_gap_in_the_stream_costs_the_sweeps_in_it(truck, tmp_path):
    # No pose from 7 ms to 307 ms: the sweeps at 100, 200 and 300 ms have none, of either LiDAR.
    start_us, end_us = START_US + 10_000, START_US + 300_000
    truck.tables["ego_pose"] = [row for row in truck.tables["ego_pose"] if not start_us < row["timestamp"] < end_us]
    for row in truck.tables["sample_data"]:
        row["ego_pose_token"] = min(
            truck.tables["ego_pose"], key=lambda pose, row=row: abs(pose["timestamp"] - row["timestamp"])
        )["token"]
    clouds, rejects = mined(truck, tmp_path)
    broken = rejects[rejects["rule"] == "broken_sweep"]
    assert len(broken) == 3 * len(LIDARS)
    assert broken["reason"].str.contains("outside the recorded ego poses or in a gap between them").all()
    assert cloud_of_car(clouds, 1)["num_sweeps"] == 20 - 6


def test_a_keyframe_without_the_reference_lidar_is_mined_and_not_evaluated(truck, tmp_path, caplog):
    data = truck.rows("sample_data", sample_token=f"{FIRST}/1", calibrated_sensor_token="LIDAR_LEFT")
    truck.tables["sample_data"] = [row for row in truck.tables["sample_data"] if row not in data]
    clouds, rejects = mined(truck, tmp_path)
    assert "1 of 3 keyframes have no LIDAR_LEFT" in caplog.text
    assert cloud_of_car(clouds, 1)["num_sweeps"] == 15 and not cloud_of_car(clouds, 1)["evaluated"]
    assert cloud_of_car(clouds, 1)["distance_m"] == pytest.approx(np.hypot(40, 3), abs=1e-4)
    assert cloud_of_car(clouds, 2)["evaluated"]
    assert "fault" not in set(rejects["kind"])


def test_clouds_gather_all_lidars(root, tmp_path):
    clouds, _ = mined(root, tmp_path)
    row = cloud_of_car(clouds, 1)
    assert row["num_sweeps"] == 20 and row["evaluated"]
    assert row["num_points"] == 20 * 100 and set(row["intensity"]) == {9.0}
    points = np.stack(row["points"])
    np.testing.assert_allclose(points.min(axis=0), [-2, 0.9, -0.05], atol=1e-3)
    np.testing.assert_allclose(points.max(axis=0), [2, 0.9, -0.05], atol=1e-3)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(b""), "no PCD file: its header has no FIELDS"),
        (lambda path: path.write_bytes(path.read_bytes()[:-50]), "it is cut off"),
        (lambda path: write_pcd(path, np.ones((9, 3)), np.full(9, START_US * 1000)), "seem to be nanoseconds"),
        (
            lambda path: path.write_bytes(path.read_bytes().replace(b" timestamp\n", b" stamp\n")),
            "its points have no times, which its format promises",
        ),
    ],
    ids=["missing", "empty", "torn", "nanoseconds", "no times"],
)
def test_a_broken_sweep_is_a_reject(truck, tmp_path, damage, reason):
    root = truck.write()
    (data,) = truck.rows("sample_data", token=f"{FIRST}/LIDAR_REAR/{START_US}")
    damage(root / data["filename"])
    clouds, rejects = mined(root, tmp_path)
    (broken,) = rejects[rejects["kind"] == "fault"].to_dict("records")
    assert broken["path"] == data["filename"] and reason in broken["reason"]
    assert cloud_of_car(clouds, 0)["num_sweeps"] == 9
