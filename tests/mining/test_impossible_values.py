"""Values that no vehicle, sensor or box has: a reject that names them, and the rest is mined as before."""

import numpy as np
import pytest

from blendclip.errors import UserError
from blendclip.mining.options import CloudOptions
from tests.mining.pipeline import mine
from tests.mining.test_bad_input import Vandal, only_fault

FAR_M = 5000.0


@pytest.fixture
def vandal(city_root, tmp_path):
    return Vandal(city_root, tmp_path / "city")


@pytest.fixture(scope="module")
def whole(city_root, tmp_path_factory):
    return mine(city_root, tmp_path_factory.mktemp("whole"))


def calibrate(vandal, channel, **values):
    sensors = {row["token"]: row["channel"] for row in vandal.table("sensor")}
    rows = vandal.table("calibrated_sensor")
    for row in rows:
        if sensors[row["sensor_token"]].startswith(channel):
            row.update(values)
    vandal.write("calibrated_sensor", rows)


def reading(vandal, pattern, number, change):
    """Change the record of one file; return its name."""
    name = str(vandal.files(pattern)[number].relative_to(vandal.root))
    rows = vandal.table("sample_data")
    change(next(row for row in rows if row["filename"] == name), rows)
    vandal.write("sample_data", rows)
    return name


def same_clouds(mined, whole):
    """All points of all clouds."""
    columns = ["annotation_token", "num_points"]
    assert mined.clouds[columns].to_dict("records") == whole.clouds[columns].to_dict("records")
    for one, other in zip(mined.clouds["points"], whole.clouds["points"], strict=True):
        assert np.array_equal(np.stack(one), np.stack(other))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"translation": [FAR_M, 0.0, 1.5]}, "its sensor is {} m from the vehicle at the nearest keyframe; it can be"),
        ({"translation": [1e300, 0.0, 1.5]}, "its sensor is inf m from the vehicle"),
        ({"translation": None}, "the pose or calibration of its sensor is not finite"),
        ({"rotation": None}, "the pose or calibration of its sensor is not finite"),
        ({"camera_intrinsic": None}, "the pose or calibration of its sensor is not finite"),
        (
            {"camera_intrinsic": [[1e300, 0, 160], [0, 1e300, 90], [0, 0, 1]]},
            "the focal length [1e+300, 1e+300] px is not 0.05 to 100 times the sides of its 320 x 180 px",
        ),
        (
            {"camera_intrinsic": [[250, 0, 1e9], [0, 250, 90], [0, 0, 1]]},
            "the principal point [1000000000.0, 90.0] px is not in or near its 320 x 180 px",
        ),
        (
            {"camera_intrinsic": [[250, 0, 160], [0, 250, 90], [0, 0, 0]]},
            "the last row of its intrinsic matrix is [0.0, 0.0, 0.0], must be 0 0 1",
        ),
    ],
    ids=["5 km", "1e300 m", "nowhere", "not turned", "not calibrated", "focal length", "centre", "last row"],
)
def test_a_camera_that_cannot_be_costs_its_own_images(vandal, whole, tmp_path, values, reason):
    calibrate(vandal, "CAM_BACK_LEFT", **values)
    mined = mine(vandal.root, tmp_path / "results")
    files = mined.rejects[mined.rejects["annotation_token"].isna()]
    assert len(files) == 5 and files["path"].str.contains("CAM_BACK_LEFT").all()
    before, _, after = reason.partition("{}")
    assert files["reason"].str.startswith(before).all() and files["reason"].str.contains(after, regex=False).all()
    if after:
        distance_m = files["reason"].str.extract(rf"{before}(\S+)")[0].astype(float)
        assert np.abs(distance_m - FAR_M).max() < 20  # which it drives between image and keyframe
    others = whole.views[~whole.views["view_id"].str.endswith("CAM_BACK_LEFT")]
    assert mined.views["view_id"].tolist() == others["view_id"].tolist()
    same_clouds(mined, whole)


def test_a_lidar_that_cannot_be_is_an_error(vandal, tmp_path):
    calibrate(vandal, "LIDAR_TOP", translation=[FAR_M, 0.0, 1.8])
    with pytest.raises(UserError, match=r"ego_SE3_sensor is \[5000.0, 0.0, 1.8\], must be within 30 m .* rows have it"):
        mine(vandal.root, tmp_path / "results")


