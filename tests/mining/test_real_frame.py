"""Mining of real recordings against official values."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.spatial import cKDTree

from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.mining.clouds import gather_clouds
from blendclip.mining.options import CloudOptions, ViewOptions
from blendclip.mining.views import cut_views
from tests.real import recording

ALL_VIEWS = ViewOptions(min_visibility=1, whole_box=False, min_side_px=0)


@pytest.fixture
def frame(tmp_path):
    return indexed("nuscenes_frame", tmp_path)


@pytest.fixture
def drive(tmp_path):
    return indexed("dgp_drive", tmp_path)


def indexed(name, folder):
    root, expected = recording(name)
    write_index(root, DriveOptions("v1.0-mini"), name, ["mini_train"], folder)
    return root, expected, folder / "mini_train.parquet"


def clouds(root, index, **options):
    output = index.with_name("clouds.parquet")
    gather_clouds(index, root, 0, 1, output, index.with_name("rejects.parquet"), CloudOptions(**options), 0.0)
    return pq.read_table(output).to_pandas()


def boxes(root, index):
    output = index.with_name("views.parquet")
    cut_views(index, root, 0, 1, output, index.with_name("rejects.parquet"), ALL_VIEWS, 0.0)
    rows = pq.read_table(output, columns=["annotation_token", "channel", "crop_xyxy_px"]).to_pylist()
    return {(row["annotation_token"], row["channel"]): np.array(row["crop_xyxy_px"]) for row in rows}


def test_every_cloud_of_the_nuscenes_frame_has_the_official_number_of_points(frame):
    root, expected, index = frame
    found = clouds(root, index, sweeps=1, min_points=0).set_index("annotation_token")["num_points"].to_dict()
    assert found == {row["token"]: row["num_lidar_pts"] for row in expected["annotations"]}
    assert len(found) == 69


def test_points_of_a_cloud_lie_in_its_box_and_lag_nothing(frame):
    root, _, index = frame
    for row in clouds(root, index, sweeps=1).itertuples():
        assert (np.abs(np.stack(row.points)) <= np.array(row.size_lwh_m) / 2 + 1e-5).all()
        assert not np.any(row.time_lag_s)
        assert len(row.points) == len(row.intensity) == row.num_points


def test_crops_of_the_nuscenes_frame_are_the_official_2d_boxes(frame):
    root, expected, index = frame
    found = boxes(root, index)
    official = {
        (row["token"], channel): box["bbox"]
        for row in expected["annotations"]
        for channel, box in row["boxes_2d"].items()
    }
    assert len(official) == 84
    assert max(np.abs(found[key] - official[key]).max() for key in official) < 0.01
    # One box more: the hand trolley, which is outside the classes for which official boxes were made.
    others = {token for token, _ in found.keys() - official.keys()}
    assert others <= {
        row["token"] for row in expected["annotations"] if row["detection_name"] is None or not row["boxes_2d"]
    }


def test_crops_of_the_drive_are_the_2d_boxes_of_its_makers(drive):
    root, expected, index = drive
    found = boxes(root, index)
    official = {
        (row["token"], channel): box["bbox"]
        for sample in expected["samples"]
        for row in sample["annotations"]
        for channel, box in row["boxes_2d"].items()
    }
    assert found.keys() == official.keys()
    # Theirs are whole pixels, cut off below.
    assert max(np.abs(np.floor(found[key]) - official[key]).max() for key in official) <= 1


def sweeps_of_movers(root, index, motion):
    """Points of each sweep, newest first, of everything that moves in the drive and has 15 points in three sweeps."""
    found = {}
    for row in clouds(root, index, sweeps=3, motion=motion).itertuples():
        if np.linalg.norm(row.velocity_mps) > 2 and row.num_sweeps == 3 and row.num_points >= 15:
            points, lags = np.stack(row.points), np.asarray(row.time_lag_s)
            found[row.instance_token] = [points[lags == lag] for lag in np.unique(lags)]
    return found


def test_what_moves_in_the_drive_leaves_no_trail(drive):
    root, _, index = drive
    followed, kept = (sweeps_of_movers(root, index, motion) for motion in ("interpolate", "none"))
    assert len(followed) >= 4

    def to_newest_m(sweeps):
        return np.median(cKDTree(sweeps[0]).query(np.concatenate(sweeps[1:]))[0])

    for instance, sweeps in followed.items():
        assert to_newest_m(sweeps) < 0.25
        if instance in kept:
            assert to_newest_m(sweeps) < 0.7 * to_newest_m(kept[instance])
        if min(len(points) for points in sweeps) >= 10:
            # The end that faces the sensor, front or back, is at one place in all sweeps.
            end = np.sign(sweeps[0][:, 0].mean())
            assert np.ptp([(end * points[:, 0]).max() for points in sweeps]) < 0.15


def test_a_window_longer_than_the_recording_takes_what_there_is(drive):
    root, _, index = drive
    longer, whole = (clouds(root, index, sweeps=sweeps) for sweeps in (10, 3))
    assert longer["num_points"].tolist() == whole["num_points"].tolist()
    assert longer["num_sweeps"].max() == 3
