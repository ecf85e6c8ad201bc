import numpy as np
import pytest
from nuscenes.utils.data_classes import Box
from nuscenes.utils.geometry_utils import points_in_box
from pyquaternion import Quaternion

from blendclip import geometry
from blendclip.mining.crop import BoxTrajectories, points_in_boxes

STILL = np.zeros(1, np.int64)


def still(box_SE3_sensor):  # noqa: N803
    return BoxTrajectories(STILL, np.asarray(box_SE3_sensor)[:, None], np.arange(len(box_SE3_sensor)))


def boxes_and_points(seed, count):
    rng = np.random.default_rng(seed)
    points = rng.uniform([-30, -30, -3, 0, 0], [30, 30, 3, 255, 31], (20_000, 5)).astype(np.float32)
    centres, sizes = rng.uniform([-35, -35, -2], [35, 35, 2], (count, 3)), rng.uniform(0.3, 12, (count, 3))
    return points, centres, sizes, [Quaternion.random() for _ in range(count)]


@pytest.mark.parametrize(("seed", "count"), [(0, 1), (1, 60), (2, 300)])
def test_finds_what_the_devkit_finds(seed, count):
    points, centres, sizes, rotations = boxes_and_points(seed, count)
    sensor_SE3_box = geometry.pose([q.elements for q in rotations], centres)
    offsets, rows, xyz = points_in_boxes(points, None, still(geometry.inverse(sensor_SE3_box)), sizes)
    assert offsets[-1] == len(rows) > 0
    for b, (centre, size, rotation) in enumerate(zip(centres, sizes, rotations, strict=True)):
        box = Box(centre.tolist(), size[[1, 0, 2]].tolist(), rotation)
        expected = np.flatnonzero(points_in_box(box, points[:, :3].T.astype(np.float64)))
        own = slice(offsets[b], offsets[b + 1])
        np.testing.assert_array_equal(rows[own], expected)
        in_box = (points[expected, :3] - centre) @ rotation.rotation_matrix
        np.testing.assert_allclose(xyz[own], in_box, atol=1e-5)


def test_faces_belong_to_the_box_and_nan_to_none():
    points = np.array(
        [[1, 0, 0], [1.0001, 0, 0], [np.nan, 0, 0], [0, np.nan, 0], [0, 0, np.nan], [-1, 2, 3]], np.float32
    )
    here = still(geometry.pose([[1, 0, 0, 0]], [[0, 0, 0]]))
    offsets, rows, _ = points_in_boxes(points, None, here, np.array([[2.0, 4, 6]]))
    assert offsets.tolist() == [0, 2]
    assert rows.tolist() == [0, 5]


def test_a_sweep_without_points_is_an_empty_answer():
    offsets, rows, xyz = points_in_boxes(
        np.empty((0, 5), np.float32), None, still(geometry.pose([[1, 0, 0, 0]], [[0, 0, 0]])), np.ones((1, 3))
    )
    assert (offsets.tolist(), len(rows), xyz.shape) == ([0, 0], 0, (0, 3))


def test_a_passing_box_holds_what_is_in_it_at_each_moment():
    # A box 4 m long comes along x: its centre is at x = 10, 7 and 0 m after 0, 0.1 and 0.2 s. Points at x = 8 m.
    centres = np.array([[10.0, 0, 0], [7, 0, 0], [0, 0, 0]])
    box_SE3_sensor = geometry.inverse(geometry.pose(np.tile([1.0, 0, 0, 0], (3, 1)), centres))
    trajectories = BoxTrajectories(np.array([0, 100_000, 200_000]), box_SE3_sensor[None], np.array([0]))
    times_us = np.array([200_000, 0, 50_000, 100_000, 120_000, 130_000])  # not in order
    points = np.tile([8.0, 0, 0, 1], (6, 1)).astype(np.float32)
    offsets, rows, xyz = points_in_boxes(points, times_us, trajectories, np.array([[4.0, 2, 2]]))
    # Centres then: 0, 10, 8.5, 7, 5.6, 4.9; within 2 m of x = 8: the 2nd to the 4th.
    assert rows.tolist() == [1, 2, 3] and offsets.tolist() == [0, 3]
    np.testing.assert_allclose(xyz[:, 0], [-2, -0.5, 1], atol=1e-6)
