import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
