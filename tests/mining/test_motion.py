import numpy as np
import pyarrow as pa
import pytest

from blendclip.mining.motion import TrackPoses
from blendclip.mining.scene import Annotations


def yaw_wxyz(degrees):
    half = np.radians(np.asarray(degrees, float)) / 2
    return np.stack([np.cos(half), 0 * half, 0 * half, np.sin(half)], axis=-1)


def annotations():
    """Track 0, seen at 1, 2 and 3 s, goes and turns twice as fast in its last second; track 1 is seen once, at 2 s."""
    n = 4
    return Annotations(
        token=np.array(list("abcd")),
        track=np.array([0, 0, 0, 1]),
        keyframe=np.array([0, 1, 2, 1]),
        timestamp_us=np.array([1, 2, 3, 2]) * 1_000_000,
        translation=np.array([[10.0, 5, 0], [20, 5, 0], [40, 5, 0], [7, 7, 7]]),
        rotation_wxyz=yaw_wxyz([20, 40, 80, 90]),
        size_lwh_m=np.ones((n, 3)),
        visibility=np.ones(n),
        distance_m=np.ones(n),
        category=np.array(["vehicle.car"] * n),
        faults={},
        columns=pa.table({}),
    )


@pytest.mark.parametrize(
    ("seconds", "x_m", "yaw_deg"),
    [(1.0, 10, 20), (1.25, 12.5, 25), (2.0, 20, 40), (2.9, 38, 76), (0.5, 5, 10), (3.5, 50, 100), (-4.0, -40, -80)],
)
def test_poses_lie_on_the_line_between_before_and_after_the_annotations(seconds, x_m, yaw_deg):
    poses = TrackPoses(annotations(), "interpolate")
    for annotation in (0, 1, 2):  # which one asks makes no difference
        pose = poses.at(np.array([annotation]), np.array([int(seconds * 1e6)]))[0]
        np.testing.assert_allclose(pose[:, 3], [x_m, 5, 0], atol=1e-9)
        np.testing.assert_allclose(pose[:2, 0], [np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))], atol=1e-9)


def test_a_track_of_one_annotation_stands_still():
    pose = TrackPoses(annotations(), "interpolate").at(np.array([3]), np.array([9_000_000]))[0]
    np.testing.assert_allclose(pose, [[0, -1, 0, 7], [1, 0, 0, 7], [0, 0, 1, 7]], atol=1e-12)


def test_without_motion_a_box_keeps_the_pose_of_its_annotation():
    poses = TrackPoses(annotations(), "none").at(np.array([0, 2]), np.array([2_500_000, 2_500_000]))
    np.testing.assert_allclose(poses[:, :, 3], [[10, 5, 0], [40, 5, 0]])


def test_tracks_do_not_leak_into_each_other_over_any_times():
    rng = np.random.default_rng(0)
    who, when = rng.integers(0, 4, 1000), rng.integers(-20_000_000, 20_000_000, 1000)
    poses = TrackPoses(annotations(), "interpolate").at(who, when)
    seconds = when * 1e-6
    expected_x = np.where(who == 3, 7, np.where(seconds < 2, 10 * seconds, 20 * seconds - 20))
    np.testing.assert_allclose(poses[:, 0, 3], expected_x, atol=1e-6)
