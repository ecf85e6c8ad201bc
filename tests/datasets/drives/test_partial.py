"""Datasets of which a part was downloaded, or that lack what mining does not need."""

import json
import re

import pytest

from blendclip.errors import UserError
from blendclip.reporting.inspection.inspect_scene import inspect_scene
from tests.datasets.drives.broken import Drive


@pytest.fixture
def drive(city_root, tmp_path):
    return Drive(city_root, tmp_path / "data")


def annotations(rows):
    return [annotation for row in rows for track in row["tracks"] for annotation in track["annotations"]]


def test_scenes_without_files_are_said_and_left_out(drive, tmp_path, caplog):
    with_files, without = drive.two_scenes()
    whole = drive.index(tmp_path / "whole")
    assert [row["scene"] for row in whole] == [with_files, without] and not caplog.text
    for path in drive.files_of(without):
        path.unlink()
    assert drive.index(tmp_path / "part") == whole[:1]
    said = rf"1 of 2 scenes of split mini_train have no files under .*data \({without}\): mined are those that have"
    assert len(re.findall(said, caplog.text)) == 1


def test_scenes_without_files_stop_the_run_where_config_says_so(drive, tmp_path):
    _, without = drive.two_scenes()
    assert len(drive.index(tmp_path, missing_files="stop")) == 2
    for path in drive.files_of(without):
        path.unlink()
    with pytest.raises(UserError, match="1 of 2 scenes .* have no files .*: download the rest, or set `missing_files"):
        drive.index(tmp_path, missing_files="stop")


@pytest.mark.parametrize("missing_files", ["skip", "stop"])
def test_no_files_at_all_is_an_error(drive, tmp_path, missing_files):
    for name in drive.two_scenes():
        for path in drive.files_of(name):
            path.unlink()
    with pytest.raises(
        UserError, match="none of the files of the 2 scenes of split mini_train, such as samples/.*: set"
    ):
        drive.index(tmp_path, missing_files=missing_files)


def test_keyframes_without_the_sweeps_between_them_are_told_how_to_be_mined(drive, tmp_path, caplog):
    drive.index(tmp_path)
    assert "sweeps" not in caplog.text
    between = [path for path in drive.files_of("scene-0061") if path.is_relative_to(drive.root / "sweeps")]
    for path in between:
        path.unlink()
    drive.index(tmp_path)
    lidar = sum("LIDAR" in path.parts[-2] for path in between)
    assert f"none of the {lidar} sweeps between them, such as sweeps/LIDAR_TOP/" in caplog.text
    assert "set `clouds: {sweeps: 1}`" in caplog.text
    with pytest.raises(UserError, match="`clouds: {sweeps: 1}`"):
        drive.index(tmp_path, missing_files="stop")


def test_inspection_takes_the_first_scene_that_has_files(drive, tmp_path):
    first, second = drive.two_scenes()
    drive.index(tmp_path)
    for path in drive.files_of(first):
        path.unlink()
    index = tmp_path / "mini_train.parquet"
    written = inspect_scene(index, drive.root, tmp_path / "inspection", movers=1)
    assert {path.parent.name for path in written} == {second}
    with pytest.raises(UserError, match=f"none of the .* files of scene {first} is under"):
        inspect_scene(index, drive.root, tmp_path / "inspection", first)


def test_what_mining_does_not_need_may_be_missing_or_strange(drive, tmp_path):
    whole = drive.index(tmp_path / "whole")
    for name in ("map", "log"):
        drive.path(name).unlink()
    for path in (drive.root / "maps").iterdir():
        path.unlink()
    drive.write("lidarseg", [{"token": "x", "filename": "nowhere"}])
    drive.path("image_annotations").write_text("no JSON")
    drive.change("sample_data", lambda row: [row.pop(name) for name in ("prev", "next", "fileformat")])
    drive.change("ego_pose", lambda row: row.pop("timestamp"))
    assert drive.index(tmp_path / "bare") == whole


def test_absent_tables_and_columns_are_unknown(drive, tmp_path):
    whole = drive.index(tmp_path / "whole")
    for name in ("attribute", "visibility"):
        drive.path(name).unlink()
    drive.change("sample_annotation", lambda row: [row.pop(name) for name in ("prev", "next")])
    expected = json.loads(json.dumps(whole))
    for row in annotations(expected):
        row.update(attributes=[], visibility=None, velocity_mps=None)
    assert drive.index(tmp_path / "bare") == expected


@pytest.mark.parametrize("unknown", ["absent", None, -1, float("nan")])
def test_unknown_numbers_of_points_are_null_and_do_not_count_as_none(drive, tmp_path, unknown):
    counts = ("num_lidar_pts", "num_radar_pts")
    token = next(row["token"] for row in annotations(drive.index(tmp_path)) if row["evaluated"])

    def change(row, value):
        for name in counts:
            row[name] = value
            if value == "absent":
                del row[name]

    drive.change("sample_annotation", lambda row: change(row, 0) if row["token"] == token else None)
    none = {row["token"]: row["evaluated"] for row in annotations(drive.index(tmp_path))}
    assert not none[token]
    drive.change("sample_annotation", lambda row: change(row, unknown))
    found = annotations(drive.index(tmp_path))
    assert {row["num_lidar_pts"] for row in found} == {None}
    assert {row["token"] for row in found if row["evaluated"]} >= {key for key, kept in none.items() if kept} | {token}


def test_where_radar_is_not_known_lidar_alone_decides(drive, tmp_path):
    tokens = [row["token"] for row in annotations(drive.index(tmp_path)) if row["evaluated"]][:2]

    def change(row):
        del row["num_radar_pts"]
        if row["token"] in tokens:
            row["num_lidar_pts"] = tokens.index(row["token"])

    drive.change("sample_annotation", change)
    found = {row["token"]: (row["num_lidar_pts"], row["evaluated"]) for row in annotations(drive.index(tmp_path))}
    assert [found[token] for token in tokens] == [(0, False), (1, True)]


def test_where_lidar_is_not_known_no_radar_point_tells_nothing(drive, tmp_path):
    tokens = [row["token"] for row in annotations(drive.index(tmp_path)) if row["evaluated"]]
    drive.change("sample_annotation", lambda row: row.update(num_lidar_pts=None, num_radar_pts=0))
    assert {row["token"] for row in annotations(drive.index(tmp_path)) if row["evaluated"]} >= set(tokens)
