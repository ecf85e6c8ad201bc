import numpy as np
import pytest
import shapely
from nuscenes.scripts.export_2d_annotations_as_json import post_process_coords
from nuscenes.utils.data_classes import Box
from nuscenes.utils.geometry_utils import view_points
from pyquaternion import Quaternion
from scipy.spatial.transform import Rotation

from blendclip import geometry

RNG = np.random.default_rng(7)
QUATERNIONS = RNG.normal(size=(20, 4))
QUATERNIONS /= np.linalg.norm(QUATERNIONS, axis=1, keepdims=True)


def yaw_wxyz(degrees):
    return np.array([[np.cos(np.radians(degrees) / 2), 0, 0, np.sin(np.radians(degrees) / 2)]])


def test_rotation_matrix_is_scipys():
    expected = Rotation.from_quat(QUATERNIONS[:, [1, 2, 3, 0]]).as_matrix()
    np.testing.assert_allclose(geometry.rotation_matrix(3.0 * QUATERNIONS), expected, atol=1e-12)


def test_a_chain_of_poses_reads_by_cancelling():
    # The ego stands at (10, 0, 0) facing +y; a sensor 2 m ahead of it faces its left, so it faces -x.
    global_SE3_ego = geometry.pose([np.sqrt(0.5), 0, 0, np.sqrt(0.5)], [10.0, 0, 0])
    ego_SE3_sensor = geometry.pose([np.sqrt(0.5), 0, 0, np.sqrt(0.5)], [2.0, 0, 0])
    global_SE3_sensor = geometry.compose(global_SE3_ego, ego_SE3_sensor)
    point = geometry.transform(global_SE3_sensor, np.array([[5.0, 0, 1]]))
    np.testing.assert_allclose(point, [[5.0, 2.0, 1.0]], atol=1e-12)
    back = geometry.transform(geometry.inverse(global_SE3_sensor), point)
    np.testing.assert_allclose(back, [[5.0, 0, 1]], atol=1e-12)


def test_slerp_is_pyquaternions_between_and_goes_on_beyond():
    amounts = np.linspace(0, 1, len(QUATERNIONS) - 1)
    ours = geometry.slerp(QUATERNIONS[:-1], QUATERNIONS[1:], amounts)
    for a, b, amount, q in zip(QUATERNIONS[:-1], QUATERNIONS[1:], amounts, ours, strict=True):
        expected = Quaternion.slerp(Quaternion(a), Quaternion(b), amount)
        assert Quaternion.absolute_distance(expected, Quaternion(q)) < 1e-9
    np.testing.assert_allclose(geometry.slerp(yaw_wxyz(10), yaw_wxyz(20), np.array([-1.0])), yaw_wxyz(0), atol=1e-12)
    np.testing.assert_allclose(geometry.slerp(yaw_wxyz(10), yaw_wxyz(20), np.array([2.5])), yaw_wxyz(35), atol=1e-12)
    np.testing.assert_allclose(geometry.slerp(yaw_wxyz(10), -yaw_wxyz(10), np.array([0.3])), yaw_wxyz(10), atol=1e-12)


def outline_of(intrinsic, corners_camera):
    points_px, counts = geometry.outline_points(intrinsic[None], corners_camera[None])
    return shapely.convex_hull(shapely.multipoints(points_px[0, : counts[0]]))


@pytest.mark.parametrize("seed", range(20))
def test_outlines_of_boxes_in_front_are_the_devkits(seed):
    rng = np.random.default_rng(seed)
    intrinsic = np.array([[1266.0, 0, 800], [0, 1266, 450], [0, 0, 1]])
    centre, size_lwh = rng.uniform([-15, -3, 9], [15, 3, 40]), rng.uniform(0.5, 4, 3)
    rotation = Quaternion.random()
    box = Box(centre.tolist(), size_lwh[[1, 0, 2]].tolist(), rotation)
    pixels = view_points(box.corners(), intrinsic, True).T[:, :2].tolist()
    expected = post_process_coords(pixels)

    corners = geometry.transform(geometry.pose(rotation.elements, centre), geometry.box_corners(size_lwh))
    outline = outline_of(intrinsic, corners)
    cut = shapely.intersection(outline, shapely.box(0, 0, 1600, 900))
    if expected is None:
        assert cut.is_empty
    else:
        np.testing.assert_allclose(cut.bounds, expected, atol=1e-9)


