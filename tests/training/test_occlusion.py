import math

import numpy as np
import pytest
import torch

from blendclip.datasets.open3d import o3d
from blendclip.encoders.clouds import Clouds
from blendclip.errors import UserError
from blendclip.training.augmentation_options import Occlusion
from blendclip.training.occlusion import Placement, facing, occluded, placement, range_image
from tests.training.clouds import one_by_one, seeds, sphere


def ahead(clouds, distance, *, row_deg=0.2, column_deg=0.2, height=1.0, scale=1.0):
    """All objects on the x axis, as they stand; a unit sphere's middle is as high as the sensor."""
    count = len(clouds)
    foot = torch.tensor([0.0, 0, -1]).repeat(count, 1)
    values = [0.0, scale, distance, height, math.radians(row_deg), math.radians(column_deg)]
    return Placement(*(torch.full((count,), float(value)) for value in values), foot)


def returns(points, distance, noise=0.0, **place):
    clouds = Clouds.of([points])
    moved, keep = range_image(clouds, ahead(clouds, distance, **place), seeds(1), noise)
    return moved[keep], keep


def angles_deg(points, distance):
    """Azimuth and elevation under which a unit sphere's points are seen."""
    x, y, z = (points + torch.tensor([distance, 0, 0])).double().T
    return torch.rad2deg(torch.stack([torch.atan2(y, x), torch.asin(z / (x**2 + y**2 + z**2).sqrt())], 1))


@pytest.mark.parametrize("distance", [3.0, 10.0, 30.0])
def test_only_the_visible_side_of_a_sphere_returns(distance):
    points = sphere(20_000)
    found, keep = returns(points, distance)
    view = points + torch.tensor([distance, 0, 0])
    faces = (points * view).sum(1) < 0
    assert faces[keep].float().mean() > 0.98
    # Returns lie on the sphere but for the width of a cell, at its rim more than in its middle.
    off = (found.norm(dim=1) - 1).abs()
    assert off.median() < 0.01 and off.quantile(0.95) < 0.08


def test_returns_lie_on_the_rays_one_each():
    found, _ = returns(sphere(40_000), 10.0, row_deg=1.0, column_deg=0.5)
    azimuth, elevation = angles_deg(found, 10.0).T
    assert (azimuth / 0.5 - 0.5).numpy() == pytest.approx((azimuth / 0.5 - 0.5).round().numpy(), abs=1e-3)
    assert (elevation - 0.5).numpy() == pytest.approx((elevation - 0.5).round().numpy(), abs=1e-3)
    rays = set(zip((azimuth / 0.5).round(decimals=1).tolist(), elevation.round(decimals=1).tolist(), strict=True))
    assert len(rays) == len(found)
    # Rows at -5.5 ... 5.5 degrees, of which the sphere spans asin(1 / 10) = 5.74.
    assert sorted(set(elevation.round(decimals=1).tolist())) == [-5.5 + row for row in range(12)]


def test_the_rays_that_hit_return():
    """Rays of a grid against a sphere: those within asin(1 / d) of its middle hit."""
    found, _ = returns(sphere(60_000), 10.0, row_deg=1.0, column_deg=0.5)
    azimuth, elevation = np.meshgrid(np.deg2rad(np.arange(-20, 20) * 0.5 + 0.25), np.deg2rad(np.arange(-10, 10) + 0.5))
    hits = (np.cos(azimuth) * np.cos(elevation) > np.cos(np.arcsin(0.1))).sum()
    assert len(found) == pytest.approx(hits, rel=0.1)


def test_returns_fall_with_distance_squared():
    points = sphere(100_000)
    counts = np.array([len(returns(points, distance, row_deg=0.6)[0]) for distance in (8.0, 16.0, 32.0)])
    assert counts[0] / counts[1] == pytest.approx(4, rel=0.1)
    assert counts[1] / counts[2] == pytest.approx(4, rel=0.1)


def test_the_back_of_a_coarse_cloud_does_not_shine_through():
    # 500 points are much coarser than the rays; still next to none of the back may pass.
    shares = []
    for seed in range(20):
        points = sphere(500, seed)
        _, keep = returns(points, 5.0, row_deg=0.1, column_deg=0.1)
        shares.append((points[keep, 0] > 0.2).float().mean().item())
    assert np.mean(shares) < 0.02


def test_a_wall_hides_what_stands_behind_it():
    grid = torch.cartesian_prod(torch.tensor([0.0]), torch.linspace(-1, 1, 80), torch.linspace(-1, 1, 80))
    behind = grid * 0.5 + torch.tensor([1.0, 0, 0])
    beside = grid * 0.5 + torch.tensor([1.0, 4, 0])
    _, keep = returns(torch.cat([grid, behind, beside]), 20.0)
    wall, hidden, open_ = keep.split(6400)
    assert wall.sum() > 300 and hidden.sum() == 0 and open_.sum() > 80


