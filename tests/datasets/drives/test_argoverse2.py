"""Argoverse 2: what the index of a log says, and what is said of a broken one."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt

from blendclip.datasets.drives.argoverse2.categories import AS_NUSCENES, BENCHMARK, CATEGORIES, NUSCENES
from blendclip.datasets.drives.argoverse2.region import RegionOfInterest
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import Argoverse2Options
from blendclip.datasets.drives.validation import validate_index
from blendclip.errors import UserError
from tests.datasets.drives import av2
from tests.datasets.drives.av2 import CAMERA, MS, START_NS, Log
from tests.test_prompts import PROMPTS


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "data")


def indexed(log, folder, **options):
    """The rows of the index of a log's split."""
    write_index(log.root, Argoverse2Options(**options), "av2", [log.split], folder, format="argoverse2")
    assert validate_index(folder / f"{log.split}.parquet", log.root)
    return pq.read_table(folder / f"{log.split}.parquet").to_pylist()


def annotations_of(row, track):
    (found,) = (one["annotations"] for one in row["tracks"] if one["instance_token"] == track)
    return found


def test_boxes_stand_where_they_are_in_the_city(log, tmp_path):
    (row,) = indexed(log.write(), tmp_path)
    first, middle, last = annotations_of(row, "car")
    # 40 m ahead of (100, 50) along y; at 0.5 s both have gone on, the car by 2.5 m.
    np.testing.assert_allclose(first["translation"], [100, 90, 8], atol=1e-9)
    np.testing.assert_allclose(middle["translation"], [100, 92.5, 8], atol=1e-9)
    np.testing.assert_allclose(annotations_of(row, "dog")[2]["translation"], [97, 70, 8], atol=1e-9)
    np.testing.assert_allclose(np.abs(first["rotation_wxyz"]), av2.FACING_Y, atol=1e-9)
    assert first["size_lwh_m"] == [4.5, 2.0, 1.5] and first["num_lidar_pts"] == 21 and first["visibility"] is None
    for annotation in (first, middle, last):
        np.testing.assert_allclose(annotation["velocity_mps"], [0, 5, 0], atol=1e-6)
    np.testing.assert_allclose(annotations_of(row, "dog")[1]["velocity_mps"], [0, 0, 0], atol=1e-6)


