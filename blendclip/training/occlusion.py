"""Occlusion: what a sensor would see of an object whose whole surface was sampled.

All that is random about a cloud depends on its own seed alone.
Letters in names: N points of all clouds together, H that a ray may hit, R that return, B clouds, n points of one cloud.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from torch import Tensor

from blendclip.encoders.clouds import Clouds
from blendclip.randomness import normal, uniform
from blendclip.training.augmentation_options import Occlusion
from blendclip.training.ragged import count_kept, indices, kept, reduced, spread

_CELLS_PER_POINT = 9  # of a grid, see _Grid
# Let the n points of a convex object span a rectangle of angles. A square cell of k / n of that rectangle holds k / pi
# points of the object's front on average where that faces the sensor, and none with probability exp(-k / pi).
_DEPTH_K = 24  # cells of the depth map: 1 in 2,000 lets the back shine through
_RAY_K = 8  # width of a ray: 1 in 12 passes between the points of a surface
_CELL_K = 4  # least distance of rays: where the sensor's own are closer, points are too few to resolve them
_SLOPE = 2  # a surface slanted by up to atan(2), 63 degrees, does not hide itself


@dataclass(frozen=True)
class Placement:
    """The pose of each object before its sensor, and the sensor's resolution.

    Sensor frame: metres, origin at the sensor, z up. The middle of an object's bottom is at (distance, 0, -height), and
    the object is turned about z.
    """

    azimuth_B: Tensor
    """Radians by which the object is turned."""
    scale_B: Tensor
    """Metres in a unit of its points."""
    distance_B: Tensor
    """Metres over ground to the middle of its bounding box."""
    height_B: Tensor
    """Metres from its lowest point up to the sensor."""
    row_B: Tensor
    """Radians between beams."""
    column_B: Tensor
    """Radians between returns of a beam."""
    foot_B3: Tensor
    """The middle of the bottom of its bounding box, in its own frame and unit."""

    def seen(self, points_N3: Tensor, owner_N: Tensor) -> Tensor:
        """(N, 3) points in the sensor frame, metres, from points in the objects' own frames and units."""
        points_N3 = (points_N3 - spread(self.foot_B3, owner_N)) * spread(self.scale_B, owner_N)[:, None]
        return _turned(points_N3, spread(self.azimuth_B, owner_N)) + spread(self._foot_seen(), owner_N)

    def unseen(self, points_N3: Tensor, owner_N: Tensor) -> Tensor:
        """(N, 3) points in the objects' own frames and units, from points in the sensor frame, metres."""
        points_N3 = _turned(points_N3 - spread(self._foot_seen(), owner_N), -spread(self.azimuth_B, owner_N))
        return points_N3 / spread(self.scale_B, owner_N)[:, None] + spread(self.foot_B3, owner_N)

    def _foot_seen(self) -> Tensor:
        return torch.stack([self.distance_B, torch.zeros_like(self.distance_B), -self.height_B], 1)


def placement(clouds: Clouds, seed_B: Tensor, config: Occlusion) -> Placement:
    """A random pose before a random sensor for each object.

    An object is moved nearer if need be, until `config.min_points` rays would hit a quarter of its bounding rectangle.

    Args:
        clouds: in their own frames, z up, any unit.
        seed_B: int64, seed of each sample.
        config: ranges to draw from.
    """

    def drawn(name: str, ends: tuple[float, float], *, logarithmic: bool = False) -> Tensor:
        low, high = (math.log(end) for end in ends) if logarithmic else ends
        value_B = low + (high - low) * uniform(seed_B, f"occlusion {name}")
        return value_B.exp() if logarithmic else value_B

    low_B3, high_B3 = reduced(clouds.points, clouds, "min"), reduced(clouds.points, clouds, "max")
    size_B3 = high_B3 - low_B3
    size_m_B = drawn("size", config.size_m, logarithmic=True)
    scale_B = size_m_B / size_B3.amax(1).clamp_min(1e-9)
    row_B, column_B = (
        torch.deg2rad(drawn(*named, logarithmic=True))
        for named in [("row", config.row_deg), ("column", config.column_deg)]
    )
    # At distance d, rays are d * row by d * column metres apart, so area / (d^2 * row * column) of them hit the object.
    area_B = size_B3[:, :2].amax(1) * size_B3[:, 2] * scale_B**2 / 4
    farthest_B = (area_B / (config.min_points * row_B * column_B)).sqrt()
    return Placement(
        azimuth_B=2 * math.pi * uniform(seed_B, "occlusion azimuth"),
        scale_B=scale_B,
        distance_B=drawn("distance", config.distance_m).minimum(farthest_B).maximum(size_m_B),
        height_B=drawn("height", config.height_m),
        row_B=row_B,
        column_B=column_B,
        foot_B3=torch.cat([(low_B3 + high_B3)[:, :2] / 2, low_B3[:, 2:]], 1),
    )