def test_a_box_that_reaches_behind_the_camera_is_cut_at_the_near_plane():
    # 2 m wide and high, from 1 m behind to 3 m ahead: the near cut at 0.1 m fills +-10 f, the far face +-f/3.
    corners = geometry.transform(geometry.pose([1, 0, 0, 0], [0, 0, 1.0]), geometry.box_corners(np.array([2.0, 2, 4])))
    np.testing.assert_allclose(outline_of(np.eye(3), corners).bounds, [-10, -10, 10, 10])


def test_quaternion_undoes_rotation_matrix():
    halves_and_axes = np.concatenate([QUATERNIONS, np.eye(4), -np.eye(4), yaw_wxyz(180), yaw_wxyz(-179.999)])
    back = geometry.quaternion(geometry.rotation_matrix(halves_and_axes))
    np.testing.assert_allclose(np.abs(np.sum(back * halves_and_axes, axis=1)), 1, atol=1e-12)


def test_poses_between_those_of_a_stream():
    # It drives 1 m along x and turns by 90 degrees from 0 to 0.1 s, stands until 0.2 s, and is then lost for 1 s.
    times_us = np.array([0, 100_000, 200_000, 1_200_000])
    stream = geometry.pose(
        np.concatenate([yaw_wxyz(yaw) for yaw in (0, 90, 90, 90)]), [[0, 0, 0], [1, 0, 0], [1, 0, 0], [9, 0, 0]]
    )
    at_us = np.array([0, 50_000, 75_000, 150_000, 200_000, 200_001, 1_200_000, -1, 1_200_001])
    poses = geometry.interpolate_poses(times_us, stream, at_us)
    np.testing.assert_allclose(poses[:5, 0, 3], [0, 0.5, 0.75, 1, 1], atol=1e-12)
    yaw_deg = np.degrees(np.arctan2(poses[:, 1, 0], poses[:, 0, 0]))
    np.testing.assert_allclose(yaw_deg[:5], [0, 45, 67.5, 90, 90], atol=1e-9)
    np.testing.assert_allclose(poses[6], stream[3], atol=1e-12)
    assert np.isnan(poses[[5, 7, 8]]).all()
    wide = geometry.interpolate_poses(times_us, stream, np.array([700_000]), max_gap_us=1_000_000)
    np.testing.assert_allclose(wide[0, :, 3], [5, 0, 0])
    before = geometry.interpolate_poses(times_us, stream, np.array([-50_000, -50_001]), max_beyond_us=50_000)
    np.testing.assert_allclose(before[0, :, 3], [-0.5, 0, 0], atol=1e-12)
    assert np.degrees(np.arctan2(before[0, 1, 0], before[0, 0, 0])) == pytest.approx(-45)
    assert np.isnan(before[1]).all()


def test_no_stream_and_no_times_give_no_poses():
    nothing = np.empty(0, np.int64)
    assert np.isnan(geometry.interpolate_poses(nothing, np.empty((0, 3, 4)), np.array([5]))).all()
    assert geometry.interpolate_poses(np.array([5]), np.zeros((1, 3, 4)), nothing).shape == (0, 3, 4)


def test_a_segment_is_cut_where_it_passes_the_camera():
    intrinsic = np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]])
    ahead, behind, beside = np.array([0.0, 0, 2]), np.array([1.0, 0, -2]), np.array([1.0, 0, -1])
    start, end = np.stack([ahead, behind, ahead, beside]), np.stack([ahead + [1, 1, 0], ahead, behind, behind])
    pixels = geometry.segment_pixels(intrinsic, start, end)
    assert pixels[0].tolist() == [[50, 50], [100, 100]]
    at_near = (2 - geometry.NEAR_M) / 4  # x of the line where it is NEAR_M deep
    np.testing.assert_allclose(pixels[1], [[50 + 100 * at_near / geometry.NEAR_M, 50], [50, 50]])
    np.testing.assert_allclose(pixels[2], pixels[1][::-1])
    assert np.isnan(pixels[3]).all()
