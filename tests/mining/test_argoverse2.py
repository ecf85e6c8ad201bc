"""Mining of Argoverse 2: points that are compensated for the vehicle's motion, and images that a lens bends."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import Argoverse2Options
from blendclip.errors import DataFault, UserError
from blendclip.mining.clouds import gather_clouds
from blendclip.mining.options import CloudOptions, ViewOptions
from blendclip.mining.sweeps import read_sweep
from blendclip.mining.views import cut_views
from tests.datasets.drives import av2
from tests.datasets.drives.av2 import CAMERA, CENTER, FOCAL, MS, SIZE, START_NS, Log, write_feather
from tests.real import REAL

ALL_VIEWS = ViewOptions(min_visibility=1, whole_box=False, min_side_px=0)
K1, K2, K3 = av2.K


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "data")


def indexed(log, **options):
    folder = log.root.parent
    write_index(log.root, Argoverse2Options(**options), "av2", [log.split], folder, format="argoverse2")
    return folder / f"{log.split}.parquet"


def mined(log, max_fault_fraction=0.0, **options):
    index = indexed(log)
    output, rejects = index.with_name("clouds.parquet"), index.with_name("rejects.parquet")
    # Nobody saw the points that two boxes are said to have, so all may disagree.
    gather_clouds(index, log.root, 0, 1, output, rejects, CloudOptions(**options), max_fault_fraction, 1.0)
    return pq.read_table(output).to_pylist(), pq.read_table(rejects).to_pylist()


def test_every_annotation_of_the_real_sweep_has_the_official_number_of_points(tmp_path, caplog):
    root = REAL / "av2_log"
    if not root.is_dir():
        pytest.skip("the real log of Argoverse 2 is not on this machine")
    write_index(root, Argoverse2Options(), "av2", ["val"], tmp_path, format="argoverse2")
    assert "155 of 156 annotated timestamps, with 12031 boxes, have no sweep in sensors/lidar" in caplog.text
    files = (tmp_path / "val.parquet", root, 0, 1, tmp_path / "clouds.parquet", tmp_path / "rejects.parquet")
    for motion in ("none", "interpolate", "per_point"):
        assert gather_clouds(*files, CloudOptions(sweeps=1, motion=motion, min_points=0), 0.0) == 47
        clouds = pq.read_table(files[4], columns=["num_points", "num_lidar_pts", "category"]).to_pydict()
        assert clouds["num_points"] == clouds["num_lidar_pts"]
        assert max(clouds["num_points"]) == 10497 and clouds["num_points"].count(0) == 1
    assert not pq.read_table(files[5]).num_rows


def points_of(clouds, category):
    *_, last = (np.stack(cloud["points"]) for cloud in clouds if cloud["category"] == category)
    return last


def test_points_of_what_moves_lie_where_they_were_measured_on_it(log):
    clouds, rejects = mined(log.write())
    assert {reject["rule"] for reject in rejects} == {"min_points"}  # what nobody sees
    car = points_of(clouds, "REGULAR_VEHICLE")
    # Its back is 2 m behind the centre at all times; coordinates of 16 bits are 1.6 cm apart there.
    assert len(car) == 10 * av2.CAR_POINTS
    np.testing.assert_allclose(car, np.tile([-2.0, 0.5, 0.25], (len(car), 1)), atol=0.017)
    dog = points_of(clouds, "DOG")
    assert len(dog) == 10 * av2.DOG_POINTS
    np.testing.assert_allclose(np.sort(dog[:, 1])[[0, -1]], [-0.125, 0.125], atol=1e-3)


def test_without_the_points_times_what_moves_is_smeared(log):
    car = points_of(mined(log.write(), motion="interpolate")[0], "REGULAR_VEHICLE")
    assert car[:, 0].min() == pytest.approx(-2.0, abs=0.02) and car[:, 0].max() == pytest.approx(-1.5, abs=0.02)


def test_lags_are_those_of_the_points_own_times(log):
    clouds, _ = mined(log.write(), sweeps=1)
    lags = next(cloud["time_lag_s"] for cloud in clouds if cloud["category"] == "REGULAR_VEHICLE")
    np.testing.assert_allclose(lags, -0.005 * np.arange(av2.CAR_POINTS), atol=1e-6)


def test_a_sweep_that_is_cut_short_or_stands_in_a_gap_of_the_poses_is_a_reject(log):
    log.write()
    path = log.folder / "sensors" / "lidar" / f"{log.sweeps_ns[3]}.feather"
    path.write_bytes(path.read_bytes()[:-100])
    clouds, rejects = mined(log, 0.5)
    (reject,) = (one for one in rejects if one["rule"] == "broken_sweep")
    assert reject["kind"] == "fault" and reject["path"].endswith(path.name)
    assert reject["reason"].startswith("no sound feather file: ")
    assert len(points_of(clouds, "REGULAR_VEHICLE")) == 9 * av2.CAR_POINTS
    with pytest.raises(UserError, match="max_fault_fraction"):
        mined(log, 0.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda columns: columns.pop("z"), r"it has no field z, only x, y, intensity, offset_ns"),
        (lambda columns: columns.pop("offset_ns"), "its points have no times"),
        (lambda columns: columns.update(x=["a"] * 30), "its x are no numbers"),
        (
            lambda columns: columns.update(offset_ns=columns["offset_ns"].astype(np.int64) + 400 * MS),
            "stamped over 0.3 s",
        ),
        (lambda columns: columns.update({name: values[:0] for name, values in columns.items()}), "it has no points"),
        (lambda columns: columns.update(y=np.full(30, np.nan, np.float16)), "100% of its points are not finite"),
    ],
)
def test_what_a_sweep_lacks_is_said(log, tmp_path, change, said):
    columns = log.sweep(START_NS)
    change(columns)
    write_feather(tmp_path / "sweep.feather", columns)
    with pytest.raises(DataFault, match=said):
        read_sweep(tmp_path / "sweep.feather", START_NS // 1000, point_times=True)


def test_a_point_without_a_number_is_in_no_box_and_the_others_stay(log, tmp_path):
    columns = log.sweep(START_NS)
    columns["x"] = pa.array([None, *columns["x"][1:]], pa.float16(), from_pandas=True)
    columns["offset_ns"] = pa.array([*columns["offset_ns"][:-1].tolist(), None], pa.int32())
    write_feather(tmp_path / "sweep.feather", columns)
    sweep = read_sweep(tmp_path / "sweep.feather", START_NS // 1000, point_times=True)
    assert np.flatnonzero(np.isnan(sweep.points[:, :3]).any(axis=1)).tolist() == [0, 29]
    assert sweep.timestamp_us[:3].tolist() == [START_NS // 1000 + late for late in (0, 5000, 10000)]
    assert sweep.points[1, 3] == 8.0


def bent(u, v):
    """Where the lens puts what a pinhole camera has at a pixel, by Brown's formula."""
    x, y = (u - CENTER[0]) / FOCAL, (v - CENTER[1]) / FOCAL
    square = x * x + y * y
    scale = 1 + K1 * square + K2 * square**2 + K3 * square**3
    return CENTER[0] + FOCAL * x * scale, CENTER[1] + FOCAL * y * scale