def occluded(clouds: Clouds, seed_B: Tensor, synthetic_B: Tensor, config: Occlusion) -> Clouds:
    """The clouds, of which a random share of the synthetic ones is as a sensor would see it.

    Args:
        clouds: in box frame, z up, any unit, in which they are returned too.
        seed_B: int64, seed of each sample.
        synthetic_B: bool, which of the clouds may be occluded.
        config: options; `range_image` moves points onto the sensor's rays, `hidden_points` only drops some.
    """
    if config.method == "none":
        return clouds
    chosen_B = synthetic_B & (uniform(seed_B, "occlusion") < config.probability)
    rows_N = spread(chosen_B, clouds.owners()).nonzero()[:, 0]
    if not len(rows_N):
        return clouds
    chosen, seed_B = Clouds(clouds.points[rows_N], clouds.lengths[chosen_B]), seed_B[chosen_B]
    method = range_image if config.method == "range_image" else hidden_points
    moved_N3, keep_N = method(chosen, placement(chosen, seed_B, config), seed_B, config.range_noise_m)
    seen_N = spread(count_kept(chosen, keep_N) >= config.min_points, chosen.owners())
    points_N3 = clouds.points.index_copy(0, rows_N, torch.where(seen_N[:, None], moved_N3, chosen.points))
    kept_N = torch.ones(len(points_N3), dtype=torch.bool, device=points_N3.device)
    return kept(replace(clouds, points=points_N3), kept_N.index_copy(0, rows_N, keep_N | ~seen_N))


def range_image(clouds: Clouds, place: Placement, seed_B: Tensor, noise_m: float) -> tuple[Tensor, Tensor]:
    """What a LiDAR returns of each object: one point for each ray.

    A depth map, as coarse as the density of the points requires, decides which of them are hidden. Each ray returns the
    range of one visible point within its width.

    Args:
        clouds: in their own frames and units.
        place: their poses before the sensor, and its resolution.
        seed_B: int64, seed of each sample.
        noise_m: standard deviation of the measured range.

    Returns:
        (N, 3) points in their own frames and units, and (N,) bool, which of them are returns; these are moved onto
        their rays.
    """
    owner_N = clouds.owners()
    seen_N3 = place.seen(clouds.points, owner_N)
    range_N = seen_N3.norm(dim=1)
    angle_N2 = torch.stack([torch.atan2(seen_N3[:, 1], seen_N3[:, 0]), torch.asin(seen_N3[:, 2] / range_N)], 1)

    depth = _Grid.over(clouds, angle_N2, angle_N2.new_zeros(len(clouds), 2), _DEPTH_K)
    slack_N = _SLOPE * spread(depth.side_B2[:, 0], owner_N) * range_N
    visible_N = range_N <= depth.least(range_N, depth.cell_N) + slack_N

    rays = _Grid.over(clouds, angle_N2, torch.stack([place.column_B, place.row_B], 1), _CELL_K)
    width_B = rays.side_B2.amin(1).minimum(depth.side_B2[:, 0] * math.sqrt(_RAY_K / _DEPTH_K))
    off_N = (angle_N2 - rays.centre_N2).abs().amax(1)
    rows_H = (visible_N & (off_N <= spread(width_B, owner_N) / 2)).nonzero()[:, 0]
    # Of a slanted surface the point in the middle of the ray returns, unless one is nearer by more than the slope.
    nearness_H = range_N[rows_H] * (1 + _SLOPE * off_N[rows_H])
    # The bits of a positive float order as it does; with the point's number below them, each cell has one winner.
    rank_H = (nearness_H.view(torch.int32).long() << 32) | rows_H
    rows_R = rows_H[rays.least(rank_H, rays.cell_N[rows_H]) == rank_H]
    keep_N = torch.zeros_like(visible_N).index_fill(0, rows_R, True)

    owner_R = owner_N[rows_R]
    measured_R = range_N[rows_R] + noise_m * normal(seed_B[owner_R], "occlusion noise", indices(clouds)[rows_R])
    azimuth_R, elevation_R = rays.centre_N2[rows_R].unbind(1)
    flat_R = elevation_R.cos()
    ray_R3 = torch.stack([flat_R * azimuth_R.cos(), flat_R * azimuth_R.sin(), elevation_R.sin()], 1)
    return clouds.points.index_copy(0, rows_R, place.unseen(ray_R3 * measured_R[:, None], owner_R)), keep_N


