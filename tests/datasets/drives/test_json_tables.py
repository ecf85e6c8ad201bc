"""Tables of JSON, piece by piece: what Python's own reader gives, and one sentence on what is wrong."""

import json

import numpy as np
import pytest

from blendclip.datasets.drives import json_tables
from blendclip.datasets.drives.json_tables import RECORD_NUMBER, read_columns
from blendclip.datasets.drives.loading import Table
from blendclip.datasets.drives.records import EgoPose, Sample, SampleData
from blendclip.errors import UserError
from tests.datasets.drives.broken import Drive

ROW = {"token": "a", "timestamp": 1, "scene_token": "s", "next": "b"}


def written(tmp_path, content):
    path = tmp_path / "sample.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("piece", [1, 10, 64, 1 << 24])
@pytest.mark.parametrize("indent", [None, 0, 2])
def test_pieces_of_any_size_give_what_json_gives(tmp_path, monkeypatch, piece, indent):
    monkeypatch.setattr(json_tables, "_PIECE", piece)
    odd = {"token": 'a},{"', "more": [{"token": "x"}, {"token": "y"}], "text": "}, {", "next": None}
    rows = [ROW | {"token": str(number)} | (odd if number % 3 == 0 else {}) for number in range(7)]
    rows[4]["timestamp"] = float("inf")
    found = read_columns(written(tmp_path, json.dumps(rows, indent=indent)), Sample).to_pylist()
    expected = [
        {name: row[name] for name in ROW} | {"is_valid": True, RECORD_NUMBER: number} for number, row in enumerate(rows)
    ]
    assert found == expected


def test_what_is_not_kept_leaves_the_numbers_of_the_rest(tmp_path):
    rows = [ROW | {"timestamp": number} for number in range(6)]
    found = read_columns(written(tmp_path, rows), Sample, lambda row: row.timestamp % 2 == 1)
    assert found[RECORD_NUMBER].to_pylist() == [1, 3, 5] == found["timestamp"].to_pylist()
    assert read_columns(written(tmp_path, []), Sample).num_rows == 0


READING = {"token": "a", "sample_token": "s", "ego_pose_token": "p", "calibrated_sensor_token": "c"} | {
    "filename": "f",
    "timestamp": 1,
    "is_key_frame": True,
}
POSE = {"token": "p", "translation": [1, 2.5, 3], "rotation": [1, 0, 0, 0]}


