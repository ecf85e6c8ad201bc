"""Categories of one's own as classes of the official benchmark, against the devkit on the official categories."""

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
from nuscenes.eval.detection.utils import category_to_detection_name

from blendclip.benchmarks.mined import Mined
from blendclip.benchmarks.options import MinedOptions
from blendclip.cli.main import main
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import TableOptions
from blendclip.errors import UserError
from blendclip.results import Results
from tests.mining.test_bad_input import Vandal

OWN = {  # as a recording of one's own would name them
    "vehicle.car": "car",
    "human.pedestrian.adult": "pedestrian.adult",
    "human.pedestrian.child": "pedestrian.child",
    "vehicle.truck": "lorry",
}


@pytest.fixture
def own(city_root, tmp_path):
    """The city under names of one's own, and the table that brings the official ones back."""
    copy = Vandal(city_root, tmp_path / "own")
    rows, table = copy.table("category"), {}
    for row in rows:
        if row["name"] in OWN:
            table[OWN[row["name"]]] = category_to_detection_name(row["name"])
            row["name"] = OWN[row["name"]]
    assert len(table) >= 3
    copy.write("category", rows)
    return copy.root, table


def indexed(root, folder, **options):
    write_index(root, TableOptions("v1.0-mini", **options), "x", ["mini_train"], folder)
    (scene,) = pq.read_table(folder / "mini_train.parquet").to_pylist()
    return {track["instance_token"]: track for track in scene["tracks"]}


def evaluated(tracks):
    return {
        row["token"]: (track["class_name"], row["evaluated"])
        for track in tracks.values()
        for row in track["annotations"]
    }


def test_a_table_gives_categories_of_ones_own_the_class_and_rules_of_the_official_ones(city_root, own, tmp_path):
    root, table = own
    official, without, mapped = (
        indexed(city_root, tmp_path),
        indexed(root, tmp_path),
        indexed(root, tmp_path, classes=table),
    )
    assert evaluated(mapped) == evaluated(official) != evaluated(without)
    assert {track["category"] for track in mapped.values()} & set(table)
    own_tracks = [token for token, track in without.items() if track["category"] in table]
    assert own_tracks
    for token in own_tracks:
        assert without[token]["class_name"] is None
        assert not any(row["evaluated"] for row in without[token]["annotations"])


def test_a_table_wins_over_the_devkit(city_root, tmp_path):
    tracks = indexed(city_root, tmp_path, classes={"vehicle.car": "bus"})
    assert {track["class_name"] for track in tracks.values() if track["category"] == "vehicle.car"} == {"bus"}


@pytest.mark.parametrize(
    ("name", "hint"), [("pedestrain", "did you mean pedestrian?"), ("Zug", "take one of barrier, bicycle, bus, car")]
)
def test_an_unknown_class_is_one_sentence(city_root, tmp_path, name, hint):
    with pytest.raises(UserError) as told:
        indexed(city_root, tmp_path, classes={"my.category": name})
    assert str(told.value).startswith(f"`classes` takes my.category for {name!r}, which is no class of the benchmark: ")
    assert hint in str(told.value)


def test_a_category_that_is_not_there_is_told(city_root, tmp_path, caplog):
    indexed(city_root, tmp_path, classes={"vehicle.cars": "car"})
    assert "`classes` names vehicle.cars, which is no category of the dataset, did you mean vehicle.car?" in caplog.text


def test_a_recording_of_ones_own_becomes_a_benchmark(own, tmp_path):
    """By the commands, as a user would."""
    root, table = own
    files = Results(tmp_path / "results")
    index, clouds, rejects = (
        files.index("x", "mini_train"),
        files.part("clouds", "x", "mini_train", 0),
        files.rejects("clouds", "x", "mini_train", 0),
    )
    options = {"version": "v1.0-mini", "classes": table}
    arguments = ["--root", str(root), "--format", "nuscenes", "--options", json.dumps(options), "--dataset", "x"]
    assert main(["index", *arguments, "--splits", "mini_train", "--output", str(index.parent)]) == 0
    paths = ["--index", str(index), "--root", str(root), "--output", str(clouds), "--rejects", str(rejects)]
    assert main(["clouds", *paths]) == 0
    named = [cloud.class_name for cloud in Mined(MinedOptions("x/mini_train", files.root)).clouds(Counter())]
    assert {"car", "pedestrian"} <= set(named)
