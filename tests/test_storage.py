import errno
import os
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blendclip import storage
from blendclip.errors import UserError
from blendclip.storage import open_parquet, row_groups_with


def write(path, groups, **options):
    with pq.ParquetWriter(path, pa.schema([("number", pa.int64()), ("scene", pa.string())]), **options) as writer:
        for scenes in groups:
            writer.write_table(pa.table({"number": pa.array([0] * len(scenes)), "scene": pa.array(scenes)}))
    return open_parquet(path)


def test_row_groups_that_cannot_hold_a_text_are_left_out(tmp_path):
    file = write(tmp_path / "a.parquet", [["a", "a"], ["b", "d"], ["c"], ["e"]])
    assert row_groups_with(file, "scene", "a") == [0]
    assert row_groups_with(file, "scene", "c") == [1, 2]
    assert row_groups_with(file, "scene", "x") == []
    assert file.read_row_groups([]).num_rows == 0


def test_without_statistics_any_row_group_may_hold_it(tmp_path):
    file = write(tmp_path / "a.parquet", [["a"], ["b"]], write_statistics=False)
    assert row_groups_with(file, "scene", "b") == [0, 1]


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    with pytest.raises(UserError, match="is missing: run the stage"):
        open_parquet(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(UserError, match="text.parquet is not a readable Parquet file"):
        open_parquet(tmp_path / "text.parquet")


ROWS = pa.table(
    {
        "name": [f"row {number % 7}" for number in range(2000)],
        "points": np.random.default_rng(0).normal(size=2000),
        "views": [None if number % 3 else list(range(number % 5)) for number in range(2000)],
    }
)
READERS = {
    "read": lambda file: file.read(),
    "read_row_group": lambda file: [file.read_row_group(number) for number in range(file.num_row_groups)],
    "read_row_groups": lambda file: file.read_row_groups(list(range(file.num_row_groups))),
    "iter_batches": lambda file: list(file.iter_batches(100)),
}


def flipped(path, seed, first=0, last=None):
    """Flip one bit of a file, between two places in it; returns where it was."""
    content = bytearray(path.read_bytes())
    rng = random.Random(seed)
    place = rng.randrange(first, last or len(content))
    content[place] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return place


@pytest.fixture
def written(tmp_path):
    def write_again():
        path = tmp_path / "rows.parquet"
        storage.write_parquet(path, ROWS.schema, [ROWS.slice(0, 1500), ROWS.slice(1500)], {})
        return path

    return write_again


@pytest.mark.parametrize("reader", READERS)
def test_a_flipped_bit_in_the_pages_of_parquet_is_told(written, reader):
    footer = int.from_bytes(written().read_bytes()[-8:-4], "little") + 8
    for seed in range(60):
        path = written()
        flipped(path, seed, 4, path.stat().st_size - footer)
        try:
            found = READERS[reader](open_parquet(path))
        except UserError as error:
            assert str(error).startswith(f"{path} is not a readable Parquet file (")
            assert str(error).endswith("): delete it and run its stage again")
        else:  # in what no value depends on, such as statistics of a page
            good = READERS[reader](open_parquet(written()))
            assert all(rows.equals(wanted) for rows, wanted in zip(found, good, strict=True))


def test_a_flipped_bit_in_an_arrow_file_is_told(tmp_path):
    path, wrong = tmp_path / "rows.arrow", 0
    for seed in range(80):
        with storage.arrow_writer(path, ROWS.schema, {}) as write:
            write(ROWS.slice(0, 900))
            write(ROWS.slice(900))
        assert storage.check_arrow(path) == 2000
        flipped(path, seed)
        try:
            storage.check_arrow(path)
        except UserError as error:
            assert str(path) in str(error)
            wrong += 1
        else:
            with pa.memory_map(str(path)) as memory:
                assert pa.ipc.open_file(memory).read_all().equals(ROWS), seed
    assert wrong > 60


def test_arrow_files_without_checksums_are_told(tmp_path):
    path = tmp_path / "old.arrow"
    with pa.ipc.new_file(path, ROWS.schema) as writer:
        writer.write_table(ROWS)
    with pytest.raises(UserError, match="old.arrow was written by an older version, without checksums: delete it"):
        storage.check_arrow(path)


def test_a_file_and_its_folder_are_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    told, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: told.append(str(Path(f"/proc/self/fd/{fd}").readlink())) or fsync(fd))
    monkeypatch.setattr(type(tmp_path), "replace", lambda self, to: told.append(str(to)) or replace(self, to))
    storage.write_parquet(tmp_path / "a.parquet", ROWS.schema, [ROWS], {})
    assert told == [str(tmp_path / name) for name in (".a.parquet.tmp", "a.parquet")] + [str(tmp_path)]


@pytest.mark.parametrize("error", [OSError("163225 requested and 0 written"), OSError(errno.ENOSPC, "No space left")])
def test_what_cannot_be_written_is_named(tmp_path, error):
    with pytest.raises(OSError) as raised, storage.replacing(tmp_path / "a.bin"):
        raise error
    assert raised.value.filename == str(tmp_path / "a.bin")
    assert not list(tmp_path.iterdir())
