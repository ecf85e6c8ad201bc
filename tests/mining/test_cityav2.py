"""Clouds and views of cityav2 against the rays that really hit each object, and images that lenses really bent."""

import io
import json
import logging
import shutil
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import feather

from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import Argoverse2Options
from blendclip.mining.clouds import gather_clouds
from blendclip.mining.options import CloudOptions, ViewOptions
from blendclip.mining.views import cut_views
from blendclip.synthetic.city.av2_cast import KINDS, fill_av2_stage
from blendclip.synthetic.city.av2_sensors import CAMERAS, world_SE3_axle
from blendclip.synthetic.city.cast import plan_scene
from blendclip.synthetic.city.motion import planar_SE3
from blendclip.synthetic.city.plan import CAR_BODY
from blendclip.synthetic.city.raycasting import World
from blendclip.synthetic.city.sensors import rays_in_world
from tests.mining.pipeline import read

log = logging.getLogger(__name__)

DURATION_S = 1.0
MOST_POINTS = 100_000  # more than a sweep has: intensity becomes row + MOST_POINTS * number of the sweep
FASTER_THAN_MPS = (0.5, 5, 10)
SMALL = ViewOptions(min_visibility=1, min_side_px=12)


@pytest.fixture(scope="module")
def drive(cityav2_root, tmp_path_factory):
    """The city with points that say which they are, and in its split train pixels that say which object they show."""
    root = tmp_path_factory.mktemp("av2") / "cityav2"
    shutil.copytree(cityav2_root, root)
    for folder in logs(root):
        for number, path in enumerate(sweep_files(folder)):
            number_points(path, number)
    (folder,) = (root / "train").iterdir()
    for camera in CAMERAS:
        paint(folder, camera)
    options = Argoverse2Options(distorted_images=True)
    write_index(root, options, "cityav2", ["train", "val"], root.parent, format="argoverse2")
    return root


def logs(root):
    """The logs of both splits, each the first of its split."""
    return [folder for split in ("train", "val") for folder in (root / split).iterdir()]


def sweep_files(folder):
    return sorted((folder / "sensors" / "lidar").iterdir())


def number_points(path, sweep):
    table = feather.read_table(path)
    numbers = pa.array(np.arange(table.num_rows, dtype=np.int32) + MOST_POINTS * sweep)
    feather.write_feather(table.set_column(table.column_names.index("intensity"), "intensity", numbers), path)


@cache
def plan(name):
    return plan_scene(name, KINDS[0], DURATION_S, 0, CAR_BODY, fill_av2_stage)


def seconds(folder, path):
    """When a file begins, after the log's start; sweeps begin at no round time, the first one does."""
    return (int(path.stem) - int(sweep_files(folder)[0].stem)) / 1e9


