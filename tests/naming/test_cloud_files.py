"""Every kind of file, written by hand, gives the points that were written."""

import io
import struct

import laspy
import numpy as np
import pytest

from blendclip.errors import UserError
from blendclip.naming.cloud_files import read_cloud

POINTS = np.array([[1.5, -2.0, 0.25], [3.0, 4.0, -5.0], [0.0, 0.5, 7.0]], np.float32)
SHADES = np.array([[255, 0, 51], [0, 102, 0], [153, 204, 255]])
INTENSITY = np.array([9, 200, 31], np.float32)


def pcd(fields, sizes, kinds, data, body):
    names = (f"{key} {value}\n" for key, value in [("FIELDS", fields), ("SIZE", sizes), ("TYPE", kinds)])
    return ("VERSION .7\n" + "".join(names) + f"WIDTH 3\nHEIGHT 1\nPOINTS 3\nDATA {data}\n").encode() + body


def packed_floats():
    """Colors in the bits of a float, as PCL has them."""
    return [struct.unpack("<f", struct.pack("<I", r << 16 | g << 8 | b))[0] for r, g, b in SHADES.tolist()]


def ply(format, properties, body):
    lines = [
        "ply",
        f"format {format} 1.0",
        "element vertex 3",
        *(f"property {one}" for one in properties),
        "end_header",
    ]
    return "\n".join(lines).encode() + b"\n" + body


def npy(shape, body=b""):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue() + body


COLORED = ["float x", "float y", "float z", "uchar red", "uchar green", "uchar blue"]
ROWS = [(*p, *s) for p, s in zip(POINTS.tolist(), SHADES.tolist(), strict=True)]
FILES = {
    "plain.pcd": (pcd("x y z", "4 4 4", "F F F", "binary", POINTS.tobytes()), POINTS),
    "intensity.pcd": (
        pcd("intensity x y z", "4 4 4 4", "F F F F", "binary", np.column_stack([INTENSITY, POINTS]).tobytes()),
        np.column_stack([POINTS, INTENSITY]),
    ),
    "colored.pcd": (
        pcd(
            *("x y z rgb", "4 4 4 4", "F F F F", "binary"),
            b"".join(struct.pack("<4f", *p, c) for p, c in zip(POINTS.tolist(), packed_floats(), strict=True)),
        ),
        np.column_stack([POINTS, SHADES / 255]),
    ),
    "ascii.pcd": (
        pcd("x y z", "4 4 4", "F F F", "ascii", "\n".join(" ".join(map(str, p)) for p in POINTS.tolist()).encode()),
        POINTS,
    ),
    "ascii.ply": (ply("ascii", COLORED, "\n".join(" ".join(map(str, row)) for row in ROWS).encode() + b"\n"), "colors"),
    "little.ply": (
        ply("binary_little_endian", COLORED, b"".join(struct.pack("<3f3B", *row) for row in ROWS)),
        "colors",
    ),
    "big.ply": (ply("binary_big_endian", COLORED, b"".join(struct.pack(">3f3B", *row) for row in ROWS)), "colors"),
    "double.ply": (
        ply(
            "binary_little_endian",
            ["double x", "double y", "double z", "float intensity"],
            b"".join(struct.pack("<3df", *p, i) for p, i in zip(POINTS.tolist(), INTENSITY.tolist(), strict=True)),
        ),
        np.column_stack([POINTS, INTENSITY]),
    ),
    "sweep.pcd.bin": (np.column_stack([POINTS, INTENSITY, [0, 1, 2]]).astype("<f4").tobytes(), "five"),
    "kitti.bin": (np.column_stack([POINTS, INTENSITY]).astype("<f4").tobytes(), np.column_stack([POINTS, INTENSITY])),
}


@pytest.mark.parametrize("name", FILES)
def test_points_colors_and_intensities_are_those_of_the_file(tmp_path, name):
    content, expected = FILES[name]
    if isinstance(expected, str):
        expected = {
            "colors": np.column_stack([POINTS, SHADES / 255]),
            "five": np.column_stack([POINTS, INTENSITY, [0, 1, 2]]),
        }[expected]
    (tmp_path / name).write_bytes(content)
    found = read_cloud(tmp_path / name)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_arrays_of_numpy_keep_their_columns_and_precision(tmp_path):
    np.save(tmp_path / "a.npy", np.column_stack([POINTS, INTENSITY]).astype(np.float64))
    assert read_cloud(str(tmp_path / "a.npy")).dtype == np.float64
    np.savez(tmp_path / "only.npz", anything=POINTS)
    np.savez_compressed(tmp_path / "two.npz", labels=np.zeros(3), points=POINTS)
    for name in ("only.npz", "two.npz"):
        assert np.array_equal(read_cloud(tmp_path / name), POINTS)


