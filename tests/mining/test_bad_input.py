"""Broken data: a reject row or one clear sentence each; the rest is mined, and the totals add up."""

import io
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from blendclip.errors import UserError
from blendclip.mining.scene import read_scenes
from blendclip.mining.triplets import join_triplets
from tests.mining.pipeline import mine

PIPE = object()
"""In place of a file's content."""


class Vandal:
    """A copy of the test city to break."""

    def __init__(self, source, root):
        self.root = root
        shutil.copytree(source, root, copy_function=os.link)
        for table in (root / "v1.0-mini").iterdir():
            copy = table.read_bytes()
            table.unlink()
            table.write_bytes(copy)

    def table(self, name):
        return json.loads((self.root / "v1.0-mini" / f"{name}.json").read_text())

    def write(self, name, rows):
        (self.root / "v1.0-mini" / f"{name}.json").write_text(json.dumps(rows))

    def samples(self):
        """Tokens of the training scene's samples, in time."""
        scene = next(scene for scene in self.table("scene") if scene["name"] == "scene-0061")
        rows = [row for row in self.table("sample") if row["scene_token"] == scene["token"]]
        return [row["token"] for row in sorted(rows, key=lambda row: row["timestamp"])]

    def annotate(self, change, category=""):
        """Change an annotation in the middle of a track of the training scene; return its token."""
        rows, samples = self.table("sample_annotation"), set(self.samples())
        names = {row["token"]: row["name"] for row in self.table("category")}
        category_of = {row["token"]: names[row["category_token"]] for row in self.table("instance")}
        row = next(
            row
            for row in rows
            if row["prev"] and row["next"] and row["sample_token"] in samples
            if category_of[row["instance_token"]].startswith(category)
        )
        change(row, rows)
        self.write("sample_annotation", rows)
        return row["token"]

    def files(self, pattern):
        """Files of the training scene."""
        samples = set(self.samples())
        paths = [self.root / row["filename"] for row in self.table("sample_data") if row["sample_token"] in samples]
        return sorted(path for path in paths if path.match(pattern))

    def replace(self, path, content):
        path.unlink()
        if content is PIPE:
            os.mkfifo(path)
        elif content is not None:
            path.write_bytes(content)


@pytest.fixture
def vandal(city_root, tmp_path):
    return Vandal(city_root, tmp_path / "city")


@pytest.fixture(scope="module")
def whole(city_root, tmp_path_factory):
    return mine(city_root, tmp_path_factory.mktemp("whole"))