@pytest.mark.parametrize("size", [(0, 0), (None, None), (-320, 180), (10**10, 180)], ids=str)
def test_an_image_of_no_size_is_a_fault(vandal, tmp_path, size):
    name = reading(vandal, "samples/CAM_BACK/*.jpg", 1, lambda row, rows: row.update(width=size[0], height=size[1]))
    mined = mine(vandal.root, tmp_path / "results")
    (row,) = mined.rejects[mined.rejects["annotation_token"].isna()].to_dict("records")
    shown = tuple(min(side or 0, 2**31 - 1) for side in size)
    assert row["reason"] == f"the tables give it {shown[0]} x {shown[1]} px; a side has 1 to 65535 px"
    assert row["path"] == name


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"size": [10_000.0, 4.0, 1.5]},
            "size [4.0, 10000.0, 1.5] (length, width, height) has a side of more",
        ),
        ({"size": [1.0, 1e300, 1.5]}, "has a side of more than 100 m"),
        ({"size": None}, "size [nan, nan, nan] (length, width, height) is not positive"),
        ({"size": [1.0, None, 1.5]}, "is not positive"),
        ({"translation": None}, "the box centre [nan, nan, nan] is not finite"),
        ({"translation": [1e300, 0.0, 0.0]}, "the box centre is inf m from the vehicle; no sensor sees further than"),
        ({"rotation": None}, "no unit quaternion: its norm is nan"),
    ],
    ids=["10 km", "1e300 m", "no size", "no length", "nowhere", "far away", "not turned"],
)
def test_a_box_that_cannot_be_is_a_reject(vandal, whole, tmp_path, change, reason):
    token = vandal.annotate(lambda row, rows: row.update(change))
    mined = mine(vandal.root, tmp_path / "results")
    assert reason in only_fault(mined, "clouds")["reason"]
    assert token == only_fault(mined, "clouds")["annotation_token"] == only_fault(mined, "views")["annotation_token"]
    assert set(mined.clouds["annotation_token"]) == set(whole.clouds["annotation_token"]) - {token}


@pytest.mark.parametrize("null", [None, [None]], ids=["all", "one"])
def test_attributes_that_are_null_are_none(vandal, whole, tmp_path, null):
    token = vandal.annotate(lambda row, rows: row.update(attribute_tokens=null))
    mined = mine(vandal.root, tmp_path / "results")
    assert mined.rejects.equals(whole.rejects)
    names = {row["annotation_token"]: list(row["attributes"]) for row in mined.views.to_dict("records")}
    before = {row["annotation_token"]: list(row["attributes"]) for row in whole.views.to_dict("records")}
    assert before[token] and names == before | {token: []}


def test_a_vehicle_that_cannot_be_at_a_keyframe_is_a_fault_of_its_boxes(vandal, whole, tmp_path):
    """Five kilometres aside for the LiDAR of the middle keyframe: its boxes have no distance, its sweep no place."""
    sample = vandal.samples()[2]
    data = next(
        row
        for row in vandal.table("sample_data")
        if row["sample_token"] == sample and "samples/LIDAR" in row["filename"]
    )
    poses = vandal.table("ego_pose")
    next(row for row in poses if row["token"] == data["ego_pose_token"])["translation"][0] += FAR_M
    vandal.write("ego_pose", poses)
    mined = mine(vandal.root, tmp_path / "results", faults=0.5, clouds=CloudOptions(sweeps=15))
    rows = mined.rejects[(mined.rejects["stage"] == "clouds") & (mined.rejects["kind"] == "fault")]
    (sweep,) = rows[rows["annotation_token"].isna()].to_dict("records")
    assert sweep["path"] == data["filename"] and "m from the vehicle at the nearest keyframe" in sweep["reason"]
    boxes = rows[~rows["annotation_token"].isna()]
    assert boxes["reason"].str.startswith("the vehicle is at [").all()
    annotated = {row["token"] for row in vandal.table("sample_annotation") if row["sample_token"] == sample}
    assert set(boxes["annotation_token"]) == annotated


@pytest.mark.parametrize("twice", ["record", "copy", "file", "moment"])
def test_a_sweep_that_stands_twice_counts_once(vandal, whole, tmp_path, caplog, twice):
    changes = {
        "record": {},
        "copy": {"token": "f" * 32},
        "file": {"token": "f" * 32, "is_key_frame": False, "timestamp": 1_533_000_000_500_001},
        "moment": {"token": "f" * 32, "is_key_frame": False, "filename": "sweeps/LIDAR_TOP/other.pcd.bin"},
    }
    reading(vandal, "samples/LIDAR_TOP/*.bin", 2, lambda row, rows: rows.append(row | changes[twice]))
    mined = mine(vandal.root, tmp_path / "results")
    same_clouds(mined, whole)
    assert mined.rejects.equals(whole.rejects)
    (said,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert "sample_data.json: 1 records have the file, or the sensor and time, of another one and are left out" in said


def test_an_image_that_stands_twice_gives_one_view(vandal, whole, tmp_path, caplog):
    reading(vandal, "samples/CAM_BACK/*.jpg", 1, lambda row, rows: rows.append(row | {"token": "f" * 32}))
    mined = mine(vandal.root, tmp_path / "results")
    assert mined.views["view_id"].tolist() == whole.views["view_id"].tolist()
    assert "1 records have the file" in caplog.text
