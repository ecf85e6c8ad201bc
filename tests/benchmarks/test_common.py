"""What holds for benchmarks of any format, on tables of our own."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blendclip import storage
from blendclip.cli.main import main
from blendclip.datasets.formats import formats_of
from blendclip.errors import UserError
from tests.benchmarks.writing import CLASSES, options_of, write

SQUARE = [[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]


def table(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_labels_are_places_in_the_list_of_classes(tmp_path):
    path = table(tmp_path / "in.parquet", points=[SQUARE] * 3, class_name=["Traffic Cone", "car", "bus"])
    rows, options = write(tmp_path / "out.parquet", "table", ["bus", "truck", "traffic_cone", "car"], path=path)
    assert [(row["class_name"], row["label"]) for row in rows] == [("traffic_cone", 2), ("car", 3), ("bus", 0)]
    assert options["classes"] == ["bus", "truck", "traffic_cone", "car"] and options["left_out"] == {}
    assert (options["benchmark"], options["format"], options["options"]) == (
        "made",
        "table",
        {"up": "z", "unit_m": 1.0},
    )
    assert [row["instance_token"] for row in rows] == [row["cloud_id"] for row in rows]


def test_points_that_are_not_finite_are_dropped_with_their_colours(tmp_path):
    broken = [[0.0, 0, 0], [np.nan, 0, 0], [1, np.inf, 0], [0, 1, 0]]
    rgb = [[number] * 3 for number in range(4)]
    path = table(
        tmp_path / "in.parquet", points=[broken, [[np.nan] * 3]], rgb=[rgb, [[9] * 3]], class_name=["car", "car"]
    )
    (row,), options = write(tmp_path / "out.parquet", "table", ["car"], path=path)
    assert row["points"] == [[0, 0, 0], [0, 1, 0]] and row["rgb"] == [[0] * 3, [3] * 3] and row["num_points"] == 2
    assert options["left_out"] == {"no finite point": 1}


def test_row_groups_stay_small(tmp_path):
    cloud = np.zeros((100_000, 3)).tolist()
    path = table(tmp_path / "in.parquet", points=[cloud] * 9, class_name=["car"] * 9)
    rows, _ = write(tmp_path / "out.parquet", "table", ["car"], path=path)
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [7, 2]
    assert [row["cloud_id"] for row in rows] == [f"row {number}" for number in range(1, 10)]


def test_same_input_same_bytes(tmp_path):
    path = table(tmp_path / "in.parquet", points=[SQUARE] * 3, class_name=["car"] * 3)
    for name in ("a", "b"):
        write(tmp_path / name / "out.parquet", "table", ["car"], path=path)
    assert (tmp_path / "a" / "out.parquet").read_bytes() == (tmp_path / "b" / "out.parquet").read_bytes()


def test_ids_are_unique(tmp_path):
    path = table(tmp_path / "in.parquet", points=[SQUARE] * 2, class_name=["car"] * 2, cloud_id=["a", "a"])
    with pytest.raises(UserError, match="two clouds 'a'"):
        write(tmp_path / "out.parquet", "table", ["car"], path=path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.parquet"]


def test_classes_that_spelling_alone_tells_apart(tmp_path):
    path = table(tmp_path / "in.parquet", points=[SQUARE] * 2, class_name=["night stand", "night_stand"])
    with pytest.raises(UserError, match="'night stand' and 'night_stand', which are one"):
        write(tmp_path / "out.parquet", "table", ["night_stand"], path=path)
    path = table(tmp_path / "in.parquet", points=[SQUARE], class_name=["night stand"])
    with pytest.raises(UserError, match="which are one"):
        write(tmp_path / "out.parquet", "table", ["night_stand", "Night stand"], path=path)


@pytest.mark.parametrize(
    "format, given, message",
    [
        ("mined", {"results": "r", "split": "a/b", "up": "y"}, "`up` is no option"),
        ("modelnet40", {"path": "p", "variant": "obj_bg"}, "`variant` is no option"),
        ("table", {}, "`path` is missing"),
        ("cad", {"results": "r"}, "`split` is missing"),
        ("shapenet", {}, "'shapenet', which is no format"),
    ],
)
def test_options_that_do_not_fit(format, given, message):
    with pytest.raises(UserError, match=message):
        options_of(format, given)


def test_command(tmp_path, capsys):
    path = table(tmp_path / "in.parquet", points=[SQUARE], class_name=["chair"])
    given = ["--name=mine", "--format=table", f"--classes={CLASSES / 'shapes.yaml'}"]
    assert main(["benchmark", *given, f"--path={path}", "--up=x", f"--output={tmp_path / 'out.parquet'}"]) == 0
    assert storage.options_of(tmp_path / "out.parquet")["benchmark"] == "mine"
    assert main(["benchmark", *given, f"--path={tmp_path / 'no.csv'}", f"--output={tmp_path / 'no'}"]) == 1
    assert "there is no file" in capsys.readouterr().err
    assert {one.name for one in formats_of("benchmark")} == {
        "mined",
        "cad",
        "modelnet40",
        "scanobjectnn",
        "objaverse_lvis",
        "table",
    }
