"""One damage for each rule of the scene index, and the rule's sentence."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blendclip import geometry, schemas, storage
from blendclip.cli.main import main
from blendclip.datasets.drives.validation import validate_index
from blendclip.errors import UserError

START_US = 1_700_000_000_000_000
IDENTITY = [1.0, 0, 0, 0]


def flat(x_m):
    return geometry.pose(IDENTITY, [x_m, 0.0, 0.0]).ravel().tolist()


def scene(name="scene-1"):
    """Drives 10 m/s along x for a second, with a keyframe each 0.5 s; sweeps and images show one standing car."""
    times_us = [START_US + step * 500_000 for step in range(3)]
    ego = [START_US + step * 50_000 for step in range(-10, 31)]
    reading = [{"timestamp_us": time_us, "keyframe": number} for number, time_us in enumerate(times_us)]
    box = {"translation": [30.0, 2, 1], "rotation_wxyz": IDENTITY, "size_lwh_m": [4.0, 2, 1.5], "velocity_mps": None}
    known = {"visibility": 4, "num_lidar_pts": 7, "attributes": [], "evaluated": True}
    return {
        "dataset": "ours",
        "split": "train",
        "scene": name,
        "scene_token": name,
        "keyframes": [
            {
                "sample_token": f"{name}/{number}",
                "timestamp_us": row["timestamp_us"],
                "global_SE3_ego": flat(5.0 * number),
            }
            for number, row in enumerate(reading)
        ],
        "ego_poses": [
            {"timestamp_us": time_us, "global_SE3_ego": flat((time_us - START_US) * 1e-5)} for time_us in ego
        ],
        "sweeps": [
            row
            | {"channel": "LIDAR", "path": f"LIDAR/{name}-{row['keyframe']}.pcd", "point_times": True}
            | {"global_SE3_sensor": flat(5.0 * row["keyframe"] + 1), "ego_SE3_sensor": flat(1.0)}
            for row in reading
        ],
        "images": [
            row
            | {"channel": "CAMERA", "path": f"CAMERA/{name}-{row['keyframe']}.jpg"}
            | {"global_SE3_camera": flat(5.0 * row["keyframe"]), "width_px": 1600, "height_px": 900}
            | {"intrinsic": [1200.0, 0, 800, 0, 1200, 450, 0, 0, 1]}
            for row in reading
        ],
        "tracks": [
            {
                "instance_token": "car",
                "category": "vehicle.car",
                "class_name": "car",
                "annotations": [row | {"token": f"{name}/car/{row['keyframe']}"} | box | known for row in reading],
            }
        ],
    }


def write(path, *scenes):
    tables = (storage.table_of([row], schemas.INDEX) for row in scenes)
    storage.write_parquet(path, schemas.INDEX, tables, storage.metadata("index", {}))
    return path


def complaint(path, root=None):
    with pytest.raises(UserError) as caught:
        validate_index(path, root)
    return str(caught.value)


def each(table, **values):
    """Damage every row of a table with values, or with functions of the old value."""

    def damage(row):
        rows = row["tracks"][0]["annotations"] if table == "annotations" else row[table]
        for entry in rows:
            for name, value in values.items():
                entry[name] = value(entry[name]) if callable(value) else value

    return damage


def one(table, number, **values):
    """Damage one row of a table."""

    def damage(row):
        rows = row["tracks"][0]["annotations"] if table == "annotations" else row[table]
        rows[number].update(values)

    return damage


def test_a_sound_index_passes(tmp_path):
    assert validate_index(write(tmp_path / "i.parquet", scene(), scene("scene-2"))) == 2


NAN_POSE = [float("nan")] * 12
MIRROR = [1.0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0]
DAMAGES = [
    (one("keyframes", 1, sample_token="scene-1/0"), "keyframes row 1: sample_token is scene-1/0, must be unique"),
    (one("keyframes", 2, timestamp_us=START_US), f"keyframes row 2: timestamp_us is {START_US}, must be later than"),
    (each("keyframes", timestamp_us=lambda t: t // 10**6), "is 1700000000, seconds by the look of it, must be micro"),
    (each("keyframes", timestamp_us=lambda t: t // 1000), "milliseconds by the look"),
    (each("keyframes", timestamp_us=lambda t: t * 1000), "nanoseconds by the look"),
    (each("sweeps", timestamp_us=lambda t: t * 1000, point_times=False), "sweeps row 0: .*nanoseconds by the look"),
    (one("keyframes", 1, global_SE3_ego=MIRROR), "keyframes row 1: global_SE3_ego is .* must be a rigid pose"),
    (one("sweeps", 1, global_SE3_sensor=flat(6)[:11] + [float("nan")]), "sweeps row 1: .* must be a rigid pose"),
    (one("sweeps", 1, ego_SE3_sensor=[2 * v for v in flat(1.0)]), "row 1: ego_SE3_sensor is .* must be a rigid pose"),
    (each("images", global_SE3_camera=NAN_POSE), r"must be known: .* \(as 3 of 3 rows have it\)"),
    (lambda row: row["ego_poses"].reverse(), "ego_poses row 1: timestamp_us .* later than the row before"),
    (one("ego_poses", 3, global_SE3_ego=NAN_POSE), "ego_poses row 3: .* must be finite: leave unknown ones out"),
    (one("ego_poses", 3, global_SE3_ego=flat(900.0)), "ego_poses row 3: .* poses of several vehicles"),
    (lambda row: row.update(ego_poses=row["ego_poses"][:20]), "sweeps row 1: timestamp_us .* must be inside ego_poses"),
    (lambda row: row.update(ego_poses=[]), "sweeps row 0: timestamp_us .* must be inside ego_poses"),
    (lambda row: row.update(ego_poses=row["ego_poses"][1::5]), "no gap of more than 200000 us"),
    (one("sweeps", 1, global_SE3_sensor=flat(6.05)), "sweeps row 1: .* the ego pose, interpolated at the sweep's time"),
    (each("keyframes", global_SE3_ego=flat(3e7)), "keyframes row 0: .* must be in metres: no coordinate exceeds 2.1e"),
    (
        each("sweeps", ego_SE3_sensor=flat(31.0), point_times=False),
        r"sweeps row 0: ego_SE3_sensor is \[31.0, 0.0, 0.0\], must be within 30 m of the vehicle .as 3 of 3 rows",
    ),
    (one("sweeps", 1, timestamp_us=START_US, point_times=False), "sweeps row 1: .* LIDAR at 17.* must be that of one"),
    (one("sweeps", 1, path="LIDAR/scene-1-0.pcd"), "sweeps row 1: path is LIDAR/scene-1-0.pcd, must be that of one"),
    (one("sweeps", 1, keyframe=3), "sweeps row 1: keyframe is 3, must be from 0 to 2"),
    (one("annotations", 1, keyframe=-1), "annotations row 1: keyframe is -1, must be from 0 to 2"),
    (each("images", timestamp_us=lambda t: t + 3_000_000), "images row 0: .* within a second of the keyframe"),
    (each("images", timestamp_us=lambda t: t - 1_200_000), "images row 0: .* within a second of the keyframe"),
    (one("images", 1, channel=""), "images row 1: channel is , must be a name"),
    (one("images", 1, path="/data/a.jpg"), "images row 1: path is /data/a.jpg, must be relative"),
    (one("images", 1, path="../a.jpg"), "images row 1: path is ../a.jpg, must be relative"),
    (each("images", width_px=0), r"images row 0: width_px, height_px is \[0, 900\], must be positive"),
    (each("images", width_px=70_000), r"width_px, height_px is \[70000, 900\], must be positive, at most 65535"),
    (each("images", intrinsic=[1.0, 0, 0.5, 0, 1, 0.5, 0, 0, 1]), "a focal length of 0.05 to 100 times its size"),
    (each("images", intrinsic=[1200.0, 0, 0, 0, 1200, 0, 800, 450, 1]), "with the last row 0 0 1"),
    (each("images", intrinsic=[1200.0, 0, 9e3, 0, 1200, 450, 0, 0, 1]), "a principal point in or near it"),
    (
        each("annotations", size_lwh_m=[0.0, 1, 1]),
        r"annotations row 0: size_lwh_m is \[0.0, 1.0, 1.0\], must be positive",
    ),
    (each("annotations", size_lwh_m=[101.0, 1, 1]), "must be positive, metres, at most 100 "),
    (each("annotations", rotation_wxyz=[0.5, 0, 0, 0]), "must be a unit quaternion, w first"),
    (each("annotations", rotation_wxyz=[0.0, 0.8, 0, 0.6]), "of a box whose z axis points up"),
    (
        each("annotations", translation=[7e5, 5e6, 0]),
        "in the global frame: within 1000 m of the keyframe's ego vehicle",
    ),
    (each("annotations", timestamp_us=lambda t: t + 2_000_000), "must be the time of its keyframe"),
    (one("annotations", 1, token="scene-1/car/0"), "annotations row 1: token is scene-1/car/0, must be unique"),
    (one("annotations", 1, visibility=80), "annotations row 1: visibility is 80.*, must be a level from 1 to 4"),
    (one("annotations", 1, velocity_mps=[1.0, 2.0]), "velocity_mps is 2, must be three numbers, or null"),
    (one("annotations", 1, num_lidar_pts=-1), "num_lidar_pts is -1, must be a number of points"),
    (one("images", 1, distortion=[0.1, 0.2]), "images row 1: distortion is .0.1, 0.2., must be k1, k2, p1, p2 and k3"),
    (one("sweeps", 1, point_columns=2), "sweeps row 1: point_columns is 2.*, must be at least 3, x, y and z, or null"),
    (one("annotations", 1, evaluated=None), "annotations row 1: evaluated is null, must be a bool"),
    (one("sweeps", 1, point_times=None), "sweeps row 1: point_times is null, must be a bool"),
    (lambda row: row["tracks"].append(row["tracks"][0]), "tracks row 1: instance_token is car, must be unique"),
    (one("tracks", 0, class_name=""), "tracks row 0: class_name is , must be a name, or null"),
    (one("tracks", 0, category=""), "tracks row 0: category is , must be a name"),
    (one("tracks", 0, annotations=[]), "tracks row 0: annotations is 0, must be more than none"),
    (lambda row: row.update(keyframes=[]), "scene scene-1 has no keyframe"),
    (lambda row: row.update(scene_token=""), "scene scene-1: scene_token is empty"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES, ids=[sentence for _, sentence in DAMAGES])
def test_each_rule_names_what_it_found_and_what_it_should_be(tmp_path, damage, sentence):
    row = scene()
    damage(row)
    path = write(tmp_path / "i.parquet", row)
    with pytest.raises(UserError, match=sentence) as caught:
        validate_index(path)
    assert "scene-1" in str(caught.value) and "i.parquet" in str(caught.value)


def test_single_faults_of_a_recording_are_left_to_mining(tmp_path):
    row = scene()
    for damage in (
        one("annotations", 0, size_lwh_m=[0.0, 1, 1]),
        one("sweeps", 0, ego_SE3_sensor=flat(31.0), point_times=False),
        one("annotations", 1, rotation_wxyz=[0.0, 0, 0, 0]),
        one("annotations", 2, translation=[float("nan")] * 3),
        one("sweeps", 1, global_SE3_sensor=NAN_POSE),
        one("images", 1, timestamp_us=0),
        one("images", 2, width_px=0),
        one("annotations", 1, num_lidar_pts=None),
    ):
        damage(row)
    assert validate_index(write(tmp_path / "i.parquet", row)) == 1


def test_tokens_and_scenes_are_unique_over_all_scenes(tmp_path):
    assert "holds scene scene-1 twice" in complaint(write(tmp_path / "i.parquet", scene(), scene()))
    other = scene("scene-2")
    other["tracks"][0]["annotations"][0]["token"] = "scene-1/car/2"
    assert "is also in scene scene-1" in complaint(write(tmp_path / "i.parquet", scene(), other))


def test_files_are_looked_for_under_the_root(tmp_path):
    path = write(tmp_path / "i.parquet", scene())
    for name in ("LIDAR/scene-1-0.pcd", "CAMERA/scene-1-0.jpg"):
        assert f"path is {name}, must be a file under {tmp_path}" in complaint(path, tmp_path)
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert validate_index(path, tmp_path) == 1


def test_another_schema_and_nothing_at_all_are_named(tmp_path):
    path = tmp_path / "i.parquet"
    assert "i.parquet is missing" in complaint(path)
    assert "holds no scene" in complaint(write(path))
    table = storage.table_of([scene()], schemas.INDEX)
    pq.write_table(table.drop_columns(["tracks"]), path)
    assert "has no column tracks: give it one of type list<" in complaint(path)
    pq.write_table(table.set_column(2, "scene", pa.array([7])), path)
    assert "column scene is int64, must be string" in complaint(path)
    both = storage.table_of([scene(), scene("scene-2")], schemas.INDEX)
    pq.write_table(both, path)
    assert "holds 2 scenes in row group 0: write a row group per scene" in complaint(path)


def test_the_command_says_what_is_wrong_and_what_is_not(tmp_path, capsys):
    path = write(tmp_path / "i.parquet", scene())
    assert main(["validate-index", str(path)]) == 0
    assert "1 scenes, nothing wrong" in capsys.readouterr().out
    assert main(["validate-index", str(path), "--root", str(tmp_path)]) == 1
    assert "blendclip validate-index: " in capsys.readouterr().err


def test_a_real_column_of_numbers_is_shown_short(tmp_path):
    row = scene()
    each("annotations", size_lwh_m=[-np.pi, 1, 1])(row)
    assert "size_lwh_m is [-3.1416, 1.0, 1.0]" in complaint(write(tmp_path / "i.parquet", row))
