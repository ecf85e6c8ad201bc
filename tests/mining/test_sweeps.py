"""Sweep files: what is read, and what is said about those that are broken."""

import os
import re
import socket

import numpy as np
import pypcd4
import pytest
from pypcd4 import Encoding

from blendclip.errors import DataFault
from blendclip.mining.sweeps import read_sweep

NOW_US = 1_700_000_000_000_000
N = 1000
RNG = np.random.default_rng(3)
COLUMNS = {
    "x": RNG.uniform(-50, 50, N).astype(np.float32),
    "y": RNG.uniform(-50, 50, N).astype(np.float32),
    "z": RNG.normal(size=N).astype(np.float32),
    "intensity": RNG.integers(0, 256, N).astype(np.float32),
    "timestamp": (NOW_US + np.linspace(-50_000, 50_000, N)).astype(np.uint64),
}


def save(path, columns, encoding=Encoding.BINARY_COMPRESSED):
    types = [column.dtype for column in columns.values()]
    pypcd4.PointCloud.from_points(list(columns.values()), tuple(columns), types).save(path, encoding=encoding)
    return path


def read(path, point_times=True):
    return read_sweep(path, NOW_US, point_times=point_times)


def fault(path, point_times=True):
    with pytest.raises(DataFault) as caught:
        read(path, point_times)
    return str(caught.value)


@pytest.mark.parametrize("encoding", [Encoding.BINARY, Encoding.BINARY_COMPRESSED])
def test_a_pcd_is_read_as_pypcd4_reads_it(tmp_path, encoding):
    path = save(tmp_path / "sweep.pcd", COLUMNS, encoding)
    expected = pypcd4.PointCloud.from_path(path).pc_data
    sweep = read(path)
    assert sweep.points.dtype == np.float32 and sweep.points.flags.c_contiguous
    assert sweep.timestamp_us.dtype == np.int64
    for number, name in enumerate(("x", "y", "z", "intensity")):
        np.testing.assert_array_equal(sweep.points[:, number], expected[name])
    np.testing.assert_array_equal(sweep.timestamp_us, expected["timestamp"])
    assert read(path, point_times=False).timestamp_us is None


@pytest.mark.parametrize("encoding", [Encoding.BINARY, Encoding.BINARY_COMPRESSED])
@pytest.mark.parametrize("time_type", [np.uint64, np.int64, np.float64])
def test_order_and_types_of_fields_are_the_writers(tmp_path, encoding, time_type):
    columns = {
        "timestamp": COLUMNS["timestamp"].astype(time_type),
        "ring": np.zeros(N, np.uint16),
        "intensity": COLUMNS["intensity"].astype(np.uint8),
        **{name: COLUMNS[name].astype(np.float64) for name in "zyx"},
    }
    sweep = read(save(tmp_path / "sweep.pcd", columns, encoding))
    plain = read(save(tmp_path / "plain.pcd", COLUMNS))
    np.testing.assert_array_equal(sweep.points, plain.points)
    np.testing.assert_array_equal(sweep.timestamp_us, plain.timestamp_us)


def test_padding_comments_and_fields_of_several_values_are_passed_over(tmp_path):
    point = np.dtype("<f4,<f4,<f4,<u4,<f4,(3,)<f4,<u1,<u1")
    data = np.zeros(2, point)
    data["f0"], data["f4"] = [1, 2], [7, 8]
    header = (
        "# .PCD v0.7\n\nVERSION 0.7\nFIELDS x y z _ intensity normal _ _\nSIZE 4 4 4 4 4 4 1 1\nTYPE F F F U F F U U\n"
        "COUNT 1 1 1 1 1 3 1 1\nWIDTH 2\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 2\nDATA binary\n"
    )
    (tmp_path / "sweep.pcd").write_bytes(header.encode() + data.tobytes())
    assert read(tmp_path / "sweep.pcd", point_times=False).points.tolist() == [[1, 0, 0, 7], [2, 0, 0, 8]]


def test_a_nuscenes_sweep_keeps_its_five_columns(tmp_path):
    points = RNG.normal(size=(7, 5)).astype(np.float32)
    points.tofile(tmp_path / "sweep.pcd.bin")
    np.testing.assert_array_equal(read(tmp_path / "sweep.pcd.bin", point_times=False).points, points)
    assert "its points have no times, which its format promises" in fault(tmp_path / "sweep.pcd.bin")


def test_three_columns_have_no_intensity(tmp_path):
    points = np.column_stack([COLUMNS[name] for name in "xyz"])
    points.tofile(tmp_path / "sweep.bin")
    found = read_sweep(tmp_path / "sweep.bin", NOW_US, point_times=False, columns=3).points
    np.testing.assert_array_equal(found[:, :3], points)
    assert np.isnan(found[:, 3]).all()


def raw(path, *more):
    """A raw sweep of x, y, z and further columns."""
    np.column_stack([COLUMNS["x"], COLUMNS["y"], COLUMNS["z"], *more]).astype(np.float32).tofile(path)
    return path


def test_a_torn_raw_sweep_is_cut_off_whatever_divides_its_size(tmp_path):
    path = raw(tmp_path / "sweep.pcd.bin", COLUMNS["intensity"], np.arange(N) % 32)
    for size in (20 * N - 4, 20 * N - 16, 20 * N - 24, 12 * 1601, 28 * 501):
        assert (
            fault(cut(path, size), False)
            == f"{size} bytes are no whole number of points of 20 bytes: the file is cut off"
        )


