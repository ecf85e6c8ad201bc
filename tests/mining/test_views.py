import io

import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.geometry_utils import view_points
from PIL import Image
from pyquaternion import Quaternion

from blendclip.mining.options import ViewOptions
from blendclip.mining.projection import Candidates
from tests.mining.pipeline import mine

OPTIONS = ViewOptions(min_visibility=3, min_side_px=12)


@pytest.fixture(scope="module")
def mined(city_root, tmp_path_factory):
    return mine(city_root, tmp_path_factory.mktemp("views"), views=OPTIONS)


def standing_boxes(root):
    """The devkit's 2D boxes of objects that stand still: {(annotation, channel): (whole, xyxy, visibility)}."""
    tables = NuScenes("v1.0-mini", str(root), verbose=False)
    found = {}
    for data in tables.sample_data:
        if data["sensor_modality"] != "camera" or not data["is_key_frame"]:
            continue
        _, boxes, intrinsic = tables.get_sample_data(data["token"], box_vis_level=0)
        for box in boxes:
            velocity = tables.box_velocity(box.token)
            corners = box.corners()
            if not np.allclose(velocity, 0, atol=1e-6) or corners[2].min() < 0.2:
                continue
            pixels = view_points(corners, intrinsic, True)[:2]
            xyxy = np.array([*pixels.min(axis=1), *pixels.max(axis=1)])
            whole = (xyxy[:2] >= 0).all() and (xyxy[2:] <= (data["width"], data["height"])).all()
            level = int(tables.get("sample_annotation", box.token)["visibility_token"])
            found[box.token, data["channel"]] = (whole, xyxy, level)
    return found


def test_views_are_those_that_the_rules_select_from_the_devkits_boxes(city_root, mined):
    boxes = standing_boxes(city_root)
    crops = {(row.annotation_token, row.channel): row.crop_xyxy_px for row in mined.views.itertuples()}
    selected = {
        key: xyxy
        for key, (whole, xyxy, level) in boxes.items()
        if whole
        and level >= 3
        and (xyxy[2:] - xyxy[:2]).min() >= 12
        and key[0] in set(mined.clouds["annotation_token"])
    }
    assert len(selected) > 20
    assert selected.keys() == crops.keys() & boxes.keys()
    for key, xyxy in selected.items():
        np.testing.assert_allclose(crops[key], xyxy, atol=1e-3)


def test_a_crop_holds_the_pixels_of_its_image(city_root, mined):
    for row in mined.views.itertuples():
        (path,) = city_root.glob(f"samples/{row.channel}/*__{row.timestamp_us}.jpg")
        left, upper = np.floor(row.crop_xyxy_px[:2]).astype(int)
        right, lower = np.ceil(row.crop_xyxy_px[2:]).astype(int)
        expected = np.asarray(Image.open(path).convert("RGB").crop((left, upper, right, lower)), int)
        crop = np.asarray(Image.open(io.BytesIO(row.image["bytes"])), int)
        assert crop.shape == expected.shape
        assert np.abs(crop - expected).mean() < 4  # the loss of JPEG at quality 95; a pixel aside costs far more


def test_every_reason_for_having_no_view_is_true(city_root, mined):
    boxes = standing_boxes(city_root)
    rejects = mined.rejects[mined.rejects["stage"] == "views"]
    assert {"visibility", "too_small", "partly_outside"} <= set(rejects["rule"])
    for row in rejects.itertuples():
        sizes = [
            (whole, (xyxy[2:] - xyxy[:2]).min(), level)
            for (token, _), (whole, xyxy, level) in boxes.items()
            if token == row.annotation_token
        ]
        for whole, side, level in sizes:
            if row.rule == "visibility":
                assert level < 3
            elif row.rule == "too_small":
                assert not whole or side < 12
            elif row.rule == "partly_outside":
                assert not whole
            else:
                assert not whole


def test_the_camera_stands_where_the_azimuth_says(city_root, mined):
    tables = NuScenes("v1.0-mini", str(city_root), verbose=False)
    poses = {(data["channel"], data["timestamp"]): data for data in tables.sample_data}
    for row in mined.views.itertuples():
        data = poses[row.channel, row.timestamp_us]
        ego, sensor = (
            tables.get("ego_pose", data["ego_pose_token"]),
            tables.get("calibrated_sensor", data["calibrated_sensor_token"]),
        )
        camera = Quaternion(ego["rotation"]).rotate(np.array(sensor["translation"])) + ego["translation"]
        box = tables.get_box(row.annotation_token)
        x, y, _ = box.orientation.inverse.rotate(camera - box.center)
        turn = np.angle(np.exp(1j * (np.arctan2(y, x) - row.camera_azimuth_rad)))
        assert abs(turn) < 0.15  # a moving box is a few centimetres further at the image's time


def candidates(*boxes):
    """Boxes in one image as (distance, x0, y0, x1, y1)."""
    xyxy = np.array([box[1:] for box in boxes], float)
    return Candidates(
        annotation=np.arange(len(boxes)),
        image=np.zeros(len(boxes), int),
        hull_px=xyxy[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2),
        hull_size=np.full(len(boxes), 4),
        xyxy_px=xyxy,
        whole=np.ones(len(boxes), bool),
        distance_m=np.array([box[0] for box in boxes], float),
        azimuth_rad=np.zeros(len(boxes)),
    )


def covered(place, *boxes):
    return candidates(*boxes).covered_fraction(np.array([place]))[0]


def test_covered_fraction_is_the_area_behind_nearer_boxes():
    mine_, half, quarter, far, aside = (
        (20, 0, 0, 100, 100),
        (10, 50, 0, 150, 100),
        (5, 25, 0, 75, 50),
        (30, 0, 0, 99, 99),
        (5, 200, 0, 300, 100),
    )
    assert covered(0, mine_) == 0
    assert covered(0, mine_, far, aside) == 0
    assert covered(0, mine_, half) == pytest.approx(0.5)
    # Half and quarter share 25 x 50 px: 5000 + 2500 - 1250 of 10000.
    assert covered(0, mine_, half, quarter, far) == pytest.approx(0.625)
    assert covered(1, mine_, half) == 0
