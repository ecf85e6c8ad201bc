"""What tables hold that is left out, not honoured, or strange: said, and the rest mined."""

import json
import logging

import pytest

from blendclip.datasets.drives.validation import validate_index
from blendclip.errors import UserError
from blendclip.mining.clouds import gather_clouds
from blendclip.mining.options import CloudOptions
from tests.datasets.drives.broken import Drive
from tests.datasets.drives.test_partial import annotations

YEAR_US = 31_556_952 * 10**6


@pytest.fixture
def drive(city_root, tmp_path):
    return Drive(city_root, tmp_path / "data")


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_sound_drive_has_no_warning(drive, tmp_path, caplog):
    drive.two_scenes()
    drive.index(tmp_path)
    assert not warnings(caplog)


def test_boxes_that_nobody_followed_are_said_once(drive, tmp_path, caplog):
    drive.two_scenes()
    instances = {row["token"]: row for row in drive.table("instance")}
    rows = drive.table("sample_annotation")
    for row in rows:
        row |= {"prev": "", "next": ""}
    own = [instances[row["instance_token"]] | {"token": f"{row['token']}-own"} for row in rows]
    drive.write("instance", own)
    drive.write("sample_annotation", [row | {"instance_token": f"{row['token']}-own"} for row in rows])
    found = drive.index(tmp_path)
    assert len(annotations(found)) == sum(len(row["tracks"]) for row in found)
    (said,) = warnings(caplog)
    assert "no instance has two annotations, though 2 scenes have boxes at several keyframes" in said
    assert "`clouds: {sweeps: 1}`" in said


@pytest.mark.parametrize("year", [1980, 2150])
def test_times_of_another_clock_are_mined_with_a_warning(drive, tmp_path, caplog, year):
    before = drive.index(tmp_path / "before")
    shift_us = round((year + 0.5 - 1970) * YEAR_US) - before[0]["keyframes"][0]["timestamp_us"]
    for table in ("sample", "sample_data", "ego_pose"):
        drive.change(table, lambda row: row.update(timestamp=row["timestamp"] + shift_us))
    (after,) = drive.index(tmp_path / "after")
    (said,) = warnings(caplog)
    assert f"reads as the year {year}" in said and "differences alone are used" in said
    expected = json.loads(json.dumps(before[0]))
    rows = [*annotations([expected]), *expected["keyframes"], *expected["sweeps"], *expected["images"]]
    for row in rows:
        row["timestamp_us"] += shift_us
    for row, other in zip(annotations([expected]), annotations([after]), strict=True):
        row["velocity_mps"] = other["velocity_mps"] = None  # of differences of seconds, which round
    assert after == expected

    counts = [
        gathered(tmp_path / name / "mini_train.parquet", drive.root, tmp_path / f"{name}.parquet")
        for name in ("before", "after")
    ]
    assert counts[0] == counts[1] and sum(counts[0]) > 1000


def gathered(index, root, output):
    import pyarrow.parquet as pq

    gather_clouds(index, root, 0, 1, output, output.with_suffix(".rejects"), CloudOptions(), 0.0)
    return pq.read_table(output)["num_points"].to_pylist()


@pytest.mark.parametrize(("factor", "unit"), [(1e-6, "seconds"), (1e-3, "milliseconds"), (1e3, "nanoseconds")])
def test_another_unit_is_an_error_in_any_year(drive, tmp_path, factor, unit):
    for year in (1980, 2018):
        start_us = round((year - 1970) * YEAR_US)
        drive.change("sample", lambda row, start=start_us: row.update(timestamp=int(start * factor)))
        with pytest.raises(UserError, match=f"sample.json, record .*: timestamp is .*, {unit} by the look of it"):
            drive.index(tmp_path)


def test_coefficients_of_distortion_are_said(drive, tmp_path, caplog):
    channels = drive.channels()
    before = drive.index(tmp_path)

    def bend(row):
        row["camera_distortion"] = [0.1, 0, 0, 0, 0] if channels[row["token"]] == "CAM_FRONT" else [0.0] * 5

    drive.change("calibrated_sensor", bend)
    assert drive.index(tmp_path) == before
    (said,) = warnings(caplog)
    assert "calibrated_sensor.json: CAM_FRONT have coefficients of distortion, which are not used" in said