def as_png(jpeg):
    """The pixels of a JPEG, as Pillow sees them, in a PNG."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def with_stray_bytes(jpeg):
    """A JPEG with bytes that belong to nothing behind its first segment and before its end."""
    first = 4 + int.from_bytes(jpeg[4:6], "big")
    assert jpeg[2] == jpeg[first] == 0xFF and jpeg[-2:] == b"\xff\xd9"
    return jpeg[:first] + bytes(3) + jpeg[first:-2] + b"\x12" * 20 + jpeg[-2:]


def only_fault(mined, stage):
    rows = mined.rejects[(mined.rejects["kind"] == "fault") & (mined.rejects["stage"] == stage)]
    assert len(rows) == 1, rows[["stage", "rule", "reason", "path"]].to_string()
    return rows.iloc[0]


def test_sound_data_has_no_fault(whole):
    assert set(whole.rejects["kind"]) == {"filtered"}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: None, "no such file"),
        (lambda data: data[:-7], "no whole number of points"),
        (lambda data: b"", "no whole number of points"),
        (lambda data: np.full(len(data) // 4, np.nan, np.float32).tobytes(), "100% of its points are not finite"),
        (lambda data: PIPE, "a named pipe, not a file"),
    ],
    ids=["missing", "truncated", "empty", "nan", "pipe"],
)
def test_a_broken_sweep_is_left_out_of_its_clouds(vandal, whole, tmp_path, damage, reason):
    path = vandal.files("*LIDAR_TOP*.bin")[5]
    vandal.replace(path, damage(path.read_bytes()))
    mined = mine(vandal.root, tmp_path / "results")
    row = only_fault(mined, "clouds")
    assert (row["rule"], row["path"]) == ("broken_sweep", str(path.relative_to(vandal.root)))
    assert reason in row["reason"]
    both = mined.clouds.merge(whole.clouds, on="annotation_token", suffixes=("", "_whole"))
    lost = both["num_sweeps_whole"] - both["num_sweeps"]
    assert set(lost) == {0, 1}
    assert (both["num_points"] <= both["num_points_whole"]).all()
    assert (both["num_points"] == both["num_points_whole"])[lost == 0].all()
    assert (both["num_points"] < both["num_points_whole"])[lost == 1].any()


def test_a_few_nan_points_belong_to_no_box(vandal, whole, tmp_path):
    path = vandal.files("*LIDAR_TOP*.bin")[5]
    points = np.fromfile(path, np.float32).reshape(-1, 5)
    holes = points[::3].copy()
    holes[:, 2] = np.nan
    vandal.replace(path, np.concatenate([points, holes]).tobytes())
    mined = mine(vandal.root, tmp_path / "results")
    assert mined.clouds["num_points"].tolist() == whole.clouds["num_points"].tolist()
    assert np.isfinite(np.concatenate([np.stack(points) for points in mined.clouds["points"]])).all()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: None, "no such file"),
        (lambda data: data[: len(data) // 2], "no sound JPEG: Premature end"),
        (lambda data: data[:700] + bytes(300) + data[1000:], "no sound JPEG: "),
        (lambda data: b"", "is empty"),
        (lambda data: as_png(data)[:-100], "no sound PNG: "),
        (lambda data: PIPE, "a named pipe, not a file"),
    ],
    ids=["missing", "truncated", "scribbled", "empty", "truncated png", "pipe"],
)
def test_a_broken_image_costs_only_its_own_views(vandal, whole, tmp_path, damage, reason):
    path = vandal.files("samples/CAM_FRONT/*.jpg")[2]
    vandal.replace(path, damage(path.read_bytes()))
    mined = mine(vandal.root, tmp_path / "results")
    rows = mined.rejects[(mined.rejects["kind"] == "fault") & (mined.rejects["stage"] == "views")]
    of_file = rows[rows["annotation_token"].isna()]
    assert of_file["path"].tolist() == [str(path.relative_to(vandal.root))]
    assert reason in of_file["reason"].iloc[0]
    lost = set(whole.views["view_id"]) - set(mined.views["view_id"])
    assert lost and all(view.endswith("CAM_FRONT") for view in lost)
    assert set(mined.views["view_id"]) < set(whole.views["view_id"])
    seen_elsewhere = {view.split("/")[1] for view in lost} & set(mined.views["annotation_token"])
    assert set(rows["annotation_token"].dropna()) == {view.split("/")[1] for view in lost} - seen_elsewhere


@pytest.mark.parametrize("convert", [as_png, with_stray_bytes], ids=["png", "stray bytes"])
def test_images_of_another_format_or_with_stray_bytes_give_the_same_views(vandal, whole, tmp_path, convert):
    for path in vandal.files("samples/CAM_*/*.jpg"):
        vandal.replace(path, convert(path.read_bytes()))
    mined = mine(vandal.root, tmp_path / "results")
    assert len(whole.views) and mined.views.equals(whole.views)
    assert mined.rejects.equals(whole.rejects)


def test_an_image_of_another_size_than_the_tables_say_is_a_fault(vandal, tmp_path):
    rows = vandal.table("sample_data")
    name = str(vandal.files("samples/CAM_FRONT/*.jpg")[2].relative_to(vandal.root))
    next(row for row in rows if row["filename"] == name)["width"] = 400
    vandal.write("sample_data", rows)
    mined = mine(vandal.root, tmp_path / "results")
    assert "is (320, 180) px, the dataset's tables say (400, 180)" in set(mined.rejects["reason"])


def duplicate(row, rows):
    rows.append(row | {"token": "f" * 32, "prev": "", "next": ""})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda row, rows: row.update(size=[0.0, 4.0, 1.5]),
            "size [4.0, 0.0, 1.5] (length, width, height) is not positive",
        ),
        (lambda row, rows: row.update(size=[1.0, float("nan"), 1.5]), "is not positive"),
        (lambda row, rows: row.update(size=[1.0, -4.0, 1.5]), "is not positive"),
        (lambda row, rows: row.update(translation=[1.0, float("nan"), 0.0]), "is not finite"),
        (lambda row, rows: row.update(rotation=[0.7, 0.0, 0.0, 0.0]), "no unit quaternion: its norm is 0.7"),
        (lambda row, rows: row.update(rotation=[0.0, 0.0, 0.0, 0.0]), "no unit quaternion: its norm is 0"),
        (lambda row, rows: row.update(rotation=[float("nan"), 0.0, 0.0, 0.0]), "no unit quaternion: its norm is nan"),
        (duplicate, "its track has another annotation at the same time"),
    ],
    ids=[
        "zero size",
        "nan size",
        "negative size",
        "nan centre",
        "long quaternion",
        "zero quaternion",
        "nan quaternion",
        "twice",
    ],
)
def test_a_broken_annotation_is_rejected_and_the_rest_of_its_track_mined(vandal, whole, tmp_path, change, reason):
    token = vandal.annotate(change)
    mined = mine(vandal.root, tmp_path / "results")
    row = only_fault(mined, "clouds")
    assert reason in row["reason"]
    broken = "f" * 32 if change is duplicate else token
    assert row["annotation_token"] == broken == only_fault(mined, "views")["annotation_token"]
    assert set(mined.clouds["annotation_token"]) == set(whole.clouds["annotation_token"]) - {broken}
    assert not any(broken in view for view in mined.views["view_id"])


def test_a_slightly_long_quaternion_is_rounding_not_a_fault(vandal, whole, tmp_path):
    vandal.annotate(lambda row, rows: row.update(rotation=[1.0004 * value for value in row["rotation"]]))
    mined = mine(vandal.root, tmp_path / "results")
    assert mined.clouds["num_points"].tolist() == whole.clouds["num_points"].tolist()


def test_a_track_of_one_annotation_gives_a_cloud(vandal, tmp_path):
    def alone(row, rows):
        row.update(prev="", next="")
        rows[:] = [other for other in rows if other is row or other["instance_token"] != row["instance_token"]]

    token = vandal.annotate(alone)
    mined = mine(vandal.root, tmp_path / "results")
    (cloud,) = mined.clouds[mined.clouds["annotation_token"] == token].to_dict("records")
    assert cloud["num_points"] >= cloud["num_lidar_pts"] > 0
    assert cloud["velocity_mps"] is None


def test_a_sensor_without_a_pose_is_a_fault_of_its_files(vandal, tmp_path):
    poses = vandal.table("ego_pose")
    data = {row["filename"]: row for row in vandal.table("sample_data")}
    broken = [vandal.files("*LIDAR_TOP*.bin")[5], vandal.files("samples/CAM_BACK/*.jpg")[1]]
    for path in broken:
        token = data[str(path.relative_to(vandal.root))]["ego_pose_token"]
        next(row for row in poses if row["token"] == token)["rotation"] = [0.0, 0.0, 0.0, 0.0]
    vandal.write("ego_pose", poses)
    mined = mine(vandal.root, tmp_path / "results")
    files = mined.rejects[mined.rejects["annotation_token"].isna()]
    assert files["path"].tolist() == [str(path.relative_to(vandal.root)) for path in broken]
    assert files["reason"].str.contains("pose or calibration of its sensor").all()
    # The annotations of that keyframe without a view are not said to be outside of all images.
    blamed = mined.rejects[(mined.rejects["rule"] == "broken_image") & ~mined.rejects["annotation_token"].isna()]
    assert len(blamed) and set(blamed["kind"]) == {"fault"} and set(blamed["path"]) == {files["path"].iloc[1]}


def test_more_faults_than_allowed_fail_and_name_the_files(vandal, tmp_path):
    sweeps = vandal.files("*LIDAR_TOP*.bin")
    for path in sweeps[2:8]:
        path.unlink()
    with pytest.raises(
        UserError, match=rf"6 of {len(sweeps)} sweeps are broken, .*max_fault_fraction 0.1 .*no such file"
    ):
        mine(vandal.root, tmp_path / "results", faults=0.1)
    assert not list((tmp_path / "results" / "clouds").rglob("*.parquet"))


def test_no_image_folder_is_one_clear_sentence(vandal, tmp_path):
    for folder in vandal.root.glob("samples/CAM_*"):
        shutil.rmtree(folder)
    with pytest.raises(UserError, match=r"(\d+) of \1 images are broken, .*samples/CAM_.*no such file"):
        mine(vandal.root, tmp_path / "results")


def test_no_lidar_at_all_is_one_clear_sentence(vandal, tmp_path):
    for folder in vandal.root.glob("s*/LIDAR_TOP"):
        shutil.rmtree(folder)
    with pytest.raises(UserError, match="sweeps are broken, more than max_fault_fraction"):
        mine(vandal.root, tmp_path / "results")


def test_nothing_mined_is_an_error_not_an_empty_success(city_root, tmp_path):
    from blendclip.mining.options import ViewOptions

    with pytest.raises(UserError, match="no triplet came out of data/mini_train: .*change the rules"):
        mine(city_root, tmp_path, views=ViewOptions(min_side_px=10_000))


@pytest.mark.parametrize("size", [[0.0, 4.0, 1.5], [1.0, float("nan"), 1.5]], ids=["zero", "nan"])
def test_a_broken_bicycle_rack_is_rejected_like_any_box(vandal, tmp_path, size):
    token = vandal.annotate(lambda row, rows: row.update(size=size), "static_object.bicycle_rack")
    assert only_fault(mine(vandal.root, tmp_path / "results"), "clouds")["annotation_token"] == token


def test_a_scene_without_annotations_does_not_stop_the_others(vandal, whole, tmp_path):
    """The validation scene becomes a second training scene, and its boxes go."""
    scenes = vandal.table("scene")
    other = next(scene for scene in scenes if scene["name"] != "scene-0061")
    samples = {row["token"] for row in vandal.table("sample") if row["scene_token"] == other["token"]}
    other["name"] = "scene-0553"
    vandal.write("scene", scenes)
    vandal.write(
        "sample_annotation", [r for r in vandal.table("sample_annotation") if r["sample_token"] not in samples]
    )
    mined = mine(vandal.root, tmp_path / "results", parts=2)
    assert mined.summary["scenes"] == 2
    assert mined.triplets["triplet_id"].tolist() == whole.triplets["triplet_id"].tolist()


def test_annotations_of_a_keyframe_without_images_say_so(vandal, whole, tmp_path):
    sample = vandal.samples()[1]
    gone = {
        row["token"]
        for row in vandal.table("sample_data")
        if row["sample_token"] == sample and row["fileformat"] == "jpg"
    }
    rows = [row for row in vandal.table("sample_data") if row["token"] not in gone]
    for row in rows:
        row.update({link: "" for link in ("prev", "next") if row[link] in gone})
    vandal.write("sample_data", rows)
    mined = mine(vandal.root, tmp_path / "results", faults=0.5)
    without = mined.rejects[mined.rejects["rule"] == "no_image"]
    assert set(without["kind"]) == {"fault"}
    assert not set(without["annotation_token"]) & set(mined.views["annotation_token"])
    assert set(mined.views["view_id"]) == set(whole.views[whole.views["sample_token"] != sample]["view_id"])


def test_annotations_of_a_keyframe_without_lidar_files_count_as_faults_of_the_files(vandal, tmp_path):
    for path in vandal.files("*LIDAR_TOP*.bin")[:1]:
        path.unlink()  # the first keyframe's window is this sweep alone
    mined = mine(vandal.root, tmp_path / "results")
    lost = mined.rejects[mined.rejects["rule"] == "no_sweep"]
    assert set(lost["reason"]) == {"every sweep of its window is broken"}
    assert lost["path"].isna().all()
    first = vandal.samples()[0]
    annotated = {row["token"] for row in vandal.table("sample_annotation") if row["sample_token"] == first}
    assert set(lost["annotation_token"]) == annotated


@pytest.mark.parametrize("table", ["ego_pose", "sample_data"])
def test_records_that_are_not_there_are_one_clear_sentence(vandal, tmp_path, table):
    name = str(vandal.files("samples/LIDAR_TOP/*.bin")[1].relative_to(vandal.root))
    data = next(row for row in vandal.table("sample_data") if row["filename"] == name)
    token = data["ego_pose_token"] if table == "ego_pose" else data["token"]
    vandal.write(table, [row for row in vandal.table(table) if row["token"] != token])
    reason = {
        "ego_pose": rf"\(token {data['token']}\): ego_pose_token is '{token}', must be a token of ego_pose.json",
        "sample_data": rf"\(token {data['sample_token']}\): .* must be named by a key frame of LIDAR_TOP",
    }
    with pytest.raises(UserError, match=reason[table]):
        mine(vandal.root, tmp_path / "results")


def test_torn_intermediate_files_are_one_clear_sentence(city_root, tmp_path):
    mined = mine(city_root, tmp_path)
    for stage in ("index", "clouds", "views", "captions"):
        (path,) = (
            path for path in mined.results.rglob("*.parquet") if path.relative_to(mined.results).parts[0] == stage
        )
        whole_file = path.read_bytes()
        path.write_bytes(whole_file[:100])
        arguments = [
            mined.results / name / "data" / "mini_train" / "part-00000.parquet"
            for name in ("clouds", "views", "captions")
        ]
        with pytest.raises(UserError, match=f"{path.name} is not a readable Parquet file"):
            if stage == "index":
                list(read_scenes(path, 0, 1))
            join_triplets(*arguments, tmp_path / "t.parquet", tmp_path / "r.parquet")
        path.write_bytes(whole_file)