def photograph(rectangles, path):
    """Draw rectangles left, upper, right, lower of a pinhole camera as the lens shows them, white on black."""
    image = Image.new("L", (4 * SIZE[0], 4 * SIZE[1]))
    for left, upper, right, lower in rectangles:
        along = np.linspace(0, 1, 200)
        edges = [(left + (right - left) * one, upper) for one in along]
        edges += [(right, upper + (lower - upper) * one) for one in along]
        edges += [(right - (right - left) * one, lower) for one in along]
        edges += [(left, lower - (lower - upper) * one) for one in along]
        ImageDraw.Draw(image).polygon([tuple(4 * value - 0.5 for value in bent(u, v)) for u, v in edges], fill=255)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize(SIZE, Image.Resampling.BOX).convert("RGB").save(path, quality=95)


def test_crops_of_a_lens_that_bends_hold_what_a_pinhole_camera_shows(log):
    # A thin board faces the camera: 10 m ahead of it, near the edge of the image.
    center, size = [11.5, 4.0, -0.5], [0.002, 3.0, 3.0]
    for name, value in zip(("tx_m", "ty_m", "tz_m", "length_m", "width_m", "height_m"), [*center, *size], strict=True):
        log.tables["annotations"][name] = np.full(55, value)
    log.write()
    us = sorted(CENTER[0] - FOCAL * y / 10 for y in (2.5, 5.5))
    vs = sorted(CENTER[1] - FOCAL * z / 10 for z in (-3.5, -0.5))
    outline = [us[0], vs[0], us[1], vs[1]]  # of a board whose centre is 2 m below and 4 m left of the camera's axis
    for time_ns in log.images[CAMERA]:
        photograph([outline], log.folder / "sensors" / "cameras" / CAMERA / f"{time_ns}.jpg")
    shifts = [abs(a - b) for a, b in zip(bent(us[0], vs[1]), (us[0], vs[1]), strict=True)]
    assert max(shifts) > 6, "the lens bends less than a test could see"
    views, views_of_bent = (views_of(log, distorted_images=distorted) for distorted in (True, False))
    crop = views[0]["crop_xyxy_px"]
    np.testing.assert_allclose(crop, outline, atol=0.5)  # the car has moved 3 cm when the image is taken
    assert share_white(views[0]) > 0.98 and share_white(views_of_bent[0]) < 0.95


def views_of(log, **options):
    index = indexed(log, **options)
    cut_views(index, log.root, 0, 1, index.with_name("v.parquet"), index.with_name("r.parquet"), ALL_VIEWS, 0.0)
    return pq.read_table(index.with_name("v.parquet")).to_pylist()


def share_white(view):
    pixels = np.asarray(Image.open(io.BytesIO(view["image"]["bytes"])))
    return (pixels[1:-1, 1:-1] > 127).mean()