def test_keyframes_come_twice_a_second_and_each_sweep_serves_the_next(log, tmp_path):
    (row,) = indexed(log.write(), tmp_path)
    assert [one["timestamp_us"] for one in row["keyframes"]] == [START_NS // 1000 + 500_000 * n for n in range(3)]
    assert [sweep["keyframe"] for sweep in row["sweeps"]] == [0, *[1] * 5, *[2] * 5]
    np.testing.assert_allclose(np.reshape(row["keyframes"][1]["global_SE3_ego"], (3, 4))[:, 3], [100, 55, 7])
    for sweep in row["sweeps"]:
        assert sweep["point_times"] and sweep["motion_compensated"] and sweep["point_columns"] is None
        assert sweep["ego_SE3_sensor"] == np.eye(3, 4).ravel().tolist()
    (row,) = indexed(log, tmp_path, keyframes_hz=10)
    assert [sweep["keyframe"] for sweep in row["sweeps"]] == list(range(av2.SWEEPS))


@pytest.mark.parametrize(("hz", "kept"), [(10, range(0, 11)), (5, range(0, 11, 2)), (2, (0, 5, 10)), (0.5, (0,))])
def test_jitter_of_the_sweeps_costs_no_keyframe(log, tmp_path, hz, kept):
    # Sweeps of real logs are 96 to 103 ms apart.
    late_ns = dict(zip(log.sweeps_ns, (0, 3 * MS, -3 * MS, *[0, 2 * MS, -2 * MS, MS] * 2), strict=True))
    annotations = log.tables["annotations"]
    annotations["timestamp_ns"] = [time_ns + late_ns[time_ns] for time_ns in annotations["timestamp_ns"]]
    log.sweeps_ns = [time_ns + late_ns[time_ns] for time_ns in log.sweeps_ns]
    (row,) = indexed(log.write(), tmp_path, keyframes_hz=hz)
    assert [one["timestamp_us"] for one in row["keyframes"]] == [log.sweeps_ns[n] // 1000 for n in kept]


def test_an_image_is_the_one_nearest_to_its_keyframe_and_undistorted_as_released(log, tmp_path):
    log.images[CAMERA] = [time_ns for time_ns in log.images[CAMERA] if abs(time_ns - START_NS - 500 * MS) > 80 * MS]
    (row,) = indexed(log.write(), tmp_path)
    assert [image["keyframe"] for image in row["images"]] == [0, 2]  # around the second keyframe there are none
    first = row["images"][0]
    assert first["timestamp_us"] == START_NS // 1000 + 3000 and first["distortion"] is None
    assert first["intrinsic"] == [400, 0, 310, 0, 400, 250, 0, 0, 1]
    assert (first["width_px"], first["height_px"]) == (640, 480)
    global_SE3_camera = np.reshape(first["global_SE3_camera"], (3, 4))
    np.testing.assert_allclose(global_SE3_camera[:, 3], [100, 51.53, 8.5], atol=1e-5)
    np.testing.assert_allclose(global_SE3_camera[:, 2], [0, 1, 0], atol=1e-9)  # looks along the city's y
    (row,) = indexed(log, tmp_path, distorted_images=True)
    assert row["images"][0]["distortion"] == [av2.K[0], av2.K[1], 0, 0, av2.K[2]]


def test_the_challenge_evaluates_what_is_near_has_points_and_a_class(log, tmp_path):
    (row,) = indexed(log.write(), tmp_path)
    evaluated = {track: [one["evaluated"] for one in annotations_of(row, track)] for track in av2.BOXES}
    assert evaluated["car"] == evaluated["dog"] == [True] * 3
    assert evaluated["far"] == [False, False, True]  # 155 m, 150 m and 145 m away
    assert evaluated["hidden"] == evaluated["tram"] == [False] * 3
    classes = {track["instance_token"]: track["class_name"] for track in row["tracks"]}
    assert classes == {one: name if name in BENCHMARK else None for one, (name, *_) in av2.BOXES.items()}


def test_where_there_is_a_map_boxes_outside_of_its_region_are_not_evaluated(log, tmp_path, caplog):
    log.write()
    corners = [{"x": x, "y": y, "z": 0} for x, y in ((98.5, 50), (98.5, 200), (104, 200), (104, 50))]
    path = log.folder / "map" / "log_map_archive_log-a____PIT_city_1.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"drivable_areas": {"7": {"id": 7, "area_boundary": corners}}}))
    (row,) = indexed(log, tmp_path)
    assert [one["evaluated"] for one in annotations_of(row, "car")] == [True] * 3
    # The raster ends at x = 98, a metre before the dog's nearest corner, though that is within 5 m of the area.
    assert [one["evaluated"] for one in annotations_of(row, "dog")] == [False] * 3
    assert "have no map" not in caplog.text
    path.write_text('{"drivable_areas": 3}')
    with pytest.raises(UserError, match="is no map of Argoverse 2"):
        indexed(log, tmp_path)


def test_the_region_is_the_dilated_raster_of_the_challenge():
    rng = np.random.default_rng(3)
    polygons = [np.array([[-3.0, -2], [30, 4.33], [12, 9.1]]), np.array([[10.0, 20], [14, 20], [14, 31.27], [10, 31]])]
    low = np.array([-3, -2])
    image = Image.new("L", (340, 350))  # of 33 and 34 m, and one more
    for polygon in polygons:
        cells = np.round((polygon - low) * 10).astype(int).ravel().tolist()
        ImageDraw.Draw(image).polygon(cells, outline=1, fill=1)
    wide = distance_transform_edt(np.array(image) == 0) <= 50
    places = rng.uniform(low - 2, low + 38, (20_000, 2))
    cells = np.trunc((places - low) * 10).astype(int)
    on = ((cells >= 0) & (cells < [340, 350])).all(axis=1)
    expected = np.zeros(len(places), bool)
    expected[on] = wide[cells[on, 1], cells[on, 0]]
    found = RegionOfInterest(polygons).holds(places)
    assert 0.2 < expected.mean() < 0.8 and np.array_equal(found, expected)


def test_categories_are_told_by_the_names_of_nuscenes_where_that_is_asked(log, tmp_path):
    (row,) = indexed(log.write(), tmp_path, class_names="nuscenes", classes={"DOG": "barrier"})
    classes = {track["instance_token"]: track["class_name"] for track in row["tracks"]}
    assert classes == {"car": "car", "dog": "barrier", "far": "pedestrian", "hidden": None, "tram": None}
    with pytest.raises(UserError, match="which is no class of the benchmark"):
        indexed(log, tmp_path, classes={"DOG": "barrier"})


def test_categories_and_classes_are_those_of_the_prompts():
    assert len(set(BENCHMARK)) == 26 and len(set(CATEGORIES)) == 30 and AS_NUSCENES.keys() <= set(CATEGORIES)
    classes = {
        name: yaml.safe_load((PROMPTS / "classes" / f"{name}.yaml").read_text())["classes"]
        for name in ("argoverse2", "nuscenes")
    }
    assert list(classes["argoverse2"]) == list(BENCHMARK) and list(classes["nuscenes"]) == list(NUSCENES)
    assert set(AS_NUSCENES.values()) <= set(NUSCENES)
    nouns = yaml.safe_load((PROMPTS / "caption" / "template.yaml").read_text())["nouns"]
    synonyms = yaml.safe_load((PROMPTS / "synonyms.yaml").read_text())
    assert set(CATEGORIES) <= nouns.keys() and set(CATEGORIES) <= synonyms.keys()


def test_annotated_times_without_a_sweep_are_said_and_left_out(log, tmp_path, caplog):
    log.sweeps_ns = log.sweeps_ns[:7]
    (row,) = indexed(log.write(), tmp_path)
    assert len(row["keyframes"]) == 2 and len(annotations_of(row, "car")) == 2
    said = f"log log-a: 4 of 11 annotated timestamps, with 20 boxes, have no sweep in sensors/lidar, such as {START_NS}"
    assert said.removesuffix(str(START_NS)) + str(START_NS + 700 * MS) in caplog.text
    with pytest.raises(UserError, match="4 of 11 annotated timestamps.*download the rest"):
        indexed(log, tmp_path, missing_files="stop")


def test_a_gap_in_the_poses_is_said_and_its_sweeps_are_faults_of_mining(log, tmp_path, caplog):
    poses = log.tables["city_SE3_egovehicle"]
    seconds = 1e-9 * (np.array(poses["timestamp_ns"]) - START_NS)
    kept = (seconds < 0.25) | (seconds > 0.55)
    log.tables["city_SE3_egovehicle"] = {name: np.array(values)[kept] for name, values in poses.items()}
    (row,) = indexed(log.write(), tmp_path)
    assert "3 of 11 annotated timestamps, with 15 boxes, have no pose in city_SE3_egovehicle.feather" in caplog.text
    assert [one["timestamp_us"] - START_NS // 1000 for one in row["keyframes"]] == [0, 600_000]
    unknown = [sweep["timestamp_us"] for sweep in row["sweeps"] if np.isnan(sweep["global_SE3_sensor"]).all()]
    assert unknown == [time_ns // 1000 for time_ns in log.sweeps_ns[3:6]]


def test_a_camera_without_intrinsics_is_said_and_left_out(log, tmp_path, caplog):
    log.images["stereo_front_left"] = [START_NS]
    (row,) = indexed(log.write(), tmp_path)
    assert {image["channel"] for image in row["images"]} == {CAMERA}
    assert "log log-a: the camera stereo_front_left has no row in the tables of calibration" in caplog.text


def test_a_log_without_images_needs_no_calibration(log, tmp_path, caplog):
    log.images = {}
    for name in ("egovehicle_SE3_sensor", "intrinsics"):
        del log.tables[f"calibration/{name}"]
    (row,) = indexed(log.write(), tmp_path)
    assert not row["images"] and "log log-a has no images in sensors/cameras: it gives no views" in caplog.text


@pytest.mark.parametrize(
    ("table", "damage", "said"),
    [
        ("calibration/intrinsics", None, "there is no .*intrinsics.feather: unpack the log again"),
        ("calibration/egovehicle_SE3_sensor", None, "there is no .*egovehicle_SE3_sensor.feather: unpack"),
        ("city_SE3_egovehicle", None, "there is no .*city_SE3_egovehicle.feather: unpack"),
        ("annotations", slice(None, -40), "annotations.feather is no sound feather file .*: unpack the log again"),
        ("city_SE3_egovehicle", slice(3000), "city_SE3_egovehicle.feather is no sound feather file"),
        ("calibration/intrinsics", slice(0), "intrinsics.feather is no sound feather file"),
    ],
)
def test_tables_that_are_missing_or_cut_short_are_named(log, tmp_path, table, damage, said):
    path = log.write().folder / f"{table}.feather"
    content = path.read_bytes()
    path.unlink()
    if damage is not None:
        path.write_bytes(content[damage])
    with pytest.raises(UserError, match=said):
        indexed(log, tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.pop("tx_m"), "has no column tx_m, only timestamp_ns"),
        (lambda table: table.update(qw=["1"] * 55), "column qw is string, must be double"),
        (lambda table: table.update(timestamp_ns=[0.5] * 55), "column timestamp_ns is double, must be int64"),
        (lambda table: table.update(category=[None] + ["DOG"] * 54), "row 0: category is null, must be string"),
    ],
)
def test_columns_that_are_wrong_are_named(log, tmp_path, change, said):
    change(log.tables["annotations"])
    with pytest.raises(UserError, match=said):
        indexed(log.write(), tmp_path)


def test_two_poses_at_one_time_stop_the_index(log, tmp_path):
    log.tables["city_SE3_egovehicle"]["ty_m"][4] += 1
    with pytest.raises(UserError, match=r"two different ego poses at \d+ us, rows .* of .*city_SE3_egovehicle.feather"):
        indexed(log.write(), tmp_path)


def test_unknown_categories_have_no_class_unless_one_is_told(log, tmp_path, caplog):
    annotations = log.tables["annotations"]
    annotations["category"] = ["UNICORN" if name == "DOG" else name for name in annotations["category"]]
    (row,) = indexed(log.write(), tmp_path)
    assert caplog.text.count("UNICORN is no category of Argoverse 2 and has no class") == 1
    assert not any(one["evaluated"] for one in annotations_of(row, "dog"))
    (row,) = indexed(log, tmp_path, classes={"UNICORN": "DOG"})
    assert all(one["evaluated"] for one in annotations_of(row, "dog"))


def test_a_box_that_stands_twice_is_taken_once(log, tmp_path, caplog):
    log.tables["annotations"] = {name: [*values, values[0]] for name, values in log.tables["annotations"].items()}
    (row,) = indexed(log.write(), tmp_path)
    assert len(annotations_of(row, "car")) == 3 and "1 boxes stand beside another one of their track" in caplog.text


def test_splits_are_folders_and_what_cannot_be_mined_is_said(log, tmp_path, caplog):
    with pytest.raises(UserError, match="there is no folder .*val: set `root`.*here are no folders"):
        indexed(log, tmp_path)
    log.folder.parent.mkdir(parents=True)
    with pytest.raises(UserError, match="val holds no log: unpack those of split val into it"):
        indexed(log, tmp_path)
    test = Log(log.root, "test").write()
    (test.folder / "annotations.feather").unlink()
    with pytest.raises(UserError, match="none of the 1 logs of split test has annotations.feather, which .* not give"):
        indexed(test, tmp_path)
    log.write()
    other = Log(log.root, name="log-b").write()
    assert [row["scene"] for row in indexed(log, tmp_path)] == ["log-a", "log-b"]
    for path in (other.folder / "sensors" / "lidar").iterdir():
        path.unlink()
    assert [row["scene"] for row in indexed(log, tmp_path)] == ["log-a"]
    assert "1 of 2 logs of split val have no sweep in sensors/lidar (log-b): mined are those that have" in caplog.text
    with pytest.raises(UserError, match="1 of 2 logs .*download the rest"):
        indexed(log, tmp_path, missing_files="stop")