@pytest.mark.parametrize(
    ("kind", "content", "sentence"),
    [
        (Sample, [ROW, ROW | {"timestamp": "5"}], r"record 1 \(token a\): timestamp is '5', must be a number: mend it"),
        (Sample, [ROW | {"timestamp": None}], "timestamp is None, must be a number"),
        (Sample, [ROW, ROW, {"token": "c"}], r"record 2 \(token c\) has no timestamp, which mining needs"),
        (Sample, [ROW | {"next": 3}], "next is 3, must be text or null"),
        (Sample, [ROW | {"is_valid": 1}], "is_valid is 1, must be true or false"),
        (Sample, [ROW, 3], "record 1 is 3, must be a record of fields"),
        (Sample, [ROW, [1]], r"record 1 is \[1\], must be a record of fields"),
        (Sample, {"a": 1}, "holds a dict, must be a list of records"),
        (Sample, None, "holds a NoneType, must be a list of records"),
        (Sample, "", "is no whole list of JSON records: unpack the dataset again"),
        (Sample, json.dumps([ROW, ROW])[:-9], "is no whole list of JSON records"),
        (Sample, json.dumps([ROW, ROW]) + "]", "is no whole list of JSON records"),
        (
            Sample,
            [ROW, ROW | {"next": "a\ud800"}],
            r"record 1 \(token a\) holds '\\ud800', which is half of a character",
        ),
        (Sample, [ROW | {"timestamp": "\udfff"}], r"record 0 \(token a\) holds '\\udfff', which is half"),
        (Sample, "[" * 20_000 + "]" * 20_000, "is no whole list of JSON records"),
        (Sample, [ROW | {"token": "a" * 999, "next": 3}], r"record 0 \(token a{80}\): next is 3"),
        (SampleData, [READING | {"width": 2**64}], "width is 18446744073709551616, must be a whole number"),
        (EgoPose, [POSE | {"translation": [1, 2]}], r"translation is \[1, 2\], must be a list of length 3"),
        (EgoPose, [POSE | {"translation": [1, 2, "3"]}], r"translation is \[1, 2, '3'\], must be a number"),
        (EgoPose, [POSE | {"rotation": {"w": 1}}], r"rotation is {'w': 1}, must be a list"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, monkeypatch, kind, content, sentence):
    for piece in (1 << 24, 30):
        monkeypatch.setattr(json_tables, "_PIECE", piece)
        with pytest.raises(UserError, match=rf"sample\.json(, .*| ){sentence}"):
            read_columns(written(tmp_path, content), kind)


def test_bytes_that_are_no_text_are_one_sentence(tmp_path):
    path = tmp_path / "sample.json"
    path.write_bytes(json.dumps([ROW]).encode().replace(b'"b"', b'"\xff"'))
    with pytest.raises(UserError, match="sample.json is no whole list of JSON records"):
        read_columns(path, Sample)


def test_fields_that_nobody_reads_may_hold_anything(tmp_path):
    (found,) = read_columns(written(tmp_path, [ROW | {"description": "\ud800"}]), Sample).to_pylist()
    assert found["token"] == "a"


def test_vectors_that_are_null_are_unknown(tmp_path):
    rows = [POSE, POSE | {"translation": None}, POSE | {"rotation": [1, None, 0, 0]}]
    table = Table(tmp_path / "x.json", read_columns(written(tmp_path, rows), EgoPose))
    nan = float("nan")
    np.testing.assert_array_equal(table.array("translation"), [[1, 2.5, 3], [nan] * 3, [1, 2.5, 3]])
    np.testing.assert_array_equal(table.array("rotation"), [[1, 0, 0, 0], [1, 0, 0, 0], [1, nan, 0, 0]])


@pytest.fixture
def drive(city_root, tmp_path):
    return Drive(city_root, tmp_path / "data")


def changed(drive, table, number, **values):
    rows = drive.table(table)
    rows[number].update(values)
    drive.write(table, rows)
    return rows


def sentence(drive, tmp_path):
    with pytest.raises(UserError) as caught:
        drive.index(tmp_path)
    assert not list(tmp_path.glob("*.parquet"))
    return str(caught.value)


def test_a_chain_of_samples_that_goes_in_a_circle_or_nowhere(drive, tmp_path):
    rows = drive.table("sample")
    changed(drive, "sample", 1, next=rows[1]["token"])
    assert f"record 1 (token {rows[1]['token']}): next is '{rows[1]['token']}', must be a later" in sentence(
        drive, tmp_path
    )
    changed(drive, "sample", 1, next=rows[0]["token"])
    assert "goes in a circle" in sentence(drive, tmp_path)
    changed(drive, "sample", 1, next="nowhere")
    assert "next is 'nowhere', must be a token of sample.json" in sentence(drive, tmp_path)
    changed(drive, "sample", 1, next="")
    left_out = f"sample.json, record 2 (token {rows[2]['token']}): token is '{rows[2]['token']}', must be reached"
    assert left_out in sentence(drive, tmp_path)


def test_a_chain_of_samples_that_leads_into_another_scene(drive, tmp_path):
    rows = drive.table("sample")
    last = next(number for number, row in enumerate(rows) if not row["next"])
    other = next(row for row in rows if row["scene_token"] != rows[last]["scene_token"] and not row["prev"])
    changed(drive, "sample", last, next=other["token"])
    assert f"(token {other['token']}): scene_token is '{other['scene_token']}', must be that" in sentence(
        drive, tmp_path
    )


@pytest.mark.parametrize(
    ("table", "field", "other"),
    [
        ("sample_annotation", "instance_token", "instance"),
        ("sample_annotation", "sample_token", "sample"),
        ("sample_annotation", "visibility_token", "visibility"),
        ("sample_annotation", "prev", "sample_annotation"),
        ("instance", "category_token", "category"),
        ("sample_data", "calibrated_sensor_token", "calibrated_sensor"),
        ("sample_data", "sample_token", "sample"),
        ("calibrated_sensor", "sensor_token", "sensor"),
        ("scene", "first_sample_token", "sample"),
    ],
)
def test_a_token_that_is_nowhere_names_file_record_and_field(drive, tmp_path, table, field, other):
    token = changed(drive, table, 0, **{field: "nowhere"})[0]["token"]
    expected = f"{table}.json, record 0 (token {token}): {field} is 'nowhere', must be a token of {other}.json"
    assert expected in sentence(drive, tmp_path)


def test_attributes_intrinsics_and_levels_of_no_kind(drive, tmp_path):
    rows = changed(drive, "sample_annotation", 3, attribute_tokens=["nowhere"])
    assert "record 3" in sentence(drive, tmp_path) and "attribute_tokens is ['nowhere'], must be" in sentence(
        drive, tmp_path
    )
    drive.write("sample_annotation", [row | {"attribute_tokens": None} for row in rows])
    drive.change("visibility", lambda row: row.update(level="none"))
    assert "level is 'none', must be one of v0-40" in sentence(drive, tmp_path)
    drive.path("visibility").unlink()
    drive.change("calibrated_sensor", lambda row: row.update(camera_intrinsic=row["camera_intrinsic"][:2]))
    assert "camera_intrinsic is [[" in sentence(drive, tmp_path)
