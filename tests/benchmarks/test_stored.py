"""Benchmarks of mined clouds and of CAD objects, from Parquet files made here."""

import pytest

from blendclip import schemas, storage
from blendclip.errors import UserError
from tests.benchmarks.writing import write

POINTS = [[1.0, 2, 3], [4, 5, 6]]


def parts(results, stage, split, schema, rows, per_part=2, **options):
    for part, begin in enumerate(range(0, len(rows), per_part)):
        some = [{name: row.get(name) for name in schema.names} for row in rows[begin : begin + per_part]]
        path = results / stage / split / f"part-{part:05d}.parquet"
        storage.write_parquet(path, schema, [storage.table_of(some, schema)], storage.metadata(stage, options))


def cloud(token, class_name="car", evaluated=True, points=POINTS, rgb=None):
    """A row of clouds; what a benchmark does not need stays null, but for lists of fixed size."""
    return {
        "annotation_token": token,
        "instance_token": token[0],
        "scene": "scene-1",
        "timestamp_us": 7,
        "class_name": class_name,
        "category": class_name,
        "evaluated": evaluated,
        "points": points,
        "num_points": len(points),
        "rgb": rgb,
        "distance_m": 12.5,
        "visibility": 3,
        "translation": [0.0] * 3,
        "rotation_wxyz": [1.0, 0, 0, 0],
        "size_lwh_m": [1.0] * 3,
        "crop_xyxy_px": [0.0] * 4,
    }


def test_mined_clouds_that_are_evaluated(tmp_path):
    rows = [
        cloud("a1", rgb=[[1, 2, 3], None]),
        cloud("a2", evaluated=False),
        cloud("b1", "truck"),
        cloud("b2", points=[]),
        cloud("c1", None),
        cloud("c2", "barrier", rgb=[None, None]),
    ]
    parts(tmp_path, "clouds", "city/mini_val", schemas.CLOUDS, rows)
    found, options = write(
        tmp_path / "out.parquet", "mined", ["barrier", "car"], results=tmp_path, split="city/mini_val"
    )
    assert [row["cloud_id"] for row in found] == ["a1", "c2"]
    assert options["left_out"] == {"class truck": 1, "no class": 1, "no points": 1, "not evaluated": 1}
    assert options["in_metres"] is True
    assert found[0] == {
        "cloud_id": "a1",
        "instance_token": "a",
        "scene": "scene-1",
        "class_name": "car",
        "label": 1,
        "points": POINTS,
        "rgb": [[1, 2, 3], [102, 102, 102]],
        "num_points": 2,
        "timestamp_us": 7,
        "distance_m": 12.5,
        "visibility": 3,
    }
    assert found[1]["rgb"] == [[102, 102, 102]] * 2


def test_mined_clouds_by_category_whatever_the_official_evaluation_counts(tmp_path):
    rows = [
        cloud("a1") | {"category": "vehicle.car"},
        cloud("b1", None, evaluated=False) | {"category": "vehicle.emergency.police"},
        cloud("c1", evaluated=False) | {"category": "vehicle.car"},
        cloud("d1", None, evaluated=False, points=[]) | {"category": "animal"},
        cloud("e1", None, evaluated=False) | {"category": "animal"},
    ]
    parts(tmp_path, "clouds", "city/mini_val", schemas.CLOUDS, rows)
    categories = ["vehicle.car", "vehicle.emergency.police"]
    given = {"results": tmp_path, "split": "city/mini_val", "by": "category"}
    found, options = write(tmp_path / "out.parquet", "mined", categories, **given)
    assert [(row["cloud_id"], row["class_name"], row["label"]) for row in found] == [
        ("a1", "vehicle.car", 0),
        ("b1", "vehicle.emergency.police", 1),
        ("c1", "vehicle.car", 0),
    ]
    assert options["left_out"] == {"class animal": 1, "no points": 1}
    assert options["options"] == {"split": "city/mini_val", "by": "category"}