def test_range_noise_moves_points_along_their_rays():
    exact, _ = returns(sphere(20_000), 10.0)
    noisy, _ = returns(sphere(20_000), 10.0, noise=0.05)
    sensor = torch.tensor([-10.0, 0, 0])
    assert torch.allclose(angles_deg(noisy, 10.0), angles_deg(exact, 10.0), atol=1e-3)
    noise = (noisy - sensor).norm(dim=1) - (exact - sensor).norm(dim=1)
    assert noise.std() == pytest.approx(0.05, rel=0.1) and abs(noise.mean()) < 0.01


def test_an_object_stands_where_it_was_placed():
    box = torch.tensor([[0.0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 4]]) + 7
    clouds, seed = Clouds.of([box] * 300), seeds(300)
    config = Occlusion(size_m=(2, 8), distance_m=(5, 9), height_m=(1.5, 3), min_points=1)
    place = placement(clouds, seed, config)
    seen = place.seen(clouds.points, clouds.owners())
    assert torch.allclose(place.unseen(seen, clouds.owners()), clouds.points, atol=1e-4)
    seen = seen.view(300, 4, 3)
    tall = seen[:, 3, 2] - seen[:, 0, 2]
    assert torch.quantile(tall, torch.tensor([0, 0.5, 1.0])) == pytest.approx([2, 4, 8], rel=0.1)
    below = -seen[:, 0, 2]
    assert below.min() > 1.5 and below.max() < 3 and below.mean() == pytest.approx(2.25, abs=0.1)
    middle = (seen[:, 0] + seen[:, 2]) / 2
    assert middle[:, 1].abs().max() < 1e-4 and middle[:, 0].min() > 5 and middle[:, 0].max() < 9
    side = torch.atan2(*(seen[:, 1] - seen[:, 0])[:, [1, 0]].T)
    assert np.histogram(side.numpy(), 4, (-np.pi, np.pi))[0] == pytest.approx(np.full(4, 75), abs=30)


def test_what_would_give_too_few_returns_comes_nearer():
    clouds, seed = Clouds.of([sphere(4000)] * 100), seeds(100)
    far = {"size_m": (0.5, 0.5), "distance_m": (60.0, 60.0), "row_deg": (1.0, 1.0), "column_deg": (0.3, 0.3)}
    near = placement(clouds, seed, Occlusion(min_points=50, **far))
    # A quarter of 0.5 m x 0.5 m over 50 rays of 1 x 0.3 degrees.
    assert near.distance_B == pytest.approx(math.sqrt(0.0625 / (50 * math.radians(1) * math.radians(0.3))), rel=0.01)
    result = occluded(clouds, seed, torch.ones(100, dtype=bool), Occlusion(probability=1, min_points=50, **far))
    assert result.lengths.min() >= 50 and (result.lengths < 4000).float().mean() > 0.9


def test_only_a_share_of_the_synthetic_clouds_is_occluded():
    clouds, seed = Clouds.of([sphere(300)] * 400), seeds(400)
    synthetic = torch.arange(400) % 2 == 0
    result = occluded(clouds, seed, synthetic, Occlusion(probability=0.5))
    changed = result.lengths < 300
    assert not changed[~synthetic].any() and changed[synthetic].float().mean() == pytest.approx(0.5, abs=0.1)
    for before, after in zip(one_by_one(clouds), one_by_one(result), strict=True):
        assert len(after.points) < 300 or after.points.equal(before.points)


@pytest.mark.parametrize("method", ["range_image", "hidden_points"])
def test_a_cloud_that_would_lose_nearly_all_stays_whole(method):
    clouds = Clouds.of([torch.zeros(40, 3) + 2, sphere(5), torch.rand(1, 3)])
    result = occluded(clouds, seeds(3), torch.ones(3, dtype=bool), Occlusion(method, probability=1))
    assert result.points.equal(clouds.points) and result.lengths.equal(clouds.lengths)


@pytest.mark.parametrize(("count", "distance"), [(1000, 3), (3000, 10), (3000, 30)])
def test_hidden_points_are_those_of_open3d_and_face_away(count, distance):
    points = sphere(count).double().numpy()
    seen = points + [distance, 0, 0]
    visible = facing(seen)
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    _, expected = cloud.hidden_point_removal([-distance, 0, 0], 100 * np.linalg.norm(seen, axis=1).max())
    assert set(np.flatnonzero(visible)) == set(expected)
    truth = (points * seen).sum(1) < 0
    assert visible[truth].all() and visible[~truth].mean() < 0.1


def test_hidden_point_removal_drops_points_only():
    clouds = Clouds.of([sphere(2000)], [sphere(2000).abs()])
    result = occluded(clouds, seeds(1), torch.tensor([True]), Occlusion("hidden_points", probability=1))
    assert 400 < len(result.points) < 1300
    before = {tuple(row) for row in torch.cat([clouds.points, clouds.rgb], 1).tolist()}
    assert {tuple(row) for row in torch.cat([result.points, result.rgb], 1).tolist()} < before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("method", "hull"),
        ("probability", 1.1),
        ("size_m", (2, 1)),
        ("row_deg", (0, 1)),
        ("distance_m", (1, math.inf)),
        ("range_noise_m", -1),
        ("min_points", 0),
    ],
)
def test_a_wrong_value_is_named(key, value):
    with pytest.raises(UserError, match=rf"^`{key}` is "):
        Occlusion(**{key: value})