def color_of(thing):
    """The colour of a thing: all red, so that what mixes with black keeps the ratio of its channels."""
    return np.array([255, 25 * (thing % 11), 25 * (thing // 11)])


def paint(folder, camera):
    """Give the pixels of a camera's images the colour of the thing that they show."""
    scene = plan(folder.name)
    colors = np.array([*(color_of(number) for number in range(len(scene.things))), (0, 0, 0)], np.uint8)
    world = World(scene)
    for path in (folder / "sensors" / "cameras" / camera.channel).iterdir():
        with Image.open(path) as image:
            width, height = image.size
        time_s = seconds(folder, path)
        world.move_to(time_s)
        world_SE3_camera = world_SE3_axle(scene.ego, time_s) @ camera.ego_SE3_camera
        hits = world.cast(rays_in_world(world_SE3_camera, camera.directions(width, height)))
        picture = colors[hits.thing].reshape(height, width, 3)  # the last colour where it shows no thing, -1
        Image.fromarray(picture).save(path, quality=100, subsampling=0)


def clouds(root, **options):
    """Clouds of both splits."""
    folder = root.parent / "clouds"
    for part, split in enumerate(("train", "val")):
        files = folder / f"part-{part:05d}.parquet", root.parent / f"{split}.rejects.parquet"
        gather_clouds(root.parent / f"{split}.parquet", root, 0, 1, *files, CloudOptions(min_points=0, **options), 0.0)
    return read(folder).to_dict("records")


def views(index, root, output):
    cut_views(index, root, 0, 1, output / "part-00000.parquet", output.parent / "views.rejects.parquet", SMALL, 0.0)
    return read(output).to_dict("records")


class Truth:
    """What each ray hit, and which sweeps lead up to each keyframe."""

    def __init__(self, root, sweeps=10):
        things = json.loads((root / "truth" / "instances.json").read_text())
        self.number = {thing["token"]: i for i, thing in enumerate(things, 1)}
        self.files = {folder.name: sweep_files(folder) for folder in logs(root)}
        self.hits = cache(lambda scene, sweep: np.load(root / "truth" / f"{scene}_{self.files[scene][sweep].stem}.npy"))
        self.sweeps = sweeps

    def compare(self, cloud):
        """Points of the cloud that are its object's, points of the cloud, points of the object in its window."""
        scene, number = cloud["scene"], self.number[cloud["instance_token"]]
        begins_us = [int(path.stem) // 1000 for path in self.files[scene]]
        last = begins_us.index(cloud["timestamp_us"])
        window = range(max(0, last + 1 - self.sweeps), last + 1)
        seen = sum(np.count_nonzero(self.hits(scene, sweep) == number) for sweep in window)
        sweep, row = np.divmod(cloud["intensity"].astype(np.int64), MOST_POINTS)
        assert set(sweep.tolist()) <= set(window)
        own = sum(np.count_nonzero(self.hits(scene, one)[row[sweep == one]] == number) for one in np.unique(sweep))
        return np.array([own, len(row), seen])


def by_speed(root, **options):
    """Recall and precision of clouds (4, 2), for objects that stand and for faster and faster ones."""
    truth, sums = Truth(root), np.zeros((len(FASTER_THAN_MPS) + 1, 3))
    for cloud in clouds(root, **options):
        velocity = cloud["velocity_mps"]
        speed = 0.0 if velocity is None else np.linalg.norm(velocity[:2])
        sums[np.searchsorted(FASTER_THAN_MPS, speed)] += truth.compare(cloud)
    own, found, seen = sums.T
    assert seen.min() > 500, seen
    return np.stack([own / seen, own / found], axis=1)


def test_clouds_hold_what_the_rays_hit_moving_objects_included(drive):
    per_point, kept = (by_speed(drive, motion=motion) for motion in ("per_point", "none"))
    log.info("recall and precision by speed: %s", np.round([per_point, kept], 4).tolist())
    assert (per_point[:, 0] >= 0.99).all() and (per_point[:, 1] >= 0.95).all()
    assert kept[1:, 0].max() < 0.75, "what moves is elsewhere in other sweeps"


def test_points_of_the_keyframe_are_as_many_as_the_dataset_says(cityav2_root, tmp_path):
    write_index(cityav2_root, Argoverse2Options(keyframes_hz=10), "cityav2", ["val"], tmp_path, format="argoverse2")
    output = tmp_path / "clouds" / "part-00000.parquet"
    options = CloudOptions(sweeps=1, motion="none", min_points=0)
    gather_clouds(tmp_path / "val.parquet", cityav2_root, 0, 1, output, tmp_path / "rejects.parquet", options, 0.0)
    (folder,) = (cityav2_root / "val").iterdir()
    said = {
        (row["track_uuid"], row["timestamp_ns"] // 1000): row["num_interior_pts"]
        for row in feather.read_table(folder / "annotations.feather").to_pylist()
    }
    found = read(output.parent)
    assert len(found) == len(said)
    counted = zip(found["instance_token"], found["timestamp_us"], found["num_points"], strict=True)
    assert [points for *_, points in counted] == [
        said[key] for key in zip(found["instance_token"], found["timestamp_us"], strict=True)
    ]
    assert found["num_points"].sum() > 30_000


def in_image(folder, channel, time_s, points):
    """Where a pinhole camera sees points (N, 3) in world frame: u, v in pixels and depth, and the image's size."""
    (camera,) = (one for one in CAMERAS if one.channel == channel)
    lenses = feather.read_table(folder / "calibration" / "intrinsics.feather").to_pylist()
    (lens,) = (one for one in lenses if one["sensor_name"] == channel)
    pose = np.linalg.inv(world_SE3_axle(plan(folder.name).ego, time_s) @ camera.ego_SE3_camera)
    x, y, depth = (points @ pose[:3, :3].T + pose[:3, 3]).T
    u, v = lens["fx_px"] * x / depth + lens["cx_px"], lens["fy_px"] * y / depth + lens["cy_px"]
    return np.stack([u, v], -1), depth, (lens["width_px"], lens["height_px"])


def thing_of(root, folder, view):
    """The thing of the plan that a view shows, its number, and its time."""
    things = json.loads((root / "truth" / "instances.json").read_text())
    mine = [thing["token"] for thing in things if thing["scene"] == folder.name]
    number = mine.index(view["instance_token"])
    time_s = view["timestamp_us"] / 1e6 - int(sweep_files(folder)[0].stem) / 1e9
    return plan(folder.name).things[number], number, time_s


def bounds(points):
    return np.r_[points.min(axis=0), points.max(axis=0)]


def test_crops_are_where_a_pinhole_camera_sees_the_box(drive):
    found, off_px = views(drive.parent / "train.parquet", drive, drive.parent / "views"), []
    assert len({view["channel"] for view in found}) > 5
    for view in found:
        folder = drive / "train" / view["scene"]
        thing, _, time_s = thing_of(drive, folder, view)
        corners = np.stack(np.meshgrid(*[(-0.5, 0.5)] * 3), -1).reshape(-1, 3) * thing.size_lwh_m
        pose = planar_SE3(thing.motion.pose_at(time_s), thing.box_z_m)
        pixels, depth, _ = in_image(folder, view["channel"], time_s, corners @ pose[:3, :3].T + pose[:3, 3])
        assert depth.min() > 0
        off_px.append(np.abs(bounds(pixels) - view["crop_xyxy_px"]).max())
    log.info("%d crops, at most %.3f px off", len(off_px), max(off_px))
    assert len(off_px) > 50 and max(off_px) <= 1


def silhouettes(root, found):
    """Of each view that shows enough of its object: bounds of those pixels, and of its mesh as it is projected."""
    for view in found:
        folder = root / "train" / view["scene"]
        thing, number, time_s = thing_of(root, folder, view)
        pose = planar_SE3(thing.motion.pose_at(time_s), thing.mesh_z_m)
        vertices = thing.mesh.vertices_m.astype(float) @ pose[:3, :3].T + pose[:3, 3]
        pixels, depth, _ = in_image(folder, view["channel"], time_s, vertices)
        crop = np.array(Image.open(io.BytesIO(view["image"]["bytes"])), float)
        most = 255 * crop / np.maximum(crop[..., :1], 128)  # as if nothing but its own colour were mixed in
        v, u = np.nonzero((np.abs(most - color_of(number)) < 12).all(axis=-1))
        if depth.min() > 0.5 and len(u) > 60:
            corner = np.floor(view["crop_xyxy_px"][:2])
            yield np.r_[corner + (u.min(), v.min()), corner + (u.max() + 1, v.max() + 1)], bounds(pixels)


def beyond_px(shown, projected):
    """By how much what is shown reaches beyond what is projected."""
    return max((projected[:2] - shown[:2]).max(), (shown[2:] - projected[2:]).max())


def test_crops_of_bent_images_show_their_objects_straight(drive, tmp_path):
    write_index(drive, Argoverse2Options(), "as released", ["train"], tmp_path, format="argoverse2")
    indices = {"straightened": drive.parent / "train.parquet", "bent": tmp_path / "train.parquet"}
    pairs = {name: list(silhouettes(drive, views(index, drive, tmp_path / name))) for name, index in indices.items()}
    off_px = {name: np.array([np.abs(a - b).max() for a, b in found]) for name, found in pairs.items()}
    log.info("from silhouette to projected mesh, px: %s", {name: np.sort(off).round(1) for name, off in off_px.items()})
    beyond = [beyond_px(*pair) for pair in pairs["straightened"]]
    assert len(beyond) > 40
    assert np.quantile(beyond, 0.95) <= 1 and max(beyond) <= 2, "of images of 320 px, resampled, in whole pixels"
    whole = [shown - projected for shown, projected in pairs["straightened"] if np.abs(shown - projected).max() <= 1]
    assert len(whole) > 15, "what nothing hides fills its outline"
    shift_px = np.mean(whole, axis=0).reshape(2, 2).mean(axis=0)
    log.info("%d of %d are whole, on average off by %s px", len(whole), len(beyond), shift_px.round(3))
    assert np.abs(shift_px).max() < 0.15
    assert (off_px["bent"] <= 1).sum() < len(whole) / 2, "without its lens it does not"


def test_gray_images_of_the_stereo_cameras_give_views(cityav2_root, tmp_path):
    write_index(cityav2_root, Argoverse2Options(distorted_images=True), "a", ["val"], tmp_path, format="argoverse2")
    found = views(tmp_path / "val.parquet", cityav2_root, tmp_path / "views")
    assert {"stereo_front_left", "ring_front_center"} <= {view["channel"] for view in found}
    for view in found:
        crop = np.array(Image.open(io.BytesIO(view["image"]["bytes"])))
        assert crop.ndim == 3
        if view["channel"].startswith("stereo"):
            assert np.ptp(crop.astype(int), axis=-1).max() <= 8  # JPEG's colours are off by a few steps