@pytest.mark.parametrize(("kind", "expected"), [(0, INTENSITY[:, None]), (2, SHADES / 255)])
def test_las_keeps_coordinates_of_the_globe(tmp_path, kind, expected):
    header = laspy.LasHeader(point_format=kind, version="1.2")
    header.offsets, header.scales = [500_000, 5_400_000, 0], [0.001] * 3
    file = laspy.LasData(header)
    file.x, file.y, file.z = (POINTS.astype(np.float64) + [500_000, 5_400_000, 100]).T
    file.intensity = INTENSITY.astype(np.uint16)
    if kind == 2:
        file.red, file.green, file.blue = (SHADES * 257).astype(np.uint16).T
    file.write(tmp_path / "tile.las")
    found = read_cloud(tmp_path / "tile.las")
    np.testing.assert_allclose(found[:, :3] - [500_000, 5_400_000, 100], POINTS, atol=1e-3)
    np.testing.assert_allclose(found[:, 3:], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("cut.pcd.bin", b"\0" * 30, "no readable .pcd.bin file .30 bytes are no whole number of points of 5 float32"),
        ("empty.bin", b"", "no readable .bin file"),
        ("text.npy", b"hello", "no readable .npy file"),
        ("text.npz", b"hello", "no readable .npz file"),
        ("text.pcd", b"hello", "no readable .pcd file .no PCD file"),
        ("text.ply", b"hello", "no readable .ply file"),
        ("text.las", b"hello", "no readable .las file"),
        ("cut.pcd", pcd("x y z", "4 4 4", "F F F", "binary", POINTS.tobytes()[:-4]), "cut off"),
        ("ascii.pcd", pcd("x y z", "4 4 4", "F F F", "ascii", b"1 2\n"), "no readable .pcd file"),
        ("cut.pcd", pcd("x y z", "4 4 4", "F F F", "ascii", b"1 2 3\n4 5 6\n"), "announces 3 points, 2 are there"),
        ("cut.ply", ply("ascii", COLORED, b"1 2 3 4 5 6\n1 2 3 4 5 6\n"), "3 vertex elements and has 2"),
        ("cut.ply", ply("ascii", COLORED, b"1 2 3 4 5 6\n1 2 3 4 5 6\n1 2 3 4\n"), "its line 1 2 3 4 is incomplete"),
        ("cut.ply", ply("binary_little_endian", COLORED, bytes(30)), "no readable .ply file .ValueError"),
        ("cut.npz", b"PK\x03\x04 no zip", "no readable .npz file .BadZipFile"),
        ("huge.npy", npy((10**15, 3)), "no readable .npy file"),
        ("cut.npy", npy((3, 3), POINTS.tobytes()[:-1]), "no readable .npy file"),
        ("flat.pcd", pcd("x y", "4 4", "F F", "binary", POINTS[:, :2].tobytes()), "it has no field z"),
        ("object.obj", b"v 1 2 3", "of no kind that holds clouds: write it as one of .pcd.bin, .npy"),
    ],
)
def test_a_file_that_holds_no_cloud_is_told_in_one_sentence(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=sentence) as raised:
        read_cloud(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_arrays_that_are_no_clouds_are_told(tmp_path):
    np.save(tmp_path / "flat.npy", POINTS[:, :2])
    np.save(tmp_path / "whole.npy", POINTS.astype(int))
    np.savez(tmp_path / "many.npz", a=POINTS, b=POINTS)
    with pytest.raises(UserError, match=r"flat.npy has shape \(3, 2\)"):
        read_cloud(tmp_path / "flat.npy")
    with pytest.raises(UserError, match="whole.npy has numbers of type int64"):
        read_cloud(tmp_path / "whole.npy")
    with pytest.raises(UserError, match="holds the arrays a, b, none of them named points"):
        read_cloud(tmp_path / "many.npz")


@pytest.mark.parametrize("missing", [1, 20, 34, 68, 90])
def test_las_that_is_cut_anywhere_is_told(tmp_path, missing):
    file = laspy.create(point_format=3)
    file.x, file.y, file.z = POINTS.T.astype(np.float64)
    file.write(tmp_path / "cut.las")
    content = (tmp_path / "cut.las").read_bytes()
    (tmp_path / "cut.las").write_bytes(content[:-missing])
    with pytest.raises(UserError, match="cut.las is no readable .las file"):
        read_cloud(tmp_path / "cut.las")
