"""The street of every scene: a main road along x, a cross road along y, curbs, houses and furniture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from blendclip.randomness import stable_rng
from blendclip.synthetic.city.motion import Route
from blendclip.synthetic.meshes.catalog import SHAPES, Mesh, MeshBuilder

MAIN_HALF_M = 9.5
"""From the main road's middle to its kerb: two lanes of 3.5 m and a parking strip."""
CROSS_HALF_M = 6.0
SIDEWALK_M = 5.0
CURB_M = 0.12
LANES_Y_M = (1.75, 5.25)
CYCLE_Y_M = 6.55
EXTENT_M = 160.0
HOUSE_GAP_M = 1.2

# A turn at radius r and speed v departs from its chord over 0.5 s by v²/(32 r): below 3 cm for these.
LEFT_RADIUS_M, LEFT_SPEED_MPS = 18.0, (3.6, 4.1)
RIGHT_RADIUS_M, RIGHT_SPEED_MPS = 10.0, (2.7, 3.0)


def main_route(direction: int, lane_y_m: float) -> Route:
    """Return the lane along the main road towards +x (direction 1) or -x (-1); s is 0 where x is."""
    return Route((0.0, -direction * lane_y_m, 0.0 if direction > 0 else np.pi))


def cross_route(direction: int) -> Route:
    """Return the lane along the cross road towards +y (1) or -y (-1)."""
    return Route((direction * 1.75, 0.0, direction * np.pi / 2))


def turning_route(direction: int, side: int) -> Route:
    """Return the route from the main into the cross road; s is 0 where its arc begins.

    Args: direction of travel before it, towards +x (1) or -x (-1); side to which it turns, left (1) or right (-1).
    """
    radius = LEFT_RADIUS_M if side > 0 else RIGHT_RADIUS_M
    lane = LANES_Y_M[0] if side > 0 else LANES_Y_M[1]
    end_x = 1.75 if side > 0 else -1.75
    start = (direction * (end_x - radius), -direction * lane, 0.0 if direction > 0 else np.pi)
    return Route(start, ((radius * np.pi / 2, side / radius),))


def road_plane() -> Mesh:
    """Return the carriageway: two triangles at z = 0 in world frame."""
    e = EXTENT_M * 2
    vertices = np.array([[-e, -e, 0], [e, -e, 0], [e, e, 0], [-e, e, 0]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.uint32)
    return Mesh(vertices, triangles, np.full((2, 3), 96, np.uint8), np.full(2, 0.18, np.float32))


def blocks() -> Mesh:
    """Return the four raised blocks between the roads, in world frame."""
    builder = MeshBuilder()
    width, depth = EXTENT_M - CROSS_HALF_M, EXTENT_M - MAIN_HALF_M
    for sx in (-1, 1):
        for sy in (-1, 1):
            center = (sx * (CROSS_HALF_M + width / 2), sy * (MAIN_HALF_M + depth / 2), CURB_M / 2 - 0.2)
            builder.box(center, (width, depth, CURB_M + 0.4), (150, 148, 142))
    return builder.build_in_place()


def houses(name: str) -> Mesh:
    """Return rows of houses along both roads, in world frame."""
    builder = MeshBuilder()
    rng = stable_rng(name, "houses")
    main_y, cross_x = MAIN_HALF_M + SIDEWALK_M + 1.0, CROSS_HALF_M + SIDEWALK_M + 1.0
    for sx in (-1, 1):
        for sy in (-1, 1):
            x = cross_x
            while x < 95:
                house = SHAPES["house"](rng)
                width, depth, height = house.size_lwh_m
                center = (sx * (x + width / 2), sy * (main_y + depth / 2), CURB_M + height / 2)
                builder.attach(house, center, 0.0 if sy > 0 else np.pi)
                x += width + (HOUSE_GAP_M if rng.random() < 0.75 else rng.uniform(5, 12))
            y = main_y + 13.0
            while y < 70:
                house = SHAPES["house"](rng)
                width, depth, height = house.size_lwh_m
                center = (sx * (cross_x + depth / 2), sy * (y + width / 2), CURB_M + height / 2)
                builder.attach(house, center, -sx * np.pi / 2)
                y += width + HOUSE_GAP_M
    return builder.build_in_place()


def furniture(name: str, is_free: Callable[[float, float, float], bool]) -> Mesh:
    """Return trees, lamps, signs, benches in world frame where is_free(x_m, y_m, radius_m) lets them stand."""
    builder = MeshBuilder()
    rng = stable_rng(name, "furniture")
    kinds = ("tree", "tree", "conifer", "street_lamp", "sign_post", "bench", "hydrant")
    for side in (-1, 1):
        for x in np.arange(-88, 90, 5.5):
            kind = str(rng.choice(kinds))
            mesh = SHAPES[kind](rng)
            place_x = x + rng.uniform(-1.2, 1.2)
            y = side * (MAIN_HALF_M + (4.3 if kind in ("bench", "conifer") else 0.7))
            if abs(place_x) < CROSS_HALF_M + SIDEWALK_M or not is_free(place_x, y, 0.9 if kind == "bench" else 0.5):
                continue
            yaw = 0.0 if kind == "sign_post" else -side * np.pi / 2
            z = CURB_M + mesh.size_lwh_m[2] / 2
            reach = mesh.size_lwh_m[0] / 2 - 0.17 if kind == "street_lamp" else 0.0
            builder.attach(mesh, (place_x, y - side * reach, z), yaw)
    for sx, sy, yaw in ((-1, -1, 0.0), (1, 1, np.pi), (1, -1, np.pi / 2), (-1, 1, -np.pi / 2)):
        mesh = SHAPES["traffic_light"](rng)
        x, y = sx * (CROSS_HALF_M + 0.6), sy * (MAIN_HALF_M + 0.6)
        builder.attach(mesh, (x, y, CURB_M + mesh.size_lwh_m[2] / 2), yaw)
    return builder.build_in_place()
