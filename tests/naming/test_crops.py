"""Boxes cut out of a sweep, against a loop over boxes and points on a line that an eye can check."""

import numpy as np
import torch

import blendclip
from blendclip.naming.crops import box_faults


def naive(sweep, boxes):
    """Points in boxes (M, 7), one at a time: turn about z by hand, compare with half the size."""
    found = []
    for x, y, z, length, width, height, yaw in boxes.tolist():
        dx, dy, dz = sweep[:, 0] - x, sweep[:, 1] - y, sweep[:, 2] - z
        forward, left = np.cos(yaw) * dx + np.sin(yaw) * dy, -np.sin(yaw) * dx + np.cos(yaw) * dy
        inside = (np.abs(forward) <= length / 2) & (np.abs(left) <= width / 2) & (np.abs(dz) <= height / 2)
        found.append(np.column_stack([forward, left, dz, sweep[:, 3:]])[inside])
    return found


def some_boxes(count=40, seed=0):
    rng = np.random.default_rng(seed)
    centre, size = rng.uniform([-40, -40, -2], [40, 40, 2], (count, 3)), rng.uniform(0.5, 6, (count, 3))
    return np.column_stack([centre, size, rng.uniform(-9, 9, count)])


def test_crops_are_those_of_a_loop_over_boxes():
    sweep = np.random.default_rng(1).uniform([-45, -45, -3, 0], [45, 45, 3, 255], (20_000, 4)).astype(np.float32)
    sweep[::100, 1] = np.nan
    boxes = some_boxes()
    clouds, expected = blendclip.crop(sweep, boxes), naive(sweep.astype(np.float64), boxes)
    assert len(clouds) == 40 and sum(map(len, expected)) > 500
    for cloud, points in zip(clouds, expected, strict=True):
        np.testing.assert_allclose(np.empty((0, 4)) if cloud is None else cloud, points, atol=1e-5)


def test_yaw_turns_from_x_to_y_and_faces_count():
    sweep = np.array([[10, 2, 0], [10, -2, 0], [11, 0, 0], [12, 0, 0], [10, 0, 1], [10, 0, 1.01]], np.float32)
    (cloud,) = blendclip.crop(sweep, [[10, 0, 0, 4, 2, 2, np.pi / 2]])
    np.testing.assert_allclose(cloud, [[2, 0, 0], [-2, 0, 0], [0, -1, 0], [0, 0, 1]], atol=1e-6)


def test_a_quaternion_may_tilt_a_box():
    sweep = np.array([[0, 0, 1.9], [1.9, 0, 0]], np.float32)
    half = np.sqrt(0.5)  # a quarter turn about y: forward points down
    (cloud,) = blendclip.crop(sweep, [[0, 0, 0, 4, 1, 1, half, 0, half, 0]])
    np.testing.assert_allclose(cloud, [[-1.9, 0, 0]], atol=1e-6)
    flat = np.column_stack([some_boxes()[:, :6], np.zeros((40, 4))])
    yaw = some_boxes()[:, 6]
    flat[:, 6], flat[:, 9] = np.cos(yaw / 2), np.sin(yaw / 2)
    points = np.random.default_rng(2).uniform(-40, 40, (5000, 3)).astype(np.float32)
    for one, other in zip(blendclip.crop(points, some_boxes()), blendclip.crop(points, flat), strict=True):
        assert (one is None and other is None) or np.allclose(one, other, atol=1e-5)


def test_empty_boxes_are_none_and_no_boxes_are_no_clouds():
    sweep = np.zeros((5, 3), np.float32)
    far, near = [50, 0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1, 0]
    clouds = blendclip.crop(sweep, [far, near])
    assert clouds[0] is None and len(clouds[1]) == 5
    assert blendclip.crop(sweep, []) == blendclip.crop(sweep, np.empty((0, 7))) == []
    assert blendclip.crop(np.empty((0, 3), np.float32), [near]) == [None]
    assert blendclip.crop(np.full((4, 3), np.nan, np.float32), [near]) == [None]


def test_tensors_and_coordinates_of_the_globe():
    rng = np.random.default_rng(3)
    local, boxes = rng.uniform(-5, 5, (3000, 3)), some_boxes(5) * [0.1, 0.1, 0.1, 1, 1, 1, 1]
    origin = np.array([500_000.0, 5_400_000.0, 100.0])
    moved = boxes + [*origin, 0, 0, 0, 0]
    here, there = blendclip.crop(local, boxes), blendclip.crop(local + origin, moved)
    assert all(len(a) == len(b) and np.abs(a - b).max() < 1e-3 for a, b in zip(here, there, strict=True))
    tensors = blendclip.crop(torch.from_numpy(local), torch.from_numpy(boxes))
    assert all(np.array_equal(a, b) for a, b in zip(here, tensors, strict=True))


def test_faulty_boxes_are_found():
    good = [0, 0, 0, 1, 1, 1, 0.0]
    wrong = [[np.nan, *good[1:]], [0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, -1, 1, 0], [*good[:6], np.inf]]
    assert box_faults(np.array([good, *wrong])).tolist() == [False, True, True, True, True]
    turned = [[*good[:6], 1, 0, 0, 0], [*good[:6], 0, 0, 0, 0], [*good[:6], 2, 0, 0, 0]]
    assert box_faults(np.array(turned)).tolist() == [False, True, True]