def test_records_that_are_marked_invalid_are_left_out(drive, tmp_path, caplog):
    (before,) = drive.index(tmp_path)
    middle = len(before["keyframes"]) // 2
    sample = before["keyframes"][middle]["sample_token"]
    files = {before["sweeps"][1]["path"], before["images"][0]["path"]}
    box = next(row["token"] for row in annotations([before]) if row["keyframe"] == 0)
    for table, field, invalid in (
        ("sample", "token", {sample}),
        ("sample_data", "filename", files),
        ("sample_annotation", "token", {box}),
    ):
        drive.change(table, lambda row, field=field, bad=invalid: row.update(is_valid=row[field] not in bad))
    (after,) = drive.index(tmp_path)
    assert len(warnings(caplog)) == 3 and all("marked invalid and left out" in said for said in warnings(caplog))

    def kept(row):
        return row["keyframe"] != middle

    assert [row["sample_token"] for row in after["keyframes"]] == [
        row["sample_token"] for row in before["keyframes"] if row["sample_token"] != sample
    ]
    expected = {row["token"] for row in annotations([before]) if kept(row)} - {box}
    assert {row["token"] for row in annotations([after])} == expected
    images = {row["path"] for row in before["images"] if kept(row)} - files
    assert {row["path"] for row in after["images"]} == images
    named = {row["filename"]: row["sample_token"] for row in drive.table("sample_data")}
    sweeps = [row for row in before["sweeps"] if named[row["path"]] != sample and row["path"] not in files]
    assert {row["path"] for row in after["sweeps"]} == {row["path"] for row in sweeps}
    validate_index(tmp_path / "mini_train.parquet", drive.root)


def test_scenes_that_share_time_of_a_log_are_said(drive, tmp_path, caplog):
    first, second = drive.two_scenes()
    start = {}
    for row in drive.table("sample"):
        start[row["scene_token"]] = min(row["timestamp"], start.get(row["scene_token"], 10**18))
    tokens = {row["name"]: row["token"] for row in drive.table("scene")}
    scene_of = {row["token"]: row["scene_token"] for row in drive.table("sample")}
    shift_us = start[tokens[first]] + 500_000 - start[tokens[second]]

    def shift(row):
        if scene_of[row.get("sample_token", row["token"])] == tokens[second]:
            row["timestamp"] += shift_us

    for table in ("sample", "sample_data"):
        drive.change(table, shift)
    drive.change("scene", lambda row: row.update(log_token="one" if row["name"] == first else "other"))
    drive.index(tmp_path)
    assert not warnings(caplog)
    drive.change("scene", lambda row: row.update(log_token="one"))
    drive.index(tmp_path)
    (said,) = warnings(caplog)
    assert f"1 pairs of scenes share time of the same log, such as {first} and {second}" in said


def test_sensors_of_another_kind_are_said(drive, tmp_path, caplog):
    drive.change("sensor", lambda row: row["channel"] == "CAM_BACK" and row.update(modality="thermal") or True)
    (row,) = drive.index(tmp_path)
    assert "CAM_BACK" not in {image["channel"] for image in row["images"]}
    (said,) = warnings(caplog)
    assert "the modality of CAM_BACK is 'thermal', not lidar, camera, radar: its files are not used" in said


@pytest.mark.parametrize("number", [1e9, 1e300, 2.5])
def test_numbers_of_points_that_no_box_has_are_not_known_and_said(drive, tmp_path, caplog, number):
    before = {row["token"]: row["num_lidar_pts"] for row in annotations(drive.index(tmp_path))}
    token = next(iter(before))
    drive.change("sample_annotation", lambda row: row["token"] == token and row.update(num_lidar_pts=number) or True)
    found = {row["token"]: row["num_lidar_pts"] for row in annotations(drive.index(tmp_path))}
    assert found == before | {token: None}
    (said,) = warnings(caplog)
    assert f"1 records have a number in num_lidar_pts that no box has, such as {number}, and count as not known" in said


def test_velocities_that_no_object_has_are_not_known(drive, tmp_path):
    """500 m within a second: the box is near enough to the vehicle, and its neighbours have no velocity by it."""
    before = {row["token"]: row for row in annotations(drive.index(tmp_path))}
    middle = next(row for row in drive.table("sample_annotation") if row["prev"] and row["next"] in before)
    drive.change(
        "sample_annotation",
        lambda row: row["token"] != middle["token"] or row["translation"].__setitem__(0, row["translation"][0] + 500),
    )
    found = {row["token"]: row for row in annotations(drive.index(tmp_path))}
    gone = {one for one, row in found.items() if row["velocity_mps"] is None and before[one]["velocity_mps"]}
    assert {middle["prev"], middle["next"]} >= gone > set()
    assert all(row["velocity_mps"] == before[one]["velocity_mps"] for one, row in found.items() if one not in gone)
