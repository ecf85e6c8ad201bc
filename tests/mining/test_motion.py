import dataclasses
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.transform import Rotation, Slerp

from blendclip import geometry
from blendclip.errors import DataFault
from blendclip.geometry import EgoPoses
from blendclip.mining.crop import points_in_boxes
from blendclip.mining.motion import EgoMotion, TrackPoses, box_trajectories
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


def turning(time_s, speed_mps, rate_radps, start_m):
    """Yaw (N,) and place (N, 3) of something that goes round a circle."""
    yaw = rate_radps * time_s
    circle = np.stack([np.sin(yaw), 1 - np.cos(yaw), 0 * yaw], axis=-1)
    return yaw, np.asarray(start_m) + speed_mps / rate_radps * circle


def scene_of_two(rate_radps):
    """Ego and a box 100 m ahead come towards each other at 30 m/s, both turning; poses at 20 Hz, boxes at 2 Hz."""
    stream_us = np.arange(0, 1_000_001, 50_000)
    yaw, place = turning(stream_us * 1e-6, 15.0, rate_radps, [0, 0, 0])
    boxes_us = np.array([0, 500_000, 1_000_000])
    box_yaw, box_place = turning(boxes_us * 1e-6, -15.0, rate_radps, [100, 0, 0])
    box = dataclasses.replace(
        annotations(),
        token=np.array(list("abc")),
        track=np.zeros(3, int),
        timestamp_us=boxes_us,
        translation=box_place,
        rotation_wxyz=yaw_wxyz(np.degrees(box_yaw)),
        size_lwh_m=np.tile([10.0, 3, 3], (3, 1)),
    )
    ego_SE3_sensor = geometry.pose(yaw_wxyz([30.0]), [[2.0, 1, 3]])
    ego_poses = EgoPoses(stream_us, geometry.pose(yaw_wxyz(np.degrees(yaw)), place))
    sweeps = SimpleNamespace(
        ego_SE3_sensor=ego_SE3_sensor,
        timestamp_us=np.array([530_000]),
        usable=np.ones(1, bool),
        point_times=np.ones(1, bool),
        motion_compensated=np.zeros(1, bool),
    )
    return SimpleNamespace(ego_poses=ego_poses, annotations=box, sweeps=sweeps)


@pytest.mark.parametrize(("rate_radps", "error_m"), [(0.5, 0.001), (1.0, 0.002)])
def test_points_move_with_ego_and_box_at_their_own_time_within_a_millimetre(rate_radps, error_m):
    scene = scene_of_two(rate_radps)
    times_us = np.sort(np.random.default_rng(0).integers(430_000, 530_000, 2_000))  # over the annotation at 0.5 s
    # Where a point of the box, and so the sensor sees it, is at each time: SciPy's slerp between the same poses.
    stream, box = scene.ego_poses, scene.annotations
    global_SE3_sensor = [
        m[:3] @ np.vstack([scene.sweeps.ego_SE3_sensor[0], [0, 0, 0, 1]])
        for m in between(stream.timestamp_us, stream.global_SE3_ego, times_us)
    ]
    boxes = geometry.pose(box.rotation_wxyz, box.translation)
    corner = np.array([5.0, -1.5, 1.5]) * 0.999
    in_global = between(box.timestamp_us, boxes, times_us) @ np.append(corner, 1)
    in_sensor = [m[:, :3].T @ (p[:3] - m[:, 3]) for m, p in zip(global_SE3_sensor, in_global, strict=True)]

    trajectories = box_trajectories(
        TrackPoses(box, "per_point"), np.array([1]), *EgoMotion(scene).of_sensor(0, times_us)
    )
    points = np.pad(np.array(in_sensor), ((0, 0), (0, 1))).astype(np.float32)
    _, rows, xyz = points_in_boxes(points, times_us, trajectories, box.size_lwh_m[[1]] + 0.01)
    assert len(rows) == len(times_us)
    assert np.linalg.norm(xyz - corner, axis=1).max() < error_m


def between(times_us, poses, at_us):
    """Poses (N, 4, 4) at times: linear, and SciPy's slerp."""
    out = np.tile(np.eye(4), (len(at_us), 1, 1))
    out[:, :3, :3] = Slerp(times_us, Rotation.from_matrix(poses[..., :3]))(at_us).as_matrix()
    out[:, :3, 3] = np.stack([np.interp(at_us, times_us, poses[:, axis, 3]) for axis in range(3)], axis=-1)
    return out


def test_a_sweep_whose_ego_poses_are_missing_is_a_fault():
    scene = scene_of_two(0.5)
    with pytest.raises(DataFault, match="no ego poses are recorded for some of its points, 1290000 to 1310000 us"):
        EgoMotion(scene).of_sensor(0, np.array([1_290_000, 1_310_000]))
