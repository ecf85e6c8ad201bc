"""Sweeps serve the keyframe that follows in time, whatever they name."""

import numpy as np
import pytest

from blendclip.datasets.drives.keyframes import serving_keyframes
from tests.datasets.drives.broken import Drive


@pytest.fixture(params=["city", "citytruck"])
def drive(request, tmp_path):
    root = request.getfixturevalue(f"{request.param}_root")
    truck = request.param == "citytruck"
    return Drive(root, tmp_path / "data", *(("v1.2-mini", "truckscenes") if truck else ()))


def nearest(time_us, keyframe_us, named):
    return int(np.argmin(np.abs(np.array(keyframe_us) - time_us)))


def previous(time_us, keyframe_us, named):
    return max(named - 1, 0)


def first(time_us, keyframe_us, named):
    return 0


@pytest.mark.parametrize("names", [nearest, previous, first])
def test_whatever_keyframe_they_name_the_index_is_the_same(drive, tmp_path, names):
    before = drive.index(tmp_path / "before")
    samples = {row["token"]: row for row in drive.table("sample")}
    scenes = {}
    for row in sorted(samples.values(), key=lambda row: row["timestamp"]):
        scenes.setdefault(row["scene_token"], []).append(row)
    changed = []

    def rename(row):
        if not row["is_key_frame"]:
            of_scene = scenes[samples[row["sample_token"]]["scene_token"]]
            named = [sample["token"] for sample in of_scene].index(row["sample_token"])
            other = of_scene[names(row["timestamp"], [sample["timestamp"] for sample in of_scene], named)]["token"]
            changed.append(row["sample_token"] != other)
            row["sample_token"] = other

    drive.change("sample_data", rename)
    assert np.mean(changed) > 0.25
    assert drive.index(tmp_path / "after") == before


def test_by_hand():
    keyframe_us = np.array([1_000_000, 1_500_000, 2_000_000])
    #                  before    own      between  late own  after it  no own  of the sample  last     after it
    time_us = np.array([900_000, 990_000, 1_200_000, 1_510_000, 1_520_000, 1_900_000, 2_000_000, 2_000_001])
    named = np.array([2, 0, 0, 1, 1, 1, 1, 0])
    is_key = np.array([False, True, False, True, False, False, False, False])
    assert serving_keyframes(time_us, named, is_key, keyframe_us).tolist() == [0, 0, 1, 1, 2, 2, 2, 2]


def test_a_keyframes_own_sweep_of_a_wrong_time_moves_no_other():
    keyframe_us = np.array([10, 11, 12]) * 1_000_000
    time_us = np.array([10, 10.5, 3, 11.5, 12]) * 1e6  # that of the middle keyframe should be at 11 s
    named, is_key = np.array([0, 1, 1, 2, 2]), np.array([True, False, True, False, True])
    found = serving_keyframes(time_us.astype(np.int64), named, is_key, keyframe_us)
    assert found[[0, 1, 3, 4]].tolist() == [0, 1, 2, 2]


def test_of_two_sweeps_that_are_marked_as_key_frames_the_nearer_is_the_keyframes_own():
    keyframe_us = np.array([1_000_000, 1_500_000])
    time_us, named = np.array([960_000, 1_010_000, 1_490_000]), np.array([0, 0, 1])
    assert serving_keyframes(time_us, named, np.full(3, True), keyframe_us).tolist() == [0, 0, 1]
