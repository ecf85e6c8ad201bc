"""The summary of a CAD dataset, counted by hand."""

import json
import shlex

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blendclip.cli.main import main
from blendclip.results import Results

FAULT = {"rule": "broken_mesh", "kind": "fault", "reason": "has no face", "path": "3.ply"}


def write(path, rows, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: pa.array([row[name] for row in rows], kind) for name, kind in columns.items()}
    pq.write_table(pa.table(arrays), path)


@pytest.fixture
def results(tmp_path):
    """Two crates and a tile, each with a triplet and two views, and a mesh that is broken, in two parts."""
    text, number = pa.string(), pa.int32()
    for part, names in enumerate((["crate", "tile"], ["crate"])):
        triplets = [{"triplet_id": f"{part}/{n}", "category": name, "num_points": 50} for n, name in enumerate(names)]
        views = [{"view_id": f"{part}/{n}", "category": name} for n, name in enumerate(names * 2)]
        folder = "things/train"
        columns = {"triplet_id": text, "category": text, "num_points": number}
        write(tmp_path / "triplets" / folder / f"part-{part:05d}.parquet", triplets, columns)
        write(tmp_path / "views" / folder / f"part-{part:05d}.parquet", views, {"view_id": text, "category": text})
        captions = [{"view_id": view["view_id"], "caption": "a thing"} for view in views]
        write(tmp_path / "captions" / folder / f"part-{part:05d}.parquet", captions, {"view_id": text, "caption": text})
        rejects = tmp_path / "rejects" / folder / f"part-{part:05d}.cad.parquet"
        write(rejects, [FAULT] * part, dict.fromkeys(FAULT, text))
    return tmp_path


def test_the_command_counts_a_cad_split_by_its_name_alone(results, capsys):
    command = Results(results).commands.summary("things", "train")
    assert main(shlex.split(command)[1:]) == 0
    assert "things/train: 4 objects, 2 classes" in capsys.readouterr().out
    path = results / "summaries" / "triplets" / "things" / "train.json"
    found = json.loads(path.read_text())
    assert found["classes"] == {"crate": {"triplets": 2, "views": 4}, "tile": {"triplets": 1, "views": 2}}
    assert (found["objects"], found["triplets"], found["views"], found["median_points"]) == (4, 3, 6, 50)
    example = {"rule": "broken_mesh", "kind": "fault", "count": 1, "example": "3.ply has no face"}
    assert found["rejects"] == [example]
    assert found["parts"] == 2
    assert found["rows"] == {"triplets": 3, "views": 6, "captions": 6, "rejects/cad": 1}


def test_parts_of_an_earlier_run_are_told(results, capsys):
    arguments = ["summary", "--results", str(results), "--dataset", "things", "--split", "train", "--parts", "1"]
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert (
        "captions/things/train/part-00001.parquet and 3 more files are left from a run with more than 1 parts: delete"
        in told
    )