def hidden_points(clouds: Clouds, place: Placement, *_: object) -> tuple[Tensor, Tensor]:
    """Hidden point removal, on the CPU and cloud by cloud: tens of milliseconds for each.

    Args:
        clouds: in their own frames and units.
        place: their poses before the sensor.

    Returns:
        (N, 3) points as they are and (N,) bool, which of them are seen.
    """
    seen_N3 = place.seen(clouds.points, clouds.owners()).cpu().double().numpy()
    ends = np.cumsum(clouds.lengths.tolist())
    keep_N = np.concatenate([facing(cloud_n3) for cloud_n3 in np.split(seen_N3, ends[:-1])])
    return clouds.points, torch.from_numpy(keep_N).to(clouds.points.device)


def facing(points_n3: NDArray[np.float64], flip: float = 100.0) -> NDArray[np.bool_]:
    """(n,) bool, which points a viewer at the origin sees (Katz et al., "Direct visibility of point sets", 2007).

    Points are mirrored in a sphere about the viewer, and those on the convex hull of the viewer and the mirrored points
    are seen. All are seen where there is no hull: fewer than three points, or all in one plane with the viewer.

    Args:
        points_n3: relative to the viewer, any unit.
        flip: radius of the sphere, in distances of the furthest point.
    """
    # A point p at distance |p| is mirrored to p + 2 (R - |p|) p / |p| = p (2 R / |p| - 1), with R the sphere's radius.
    distance_n1 = np.linalg.norm(points_n3, axis=1, keepdims=True)
    flipped_n3 = points_n3 * (2 * flip * distance_n1.max() / distance_n1 - 1)
    try:
        hull = ConvexHull(np.concatenate([flipped_n3, np.zeros((1, 3))]))
    except QhullError:
        return np.ones(len(points_n3), bool)
    return np.isin(np.arange(len(points_n3)), hull.vertices)


@dataclass(frozen=True)
class _Grid:
    """A grid of angles over each cloud, azimuth by elevation; the cells of all clouds lie end to end.

    With sides of at least sqrt(w h / n) and max(w, h) / n for n points that span w by h, a grid has no more than
    (w / side + 2) (h / side + 2) <= n + 4 n + 4 cells: a fixed number for each point, so no count to wait for on a GPU.
    """

    side_B2: Tensor
    """Sides of the cells of each cloud, radians."""
    centre_N2: Tensor
    """Azimuth and elevation of the middle of each point's cell, radians."""
    cell_N: Tensor
    """Number of each point's cell among those of all clouds."""

    @classmethod
    def over(cls, clouds: Clouds, angle_N2: Tensor, side_B2: Tensor, k: int) -> _Grid:
        """The grid whose cells have the given sides, or more where the points of a cloud are too few.

        Args:
            clouds: of the points.
            angle_N2: azimuth and elevation of each point, radians.
            side_B2: least sides of cells, radians.
            k: a cell has at least k / n of the area that a cloud of n points spans.
        """
        owner_N = clouds.owners()
        low_B2, high_B2 = reduced(angle_N2, clouds, "min"), reduced(angle_N2, clouds, "max")
        span_B2 = high_B2 - low_B2
        dense_B = (span_B2.prod(1) * k / clouds.lengths).sqrt()
        side_B = dense_B.maximum(span_B2.amax(1) / clouds.lengths).clamp_min(1e-6)
        side_B2 = side_B2.maximum(side_B[:, None])
        side_N2 = spread(side_B2, owner_N)
        line_N2 = (angle_N2 / side_N2).floor().long()
        first_B2 = (low_B2 / side_B2).floor().long()
        columns_B = (high_B2[:, 0] / side_B2[:, 0]).floor().long() - first_B2[:, 0] + 1
        starts_B = (clouds.lengths.cumsum(0) - clouds.lengths) * _CELLS_PER_POINT
        column_N, row_N = (line_N2 - spread(first_B2, owner_N)).unbind(1)
        cell_N = spread(starts_B, owner_N) + row_N * spread(columns_B, owner_N) + column_N
        return cls(side_B2, (line_N2 + 0.5) * side_N2, cell_N)

    def least(self, values_H: Tensor, cell_H: Tensor) -> Tensor:
        """(H,) for each of H points the least of their values in its cell, from these values and their cells."""
        unset = values_H.new_empty(len(self.cell_N) * _CELLS_PER_POINT)
        return unset.scatter_reduce(0, cell_H, values_H, "amin", include_self=False)[cell_H]


def _turned(points_N3: Tensor, angle_N: Tensor) -> Tensor:
    """(N, 3) points turned about z by angles in radians, counterclockwise from above."""
    x_N, y_N, z_N = points_N3.unbind(1)
    cos_N, sin_N = angle_N.cos(), angle_N.sin()
    return torch.stack([cos_N * x_N - sin_N * y_N, sin_N * x_N + cos_N * y_N, z_N], 1)
