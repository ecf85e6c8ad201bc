"""A results folder is whole or is said not to be: what summaries count, and every flipped bit."""

import json
import random
import shutil

import pyarrow as pa
import pytest
import torch

from blendclip import storage
from blendclip.cli.main import main
from blendclip.encoders.weights import save_weights
from blendclip.reporting.verification import damaged, lost
from blendclip.results import STAGES, Results

ROWS = {"clouds": [5, 2], "views": [4, 0], "captions": [3, 0], "triplets": [2, 1]}
REJECTED = {"clouds": [1, 1], "views": [0, 0], "captions": [1, 0], "triplets": [3, 1]}
WHERE = ("drive", "train")


def write(path, rows):
    table = pa.table({"number": pa.array(range(rows), pa.int64())})
    storage.write_parquet(path, table.schema, [table], {})


@pytest.fixture
def files(tmp_path):
    """A results folder of one split in two parts, with packed clouds and a run beside, all by hand."""
    files = Results(tmp_path / "results")
    for stage in STAGES:
        for part in range(2):
            write(files.part(stage, *WHERE, part), ROWS[stage][part])
            write(files.rejects(stage, *WHERE, part), REJECTED[stage][part])
    write(files.index(*WHERE), 1)
    table = pa.table({"points": [1.0, 2.0]})
    with storage.arrow_writer(files.packed_clouds(*WHERE, 0), table.schema, {}) as add:
        add(table)
    save_weights(files.model_weights("curriculum"), {"weight": torch.arange(4.0)}, {})
    summary = {"dataset": "drive", "split": "train", "parts": 2, "scenes": 1}
    summary["rows"] = {name: sum(rows) for name, rows in ROWS.items()}
    summary["rows"] |= {f"rejects/{name}": sum(rows) for name, rows in REJECTED.items()}
    files.summary(*WHERE).parent.mkdir(parents=True)
    files.summary(*WHERE).write_text(json.dumps(summary))
    return files


def test_what_is_whole_is_said_to_be(files, capsys):
    assert lost(files) == [] and [fault for _, fault in damaged(files) if fault] == []
    assert main(["verify", str(files.root)]) == 0
    assert capsys.readouterr().out == f"{files.root} is whole: 19 files, 1 summaries\n"


@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ["part", "rejects"])
def test_a_part_that_is_lost_or_of_another_run_is_told(files, kind, stage, part, capsys):
    """Also one without a row, which no sum misses."""
    path = getattr(files, kind)(stage, *WHERE, part)
    path.unlink()
    assert main(["verify", str(files.root)]) == 1
    assert f"{path} of 2 parts missing: run `snakemake` again" in capsys.readouterr().err
    write(path, 9)
    (fault,) = lost(files)
    rows = (ROWS if kind == "part" else REJECTED)[stage]
    assert f"{path.parent} holds {sum(rows) - rows[part] + 9} " in fault and f"counts {sum(rows)}: delete both" in fault
    assert main(["show", "--results", str(files.root), "drive/train"]) == 1


def test_lost_scenes_left_over_parts_and_summaries_are_told(files, capsys):
    write(files.part("views", *WHERE, 2), 0)
    (fault,) = lost(files)
    assert "part-00002.parquet and 0 more files are left from a run with more than 2 parts" in fault
    files.part("views", *WHERE, 2).unlink()
    files.index(*WHERE).unlink()
    assert lost(files) == [f"{files.index(*WHERE)} is missing: run the stage that writes it first"]
    files.summary(*WHERE).unlink()
    assert lost(files) == []
    assert main(["show", "--results", str(files.root), "drive/train"]) == 1
    assert f"{files.summary(*WHERE)} is missing" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\xff"])
def test_a_summary_that_is_none_is_told(files, text):
    files.summary(*WHERE).write_text(text, "latin-1")
    (fault,) = lost(files)
    assert fault.startswith(str(files.summary(*WHERE))) and fault.endswith(
        "delete it and run `blendclip summary` again"
    )


@pytest.mark.parametrize("place", ["packed_clouds", "model_weights"])
def test_flipped_bits_of_values_are_told(files, place):
    path = files.packed_clouds(*WHERE, 0) if place == "packed_clouds" else files.model_weights("curriculum")
    whole = path.read_bytes()
    values = (
        pa.array([2.0]).buffers()[1].to_pybytes()[:8] if place == "packed_clouds" else b"\x00\x00\x40\x40"
    )  # 2., 3.
    start = whole.index(values)
    for bit in range(8 * len(values)):
        content = bytearray(whole)
        content[start + bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        ((found, fault),) = [(found, fault) for found, fault in damaged(files) if fault]
        assert found == path and str(path) in fault and "damaged" in fault


def test_every_file_that_is_cut_short_is_told(files):
    paths = [path for path, _ in damaged(files)]
    rng = random.Random(0)
    for path in paths:
        whole = path.read_bytes()
        path.write_bytes(whole[: rng.randrange(len(whole))])
        assert [found for found, fault in damaged(files) if fault] == [path]
        path.write_bytes(whole)


def test_a_folder_that_holds_nothing_is_not_whole(tmp_path, capsys):
    assert main(["verify", str(tmp_path / "none")]) == 1
    assert "there is no folder" in capsys.readouterr().err
    (tmp_path / "caches").mkdir()
    assert main(["verify", str(tmp_path)]) == 1
    assert "holds no results" in capsys.readouterr().err


def test_links_are_followed(files, tmp_path):
    elsewhere = tmp_path / "disk"
    shutil.move(files.root / "clouds", elsewhere)
    (files.root / "clouds").symlink_to(elsewhere)
    path = files.part("clouds", *WHERE, 0)
    path.write_bytes(b"")
    assert [found for found, fault in damaged(files) if fault] == [path]
