"""The projection check."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree

from blendclip.cli.main import main
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.errors import UserError
from blendclip.mining.scene import read_scene
from blendclip.reporting.inspection.cameras import draw_cameras
from blendclip.reporting.inspection.colored import draw_colored
from blendclip.reporting.inspection.inspect_scene import inspect_scene
from blendclip.reporting.inspection.moment import Moment, clock, moment_of
from blendclip.reporting.inspection.movers import draw_movers
from blendclip.reporting.inspection.overlay import points_in_image, wireframes
from tests.real import recording


@pytest.fixture(scope="module")
def city(city_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    write_index(city_root, DriveOptions("v1.0-mini"), "city", ["mini_train"], folder)
    return city_root, folder / "mini_train.parquet"


@pytest.fixture(scope="module")
def truck(citytruck_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    write_index(citytruck_root, DriveOptions("v1.2-mini"), "truck", ["mini_train"], folder, format="truckscenes")
    return citytruck_root, folder / "mini_train.parquet"


@pytest.fixture
def frame(tmp_path):
    root, _ = recording("nuscenes_frame")
    write_index(root, DriveOptions("v1.0-mini"), "frame", ["mini_train"], tmp_path)
    return root, moment_of(read_scene(tmp_path / "mini_train.parquet"), root, None)


@pytest.mark.slow
def test_the_command_draws_every_picture_and_names_it(city, tmp_path, capsys):
    root, index = city
    assert main(["inspect", "--index", str(index), "--root", str(root), "--output", str(tmp_path)]) == 0
    folder = tmp_path / read_scene(index).name
    names = {path.name for path in folder.iterdir()}
    cameras = {f"camera-{channel}.jpg" for channel in read_scene(index).images.channel}
    assert {"cameras.jpg", "above.png", "motion.png"} | cameras <= names
    assert set(capsys.readouterr().out.split()) == {str(folder / name) for name in names}
    for name in names:
        with Image.open(folder / name) as picture:
            picture.load()
            assert picture.width == 1600
            if name in cameras:
                assert picture.height == 900 + 40, "the image and its title"


@pytest.mark.slow
def test_a_truck_with_six_lidars_and_times_of_points_is_drawn(truck, tmp_path):
    written = {path.name for path in inspect_scene(truck[1], truck[0], tmp_path, scene="0", keyframe=1, movers=2)}
    assert {"cameras.jpg", "above.png", "motion.png", "colors.png"} <= written


def test_wireframes_are_the_boxes_that_the_devkit_projects(frame):
    from nuscenes.nuscenes import NuScenes
    from nuscenes.utils.geometry_utils import view_points

    root, moment = frame
    devkit = NuScenes("v1.0-mini", str(root), verbose=False)
    tokens, compared = moment.scene.annotations.token, 0
    sample = devkit.get("sample", moment.scene.sample_token[0])
    for image in moment.images.tolist():
        token = sample["data"][moment.scene.images.channel[image]]
        _, boxes, intrinsic = devkit.get_sample_data(token)
        expected = {box.token: view_points(box.corners(), intrinsic, normalize=True)[:2].T for box in boxes}
        in_front = {box.token: (box.corners()[2] > 0.1).all() for box in boxes}
        for drawn in wireframes(moment, image):
            token = tokens[drawn.annotation]
            if token in expected and in_front[token]:
                ends, corners = drawn.edges_px.reshape(24, 2), expected[token]
                apart = np.linalg.norm(ends[:, None] - corners[None], axis=2)
                assert apart.min(axis=1).max() < 0.01 and apart.min(axis=0).max() < 0.01
                front = np.linalg.norm(drawn.front_px[:, None] - corners[None, :4], axis=2)  # its first four are ahead
                assert front.min(axis=0).max() < 0.01
                compared += 1
    assert compared > 60


def test_points_are_where_the_devkit_maps_them(frame):
    from nuscenes.nuscenes import NuScenes

    root, moment = frame
    devkit = NuScenes("v1.0-mini", str(root), verbose=False)
    sample = devkit.get("sample", moment.scene.sample_token[0])
    for image in moment.images.tolist():
        channel = moment.scene.images.channel[image]
        expected, depths, _ = devkit.explorer.map_pointcloud_to_image(
            sample["data"]["LIDAR_TOP"], sample["data"][channel]
        )
        uv_px, depth_m = points_in_image(moment, image)
        far = depth_m > 1  # the devkit leaves out what is nearer, and the outermost pixel
        assert 0 <= far.sum() - len(depths) <= 0.01 * len(depths)
        apart_px, nearest = cKDTree(uv_px[far]).query(expected[:2].T)
        assert apart_px.max() < 0.05, "it computes in float32, in a frame of kilometres"
        assert np.percentile(np.abs(depth_m[far][nearest] - depths), 99) < 0.01


def test_points_of_a_mover_move_with_its_box(city):
    root, index = city
    moment = moment_of(read_scene(index), root, 2)
    late_us = moment.timestamp_us + 100_000
    (split,) = moment.sweeps.values()
    now, later = (moment.points_at(at)["LIDAR_TOP"] for at in (moment.timestamp_us, late_us))
    still = len(split.rest_global)
    assert len(split.box) > 100
    assert np.array_equal(now[:still], later[:still])
    pose_now, pose_later = (
        moment.poses.at(moment.boxes, np.full(len(moment.boxes), at))[:, :, 3] for at in (moment.timestamp_us, late_us)
    )
    moved = np.linalg.norm(pose_later - pose_now, axis=1)[split.box]
    assert moved.max() > 0.3
    assert np.abs(np.linalg.norm(later[still:] - now[still:], axis=1) - moved).max() < 0.2, "but for what turning adds"


def test_a_broken_box_is_drawn_dim_and_without_a_name(city):
    root, index = city
    scene = read_scene(index)
    moment = moment_of(scene, root, 1)
    image = int(moment.images[0])
    number = next(frame.annotation for frame in wireframes(moment, image) if len(frame.front_px))
    annotations = replace(scene.annotations, faults={number: "broken"})
    (broken,) = (
        frame
        for frame in wireframes(Moment(replace(scene, annotations=annotations), root, 1), image)
        if frame.annotation == number
    )
    assert broken.label == ""
    assert len(set(broken.color)) == 1


def test_what_cannot_be_drawn_is_left_out_and_said(city, tmp_path, caplog):
    caplog.set_level("INFO")
    root, index = city
    scene = read_scene(index)
    blind = replace(scene, images=replace(scene.images, keyframe=np.full(len(scene.images), -1)))
    moment = Moment(blind, root, 1)
    assert draw_cameras(moment, tmp_path) == [] and "so there is no overlay" in caplog.text
    assert draw_colored(moment, tmp_path) == [] and "no sheet of colours" in caplog.text
    velocity = scene.annotations.columns.schema.get_field_index("velocity_mps")
    nulls = scene.annotations.columns.set_column(velocity, "velocity_mps", [[None] * len(scene.annotations)])
    still = replace(scene, annotations=replace(scene.annotations, columns=nulls))
    assert draw_movers(Moment(still, root, 1), tmp_path, 8) == [] and "no sheet of motion" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_broken_image_leaves_the_others(city, tmp_path, caplog):
    root, index = city
    copy = shutil.copytree(root, tmp_path / "copy")
    moment = moment_of(read_scene(index), copy, 1)
    path = moment.scene.images.path[moment.images[0]]
    (copy / path).write_bytes(b"no image")
    written = draw_cameras(moment, tmp_path / "drawings")
    assert len(written) == len(moment.images)  # one less, and the sheet
    assert path in caplog.text


def test_an_unknown_scene_or_keyframe_is_one_sentence(city, tmp_path):
    root, index = city
    with pytest.raises(UserError, match=r"has no scene scene-9999: give one of scene-\d+"):
        inspect_scene(index, root, tmp_path, scene="scene-9999")
    with pytest.raises(UserError, match=r"has no keyframe 99: it has \d+, counted from 0"):
        inspect_scene(index, root, tmp_path, keyframe=99)
    assert read_scene(index, "0").name == read_scene(index).name


def test_times_are_read_as_people_do():
    assert clock(1_532_402_927_647_951) == "2018-07-24 03:28:47.647 UTC"