@pytest.mark.parametrize("columns", [3, 4, 6, 7])
def test_another_number_of_columns_is_named_whether_or_not_it_divides_the_size(tmp_path, columns):
    more = [COLUMNS["intensity"], np.arange(N) % 32, np.linspace(0, 0.1, N), np.zeros(N)][: columns - 3]
    for points in (N, N - 1):
        path = cut(raw(tmp_path / "sweep.pcd.bin", *more), 4 * columns * points)
        assert fault(path, False).startswith(
            f"it seems to have {columns} float32 a point, not 5: set `lidar_columns` of"
        )


def test_negative_intensities_are_no_wrong_number_of_columns(tmp_path):
    path = raw(tmp_path / "sweep.bin", COLUMNS["intensity"] - 128, np.arange(N) % 32)
    assert read(path, point_times=False).points.shape == (N, 5)


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])
    return path


@pytest.mark.parametrize("name", ["sweep.bin", "sweep.pcd"])
def test_pipes_sockets_and_devices_are_faults_and_not_waited_for(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    assert fault(path, False) == "cannot be read: it is a named pipe, not a file"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert fault(path, False) == "cannot be read: it is a socket, not a file"
    path.unlink()
    path.symlink_to("/dev/zero")
    assert fault(path, False) == "cannot be read: it is a device, not a file"


@pytest.mark.parametrize("encoding", [Encoding.BINARY, Encoding.BINARY_COMPRESSED])
def test_torn_files_are_faults_wherever_they_end(tmp_path, encoding):
    size = save(tmp_path / "whole.pcd", COLUMNS, encoding).stat().st_size
    header = (tmp_path / "whole.pcd").read_bytes().index(b"DATA") + len(f"DATA {encoding.value}\n")
    for end in (0, 10, header // 2, header, header + 3, header + 8, size // 2, size - 1):
        path = cut(save(tmp_path / "torn.pcd", COLUMNS, encoding), end)
        reason = fault(path)
        assert re.search("no .*PCD file: its header|cut off|compressed block says 0", reason), (end, reason)


def test_each_broken_pcd_gets_its_reason(tmp_path):
    path = tmp_path / "sweep.pcd"
    assert fault(path) == "no such file"
    save(path, {name: column[:0] for name, column in COLUMNS.items()}, Encoding.BINARY)
    assert fault(path) == "it has no points"
    save(path, COLUMNS, Encoding.ASCII)
    assert fault(path) == "its DATA is ascii: convert it to binary or binary_compressed"
    save(path, {name: COLUMNS[name] for name in ("x", "y", "timestamp")})
    assert fault(path) == "it has no field z, intensity, only x, y, timestamp"
    save(path, {name: column for name, column in COLUMNS.items() if name != "timestamp"})
    assert "its points have no times" in fault(path)
    save(path, COLUMNS)
    path.write_bytes(path.read_bytes().replace(b"SIZE 4", b"SIZE 3"))
    assert "its header makes no sense (data type '<f3' not understood)" in fault(path)
    save(path, COLUMNS)
    data = path.read_bytes()
    path.write_bytes(data[:-2000] + b"\xff" * 2000)
    assert "decompressed" in fault(path) or "does not hold" in fault(path)
    path.write_bytes(data.replace(b"POINTS 1000", b"POINTS 1001"))
    assert fault(path) == "its 1001 points take 24024 bytes, its compressed block says 24000"
    path.write_bytes(b"\xff\xd8\xff" * 1000)
    assert "no PCD file: its header has no FIELDS" in fault(path)
    (tmp_path / "sweep.las").write_bytes(b"")
    assert fault(tmp_path / "sweep.las") == ".las is no kind of sweep: use .bin, .pcd or .feather"


def test_mostly_nan_is_a_fault_and_a_few_are_not(tmp_path):
    x = COLUMNS["x"].copy()
    x[:400] = np.nan
    sweep = read(save(tmp_path / "few.pcd", COLUMNS | {"x": x}))
    assert np.isnan(sweep.points[:, 0]).sum() == 400
    x[:] = np.nan
    assert fault(save(tmp_path / "all.pcd", COLUMNS | {"x": x})) == "100% of its points are not finite"


@pytest.mark.parametrize(
    ("times", "guess"),
    [
        (COLUMNS["timestamp"] * 1000, "they seem to be nanoseconds, and must be microseconds since 1970"),
        (COLUMNS["timestamp"] // 1000, "they seem to be milliseconds"),
        (COLUMNS["timestamp"] * 1e-6, "they seem to be seconds"),
        (np.linspace(0, 0.1, N), "they seem to count from the sweep, and must count from 1970"),
        (COLUMNS["timestamp"] + 10**13, "they seem to come from another clock"),
    ],
    ids=["ns", "ms", "s", "relative", "clock"],
)
def test_times_in_another_unit_are_named(tmp_path, times, guess):
    reason = fault(save(tmp_path / "sweep.pcd", COLUMNS | {"timestamp": times}))
    assert guess in reason and f"over 0.3 s off its {NOW_US} us" in reason


def test_points_with_a_time_far_off_lie_nowhere(tmp_path):
    times = COLUMNS["timestamp"].copy()
    times[:300] = 0
    sweep = read(save(tmp_path / "sweep.pcd", COLUMNS | {"timestamp": times}))
    assert np.isnan(sweep.points[:300, :3]).all() and np.isfinite(sweep.points[300:]).all()
    assert set(sweep.timestamp_us[:300]) == {NOW_US}
    np.testing.assert_array_equal(sweep.timestamp_us[300:], COLUMNS["timestamp"][300:])
