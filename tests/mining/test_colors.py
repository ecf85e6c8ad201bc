"""Colours of points, on images repainted so that every pixel says which place of its object it shows."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.mining.clouds import gather_clouds
from blendclip.mining.options import CloudOptions
from blendclip.synthetic.city import sensors, truck_sensors
from blendclip.synthetic.city.cast import plan_scene
from blendclip.synthetic.city.generate import RIGS, generate_city
from blendclip.synthetic.city.motion import planar_SE3
from blendclip.synthetic.city.raycasting import World
from blendclip.synthetic.city.truck_cast import TRUCK_BODY, fill_truck_stage
from tests.mining.pipeline import read

log = logging.getLogger(__name__)

SIZE_PX = (800, 450)
DURATION_S = 1.0
VISIBLE = 4
FORMATS = {"car": ("nuscenes", "v1.0-mini"), "truck": ("truckscenes", "v1.2-mini")}
# JPEG may be off by a few of 255 steps over the length of the box; noise and the size of a pixel add centimetres.
STEPS, NEAR_M = 12, 0.1


@pytest.fixture(scope="module", params=["car", "truck"])
def painted(request, tmp_path_factory):
    """A scene in which ego and traffic move, its index, and the plan."""
    root, scenes = tmp_path_factory.mktemp("colors") / request.param, {"mini_train": 1, "mini_val": 0}
    generate_city(root, rig=request.param, scenes=scenes, duration_s=DURATION_S, image_size_px=SIZE_PX)
    rig = RIGS[request.param]
    truck = (TRUCK_BODY, fill_truck_stage) if request.param == "truck" else ()
    plan = plan_scene(rig.official_scenes()["mini_train"][0], rig.kinds[0], DURATION_S, 0, *truck)
    format_, version = FORMATS[request.param]
    repaint(root, root / version, plan, truck_sensors.CAMERAS if truck else sensors.CAMERAS)
    write_index(root, DriveOptions(version), "data", ["mini_train"], root.parent, format=format_)
    return root


def repaint(root, tables, plan, cameras):
    """Give every pixel the place in its object's box as a colour, and black where it shows no object."""
    start_us = min(row["timestamp"] for row in json.loads((tables / "sample.json").read_text()))
    world = World(plan)
    for camera in cameras:
        for row in json.loads((tables / "sample_data.json").read_text()):
            if f"/{camera.channel}/" in row["filename"]:
                seconds = (row["timestamp"] - start_us) * 1e-6
                picture = places(world, plan, camera, seconds).reshape(SIZE_PX[1], SIZE_PX[0], 3)
                Image.fromarray(picture).save(root / row["filename"], quality=100, subsampling=0)


def places(world, plan, camera, seconds):
    world.move_to(seconds)
    world_SE3_ego = planar_SE3(plan.ego.pose_at(seconds))
    rays = sensors.rays_in_world(world_SE3_ego @ camera.ego_SE3_camera, camera.directions(*SIZE_PX))
    hits = world.cast(rays)
    colors = np.zeros((len(rays), 3), np.uint8)
    for number in np.unique(hits.thing[hits.thing >= 0]):
        thing, shown = plan.things[number], hits.thing == number
        world_SE3_box = planar_SE3(thing.motion.pose_at(seconds), thing.box_z_m)
        hit = rays[shown, :3] + hits.distance_m[shown, None] * rays[shown, 3:]
        in_box = (hit - world_SE3_box[:3, 3]) @ world_SE3_box[:3, :3]
        colors[shown] = np.clip(np.round(255 * (in_box / thing.size_lwh_m + 0.5)), 0, 255)
    return colors


@pytest.fixture(scope="module")
def clouds(painted):
    output = painted.parent / "clouds" / "part-00000.parquet"
    index, rejects = painted.parent / "mini_train.parquet", painted.parent / "rejects.parquet"
    gather_clouds(index, painted, 0, 1, output, rejects, CloudOptions(colors=True), 0.0)
    return read(output.parent).to_dict("records")


def colored(cloud):
    """Places (M, 3) and colours (M, 3) of the points that have a colour."""
    points, colors = np.stack(cloud["points"]), cloud["rgb"]
    seen = np.array([color is not None for color in colors])
    return points[seen], np.stack(colors[seen]) if seen.any() else np.empty((0, 3))


def is_true(cloud, points, colors):
    """Whether each point has the colour of its own place."""
    shown = (colors / 255 - 0.5) * cloud["size_lwh_m"]
    tolerance_m = STEPS / 255 * cloud["size_lwh_m"] + NEAR_M
    return (np.abs(shown - points) <= tolerance_m).all(axis=1)


def test_points_of_objects_in_plain_sight_have_their_true_colour(clouds):
    sums = {"moving": np.zeros(3), "standing": np.zeros(3)}
    for cloud in clouds:
        velocity, (points, colors) = cloud["velocity_mps"], colored(cloud)
        if cloud["visibility"] == VISIBLE:
            moves = velocity is not None and np.linalg.norm(velocity) > 2
            true = is_true(cloud, points, colors).sum()
            sums["moving" if moves else "standing"] += (true, len(points), cloud["num_points"])
    log.info("coloured truly, coloured, points: %s", sums)
    for true, seen, points in sums.values():
        assert seen > max(1000, 0.2 * points)
        assert true >= 0.95 * seen


def test_what_nobody_sees_has_no_colour(clouds):
    for cloud in clouds:
        points, colors = colored(cloud)
        assert len(cloud["rgb"]) == cloud["num_points"]
        assert colors.dtype == np.uint8 or not len(colors)
    assert any(color is None for cloud in clouds for color in cloud["rgb"])