def test_names_of_mined_classes_are_exact(tmp_path):
    parts(tmp_path, "clouds", "city/mini_val", schemas.CLOUDS, [cloud("a1", "traffic_cone")])
    with pytest.raises(UserError, match=r"no cloud of the classes traffic cone.*1 for class traffic_cone"):
        write(tmp_path / "out.parquet", "mined", ["traffic cone"], results=tmp_path, split="city/mini_val")
    assert not (tmp_path / "out.parquet").exists()


def test_no_files(tmp_path):
    with pytest.raises(UserError, match="holds no part-"):
        write(tmp_path / "out.parquet", "mined", ["car"], results=tmp_path, split="city/mini_val")
    with pytest.raises(UserError, match='`split` is "city": it must be dataset/split'):
        write(tmp_path / "out.parquet", "cad", ["car"], results=tmp_path, split="city")


def test_nothing_is_evaluated(tmp_path):
    parts(tmp_path, "clouds", "a/test", schemas.CLOUDS, [cloud("a1", evaluated=False)])
    with pytest.raises(UserError, match="1 for not evaluated"):
        write(tmp_path / "out.parquet", "mined", ["car"], results=tmp_path, split="a/test")


def test_broken_file(tmp_path):
    (tmp_path / "clouds" / "a" / "b").mkdir(parents=True)
    (tmp_path / "clouds" / "a" / "b" / "part-00000.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match="not a readable Parquet"):
        write(tmp_path / "out.parquet", "mined", ["car"], results=tmp_path, split="a/b")


def test_cad_objects_once_each(tmp_path):
    rows = [cloud("a1", "chair"), cloud("a2", "chair"), cloud("b1", "mug", rgb=[[9, 9, 9]] * 2), cloud("c1", "sofa")]
    rows = [row | {"triplet_id": f"shapes/{row['annotation_token']}", "evaluated": False} for row in rows]
    parts(tmp_path, "triplets", "shapes/test", schemas.TRIPLETS, rows, per_part=1)
    found, options = write(tmp_path / "out.parquet", "cad", ["chair", "mug"], results=tmp_path, split="shapes/test")
    assert [(row["cloud_id"], row["instance_token"], row["label"]) for row in found] == [
        ("shapes/a1", "a", 0),
        ("shapes/b1", "b", 1),
    ]
    assert options["left_out"] == {"class sofa": 1, "further cloud of an object": 1}
    unknown = ("scene", "timestamp_us", "distance_m", "visibility")
    assert all(row[name] is None for row in found for name in unknown)
    assert found[0]["rgb"] is None and found[1]["rgb"] == [[9, 9, 9]] * 2


@pytest.mark.parametrize(("options", "in_metres"), [({"unit_m": 0.01}, True), ({"unit_m": None}, False), ({}, False)])
def test_cad_objects_are_in_metres_where_their_unit_is_known(tmp_path, options, in_metres):
    rows = [cloud("a1", "chair") | {"triplet_id": "shapes/a1", "evaluated": False}]
    parts(tmp_path, "triplets", "shapes/test", schemas.TRIPLETS, rows, **options)
    _, about = write(tmp_path / "out.parquet", "cad", ["chair"], results=tmp_path, split="shapes/test")
    assert about["in_metres"] is in_metres


def test_a_slice_of_a_column_keeps_its_clouds(tmp_path):
    """More rows than are read at once, of unequal lengths: each keeps its own points."""
    rows = [cloud(f"{number:03d}", points=[[float(number)] * 3] * (number % 3 + 1)) for number in range(150)]
    rows = [row | {"instance_token": row["annotation_token"]} for row in rows]
    parts(tmp_path, "clouds", "a/b", schemas.CLOUDS, rows, per_part=150)
    found, _ = write(tmp_path / "out.parquet", "mined", ["car"], results=tmp_path, split="a/b")
    assert [row["points"] for row in found] == [row["points"] for row in rows]
