import numpy as np
import pytest
import shapely

from blendclip.mining.outlines import bounds_inside, convex_hulls, covered_area


def random_points(seed, polygons=6, points=12):
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-50, 250, (polygons, 1, 2))
    return centres + rng.uniform(-60, 60, (polygons, points, 2)), rng.integers(3, points + 1, polygons)


@pytest.mark.parametrize("seed", range(30))
def test_hulls_bounds_and_covered_area_are_shapelys(seed):
    points, counts = random_points(seed)
    expected = [shapely.convex_hull(shapely.multipoints(p[:n])) for p, n in zip(points, counts, strict=True)]
    hulls, sizes = convex_hulls(points, counts)
    for hull, size, polygon in zip(hulls, sizes, expected, strict=True):
        assert size == len(polygon.exterior.coords) - 1
        assert shapely.Polygon(hull[:size]).symmetric_difference(polygon).area == pytest.approx(0, abs=1e-9)

    inside = bounds_inside(hulls, sizes, np.tile([200, 150], (len(hulls), 1)))
    cut = [polygon.intersection(shapely.box(0, 0, 200, 150)) for polygon in expected]
    np.testing.assert_allclose(inside, [polygon.bounds or [np.nan] * 4 for polygon in cut], atol=1e-9)

    window = shapely.box(20, 10, 160, 120)
    area = shapely.union_all([polygon.intersection(window) for polygon in expected]).area
    assert covered_area(hulls, sizes, np.array(window.bounds)) == pytest.approx(area, abs=1e-6)


def test_points_on_an_edge_or_twice_are_no_corners():
    square = np.array([[[0, 0], [2, 0], [2, 2], [0, 2], [1, 0], [0, 1], [2, 2], [1, 1.0]]])
    hulls, sizes = convex_hulls(square, np.array([8]))
    assert sizes.tolist() == [4]
    assert sorted(map(tuple, hulls[0, :4].tolist())) == [(0, 0), (0, 2), (2, 0), (2, 2)]


def test_the_same_outline_twice_covers_once():
    triangle = np.array([[0.0, 0], [10, 0], [0, 10]])
    twice = np.stack([triangle, triangle])
    assert covered_area(twice, np.array([3, 3]), np.array([0.0, 0, 10, 10])) == pytest.approx(50)
