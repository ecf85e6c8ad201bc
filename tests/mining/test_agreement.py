"""Clouds against num_lidar_pts, which city's generator counts with the devkit, and nuScenes with its own tools."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyquaternion import Quaternion

from blendclip import storage
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import TableOptions
from blendclip.errors import UserError
from blendclip.mining.agreement import Agreement, agreement_as_text
from blendclip.mining.clouds import gather_clouds
from blendclip.mining.options import CloudOptions
from blendclip.mining.summary import as_text
from tests.mining.pipeline import mine
from tests.mining.test_bad_input import Vandal
from tests.real import recording

CAUSES = "width, length, height, .*yaw.*bottom.*axes.*lidar_columns"


def clouds(root, folder, *, version="v1.0-mini", format="nuscenes", most=0.05, **options):
    """The counts of agreement of the training split, and its clouds."""
    write_index(root, TableOptions(version), "x", ["mini_train"], folder, format=format)
    paths = [folder / f"{name}.parquet" for name in ("mini_train", "clouds", "rejects")]
    gather_clouds(paths[0], root, 0, 1, *paths[1:], CloudOptions(**options), 0.0, most)
    return storage.options_of(paths[2])["agreement"], pq.read_table(paths[1])


def swap_width_and_length(row):
    row["size"] = [row["size"][1], row["size"][0], row["size"][2]]


def height_first(row):
    row["size"] = [row["size"][2], *row["size"][:2]]


def freeze_yaw(row):
    row["rotation"] = [1.0, 0.0, 0.0, 0.0]


def negate_yaw(row):
    w, x, y, z = row["rotation"]
    row["rotation"] = [w, x, y, -z]


def center_at_the_bottom(row):
    row["translation"][2] -= row["size"][2] / 2


def turned(axis, degrees):
    def turn(row):
        if not row["camera_intrinsic"]:
            row["rotation"] = (Quaternion(row["rotation"]) * Quaternion(axis=axis, degrees=degrees)).elements.tolist()

    return turn


WRONG = {
    "width and length": ("sample_annotation", swap_width_and_length),
    "height first": ("sample_annotation", height_first),
    "frozen yaw": ("sample_annotation", freeze_yaw),
    "negated yaw": ("sample_annotation", negate_yaw),
    "bottom": ("sample_annotation", center_at_the_bottom),
    "x to the left": ("calibrated_sensor", turned([0, 0, 1], 90)),
    "x backwards": ("calibrated_sensor", turned([0, 0, 1], 180)),
    "z down": ("calibrated_sensor", turned([1, 0, 0], 180)),
}


def damaged(root, folder, table, change):
    copy = Vandal(root, folder / "copy")
    rows = copy.table(table)
    for row in rows:
        change(row)
    copy.write(table, rows)
    return copy.root


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_city_is_stopped_and_told_what_to_look_for(city_root, tmp_path, wrong):
    with pytest.raises(UserError, match=f"fewer LiDAR points over all their sweeps than num_lidar_pts.*{CAUSES}"):
        clouds(damaged(city_root, tmp_path, *WRONG[wrong]), tmp_path)
    assert not (tmp_path / "clouds.parquet").exists()


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_nuscenes_frame_is_stopped_and_told_what_to_look_for(tmp_path, wrong):
    root, _ = recording("nuscenes_frame")
    with pytest.raises(UserError, match=f"of 66 annotations have fewer LiDAR points.*{CAUSES}"):
        clouds(damaged(root, tmp_path, *WRONG[wrong]), tmp_path)


@pytest.mark.parametrize(("name", "count", "with_points"), [("nuscenes_frame", 69, 66), ("dgp_drive", 39, 21)])
def test_real_recordings_agree_exactly(tmp_path, name, count, with_points):
    root, _ = recording(name)
    found, _ = clouds(root, tmp_path)
    assert found == {"compared": count, "with_points": with_points, "exact": count, "near": count} | {
        "fewer": 0,
        "example": "",
    }


def test_the_city_agrees_exactly(city_root, tmp_path):
    found, table = clouds(city_root, tmp_path)
    assert found["exact"] == found["near"] == found["compared"] == len(table) > 50
    assert found["fewer"] == 0


def test_the_citytruck_agrees_but_for_points_on_the_faces_of_boxes(citytruck_root, tmp_path):
    found, table = clouds(citytruck_root, tmp_path, version="v1.2-mini", format="truckscenes")
    assert found["compared"] == len(table) > 50 and found["fewer"] == 0
    assert found["exact"] >= 0.98 * len(table) and found["near"] >= found["exact"]


def test_points_that_are_taken_at_another_time_than_their_own_are_not_compared(citytruck_root, tmp_path):
    found, table = clouds(citytruck_root, tmp_path, version="v1.2-mini", format="truckscenes", motion="none")
    assert found["compared"] == 0 < len(table)


def test_annotations_whose_keyframe_cannot_be_read_are_not_compared(city_root, tmp_path):
    whole, _ = clouds(city_root, tmp_path)
    copy = Vandal(city_root, tmp_path / "copy")
    gone = copy.files("samples/LIDAR_TOP/*.bin")[2]
    gone.unlink()
    sample = next(row["sample_token"] for row in copy.table("sample_data") if gone.match(row["filename"]))
    lost = sum(row["sample_token"] == sample for row in copy.table("sample_annotation"))
    mined = mine(copy.root, tmp_path / "results")
    assert mined.summary["num_lidar_pts"] == {
        "annotations": whole["compared"] - lost,
        "with_points": whole["compared"] - lost,
        "exact": 1.0,
        "near": 1.0,
        "fewer": 0.0,
    }
    assert "100.0% exact in the keyframe's sweeps, 100.0% within 10 %, 0.0% fewer" in as_text(mined.summary)
    assert "WARNING" not in as_text(mined.summary)


def test_few_that_agree_are_a_warning_where_the_key_lets_them_pass(city_root, tmp_path, caplog):
    root = damaged(city_root, tmp_path, *WRONG["frozen yaw"])
    found, _ = clouds(root, tmp_path, most=1.0)
    assert 0.3 < found["near"] / found["compared"] < 0.8
    assert "WARNING: few agree; look for sizes in another order" in caplog.text
    total = Agreement.total([found, found])
    assert total.compared == 2 * found["compared"]
    assert "WARNING: few agree" in agreement_as_text(total.shares())


@pytest.mark.parametrize("unknown", [-1, None, "absent"])
def test_an_unknown_number_of_points_is_never_zero(city_root, tmp_path, unknown):
    def forget(row):
        row.update(num_lidar_pts=unknown)
        if unknown == "absent":
            del row["num_lidar_pts"]

    _, known = clouds(city_root, tmp_path)
    found, table = clouds(damaged(city_root, tmp_path, "sample_annotation", forget), tmp_path)
    assert found["compared"] == 0
    assert table["num_lidar_pts"].null_count == len(table)
    assert table["evaluated"] == known["evaluated"], "the points in the tables are known to be none of none"
    assert "nothing to compare" in agreement_as_text(Agreement.total([found]).shares())


def test_a_part_of_few_annotations_stops_at_five(tmp_path):
    Agreement(compared=4, with_points=4, fewer=4, near=4).check(0.05)
    with pytest.raises(UserError, match="5 of 5 annotations"):
        Agreement(compared=5, with_points=5, fewer=5, example="a: 1, not 9").check(0.05)
    Agreement(compared=100, with_points=100, fewer=5, near=95).check(0.05)


@pytest.mark.parametrize("columns", [3, 4, 6, 7])
def test_sweeps_of_other_columns_give_the_same_clouds(city_root, tmp_path, columns, caplog):
    """Every sweep is cut to a number of points that 420 divides, so that its size says nothing."""
    sweeps = [copy_with(columns, city_root, tmp_path / name) for name, columns in (("five", 5), ("other", columns))]
    tables = []
    for root in sweeps:
        # Without the ends of the sweeps, the counts of some boxes are no longer true.
        _, table = clouds(root, tmp_path, most=1.0)
        tables.append(table)
    assert tables[0]["points"] == tables[1]["points"]
    assert f"have {columns} float32 a point, by the looks of 16 of them, not 5" in caplog.text
    if columns == 3:
        assert tables[1]["intensity"].null_count == len(tables[1])
    else:
        assert tables[0]["intensity"] == tables[1]["intensity"]


@pytest.mark.parametrize("columns", [3, 4, 6, 7])
@pytest.mark.parametrize("told", [5, 4])
def test_a_wrong_number_of_columns_is_called_that(city_root, tmp_path, columns, told):
    root = copy_with(columns, city_root, tmp_path / "other")
    write_index(root, TableOptions("v1.0-mini", lidar_columns=told), "x", ["mini_train"], tmp_path)
    arguments = (tmp_path / "clouds.parquet", tmp_path / "rejects.parquet", CloudOptions())
    if told == columns:
        assert gather_clouds(tmp_path / "mini_train.parquet", root, 0, 1, *arguments, 0.01, 1.0) > 0
        return
    sentence = (
        f"it seems to have {columns} float32 a point, not {told}: set `lidar_columns` of the dataset to {columns}"
    )
    with pytest.raises(UserError, match=rf"(\d+) of \1 sweeps are broken, .*bin: {sentence}"):
        gather_clouds(tmp_path / "mini_train.parquet", root, 0, 1, *arguments, 0.01)


def copy_with(columns, root, folder):
    """A copy of the city whose raw sweeps have so many columns: after the ring a time, then zeros."""
    shutil.copytree(root, folder)
    for path in folder.glob("s*/LIDAR_TOP/*.bin"):
        points = np.fromfile(path, np.float32).reshape(-1, 5)
        points = points[: len(points) // 420 * 420]
        time_s = np.linspace(0, 0.05, len(points), dtype=np.float32)[:, None]
        np.hstack([points, time_s, 0 * time_s])[:, :columns].tofile(path)
    return folder
