"""Anyone's clouds: a CSV beside files, or one Parquet."""

import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blendclip.errors import UserError
from tests.benchmarks.writing import write

POINTS = np.array([[0.0, 1, 2], [3, 4, 5], [6, 7, 8]], np.float32)


def csv(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "clouds.csv").write_text(text)
    return folder / "clouds.csv"


def ply(path, colours=True):
    colour = "property uchar red\nproperty uchar green\nproperty uchar blue\n" if colours else ""
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    head = f"ply\nformat ascii 1.0\nelement vertex 3\n{axes}{colour}end_header\n"
    rows = [" ".join(map(str, [*row, *([9, 8, 7] if colours else [])])) for row in POINTS.astype(int).tolist()]
    path.write_text(head + "\n".join(rows) + "\n")


def pcd(path):
    head = (
        "VERSION .7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\nWIDTH 3\nHEIGHT 1\nPOINTS 3\n"
    )
    body = b"".join(struct.pack("<4f", *row, 0.5) for row in POINTS)
    path.write_bytes((head + "DATA binary\n").encode() + body)


def run(tmp_path, path, classes=("car", "bus"), **given):
    return write(tmp_path / "out.parquet", "table", list(classes), path=path, **given)


def test_csv_beside_files_of_each_kind(tmp_path):
    path = csv(
        tmp_path / "in",
        "path,class_name,instance_token,scene,distance_m,visibility,timestamp_us\n"
        "a.npy,car,i1,s1,10.5,4,77\nb.ply,bus,i2,,,,\nc.pcd,car,,,,,\nd.npy,car,,,,,\ne.PLY,car,,,,,\n",
    )
    np.save(path.parent / "a.npy", POINTS)
    ply(path.parent / "b.ply")
    pcd(path.parent / "c.pcd")
    np.save(path.parent / "d.npy", np.hstack([POINTS, np.full((3, 3), 200)]))
    ply(path.parent / "e.PLY", colours=False)
    rows, _ = run(tmp_path, path)
    assert [row["cloud_id"] for row in rows] == ["a.npy", "b.ply", "c.pcd", "d.npy", "e.PLY"]
    assert all(row["points"] == POINTS.tolist() for row in rows)
    assert [row["rgb"] for row in rows] == [None, [[9, 8, 7]] * 3, None, [[200] * 3] * 3, None]
    assert [row["instance_token"] for row in rows] == ["i1", "i2", "c.pcd", "d.npy", "e.PLY"]
    about = [[row[name] for name in ("scene", "distance_m", "visibility", "timestamp_us")] for row in rows]
    assert about[:2] == [["s1", 10.5, 4, 77], [None] * 4]


def test_up(tmp_path):
    path = csv(tmp_path / "in", "path,class_name\na.npy,car\n")
    np.save(path.parent / "a.npy", POINTS)
    assert run(tmp_path, path, up="y")[0][0]["points"] == POINTS[:, [2, 0, 1]].tolist()


@pytest.mark.parametrize(("unit_m", "factor"), [(1.0, 1), (0.001, 0.001), (None, 1)])
def test_unit(tmp_path, unit_m, factor):
    path = csv(tmp_path / "in", "path,class_name\na.npy,car\n")
    np.save(path.parent / "a.npy", POINTS)
    rows, options = run(tmp_path, path, unit_m=unit_m)
    np.testing.assert_allclose(rows[0]["points"], POINTS * factor, rtol=1e-6)
    assert options["in_metres"] is (unit_m is not None)


def test_parquet(tmp_path):
    fixed = pa.array([POINTS.tolist(), POINTS[:2].tolist()], pa.list_(pa.list_(pa.float32(), 3)))
    colours = pa.array([[[1, 2, 3]] * 3, None], pa.list_(pa.list_(pa.uint8(), 3)))
    pq.write_table(pa.table({"points": fixed, "rgb": colours, "class_name": ["bus", "car"]}), tmp_path / "in.parquet")
    rows, _ = run(tmp_path, tmp_path / "in.parquet")
    assert [row["points"] for row in rows] == [POINTS.tolist(), POINTS[:2].tolist()]
    assert [row["rgb"] for row in rows] == [[[1, 2, 3]] * 3, None]
    assert [row["cloud_id"] for row in rows] == ["row 1", "row 2"]


def test_a_class_that_is_none_of_the_benchmark(tmp_path):
    path = csv(tmp_path / "in", "path,class_name\na.npy,lorry\n")
    with pytest.raises(UserError, match="has the class lorry"):
        run(tmp_path, path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("path,class_name\na.npy,car\n", "there is no file .*a.npy"),
        ("path,class_name\na.xyz,car\n", "a.xyz is none of .npy, .ply, .pcd"),
        ("path,class_name\n,car\n", "row 1 of .* has no path"),
        ("path,class_name\na.npy,\n", "row 1 of .* has no class_name"),
        ("path,label\na.npy,3\n", "no column class_name"),
        ("path,class_name,name\na.npy,car,x\n", "a column 'name'"),
        ("path,class_name,distance_m\na.npy,car,far\n", "cannot be read"),
        ("path,class_name\n", "no cloud of the classes car, bus"),
    ],
)
def test_wrong_tables(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, csv(tmp_path / "in", text))


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((5, 4)), r"shape \(5, 4\)"),
        (np.zeros((5, 3), complex), "type complex128"),
        (np.hstack([np.zeros((5, 3)), np.full((5, 3), 300)]), "outside of 0 to 255"),
        (np.hstack([np.zeros((5, 3)), np.full((5, 3), 0.5)]), "colours from 0 to 1"),
        (np.array([{}], object), "no .npy file of numbers"),
    ],
)
def test_wrong_points(tmp_path, array, message):
    path = csv(tmp_path / "in", "path,class_name\na.npy,car\n")
    np.save(path.parent / "a.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=message):
        run(tmp_path, path)


def test_broken_files(tmp_path):
    pcd(tmp_path / "whole.pcd")
    cut = (tmp_path / "whole.pcd").read_bytes()[:-20].decode("latin-1")
    for name, content in (("a.ply", "ply\nformat ascii"), ("a.pcd", "VERSION .7\n"), ("b.pcd", cut), ("a.npy", "no")):
        path = csv(tmp_path / "in", f"path,class_name\n{name},car\n")
        (path.parent / name).write_bytes(content.encode("latin-1"))
        with pytest.raises(UserError, match=f"{name} "):
            run(tmp_path, path)
    (tmp_path / "in.parquet").write_text("no")
    with pytest.raises(UserError, match="in.parquet is not a readable Parquet file"):
        run(tmp_path, tmp_path / "in.parquet")
    with pytest.raises(UserError, match="neither .csv nor .parquet"):
        run(tmp_path, tmp_path / "in.json")


def test_one_token_for_two_objects_is_told(tmp_path):
    np.save(tmp_path / "a.npy", POINTS)
    np.save(tmp_path / "b.npy", POINTS)
    rows = "path,class_name,scene,instance_token\na.npy,car,one,1\nb.npy,{},{},1\n"
    with pytest.raises(UserError, match="'1' that is a car in scene one and a bus in scene one"):
        run(tmp_path, csv(tmp_path, rows.format("bus", "one")))
    with pytest.raises(UserError, match="give each object a token of its own"):
        run(tmp_path, csv(tmp_path, rows.format("car", "two")))
    assert len(run(tmp_path, csv(tmp_path, rows.format("car", "one")))[0]) == 2
