import io
import json
import shlex
import shutil

import numpy as np
import pandas as pd
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image

from blendclip.cli.main import main
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.errors import UserError
from blendclip.mining.scene import read_scenes
from blendclip.mining.summary import as_text, summarize
from blendclip.mining.triplets import join_triplets, nearest_views
from blendclip.results import Results
from tests.mining.pipeline import SYNONYMS, mine

COLUMNS = """triplet_id dataset split scene sample_token instance_token annotation_token timestamp_us category
class_name points intensity time_lag_s rgb num_points num_lidar_pts translation rotation_wxyz size_lwh_m velocity_mps
distance_m visibility evaluated channel image crop_xyxy_px covered_fraction view_time_gap_us caption caption_model
caption_prompt_sha""".split()


@pytest.fixture(scope="module")
def mined(city_root, tmp_path_factory):
    return mine(city_root, tmp_path_factory.mktemp("results"))


def test_the_nearest_view_in_time_of_the_same_instance_is_taken():
    crops = np.array([[0, 0, 10, 10], [0, 0, 20, 20], [0, 0, 90, 90], [0, 0, 5, 5]], np.float32)
    nearest = nearest_views(
        cloud_instance=["a", "a", "b", "c", "a"],
        cloud_time_us=np.array([100, 1000, 100, 100, 551]),
        view_instance=["a", "a", "b", "a"],
        view_time_us=np.array([90, 110, 5000, 1001]),
        crop_xyxy_px=crops,
    )
    # Of two views 10 us away the larger crop wins; b has only a late view, c has none.
    assert nearest.tolist() == [1, 3, 2, -1, 1]


def test_has_the_documented_columns_and_metadata(mined):
    path = next((mined.results / "triplets").rglob("part-*.parquet"))
    assert pq.read_schema(path).names == COLUMNS
    about = json.loads(pq.read_schema(path).metadata[b"blendclip"])
    assert about["stage"] == "triplets" and about["version"]
    assert "z up" in about["conventions"]["points"]
    options = about["options"]
    assert options["clouds"] == {"sweeps": 10, "motion": "per_point", "min_points": 1, "colors": False}
    assert options["views"]["min_side_px"] == 8 and options["captions"]["model"] == "template"


def test_datasets_shows_crops_as_images(mined, tmp_path):
    folder = mined.results / "triplets" / "data" / "mini_train"
    rows = load_dataset(str(folder), cache_dir=str(tmp_path), split="train")
    assert len(rows) == len(mined.triplets)
    row = rows[0]
    assert isinstance(row["image"], Image.Image)
    left, upper, right, lower = row["crop_xyxy_px"]
    assert row["image"].size == (np.ceil(right) - np.floor(left), np.ceil(lower) - np.floor(upper))
    assert np.array(row["points"]).shape == (row["num_points"], 3)
    assert len(row["intensity"]) == len(row["time_lag_s"]) == row["num_points"]


def test_crops_are_stored_without_chroma_subsampling(mined):
    image = Image.open(io.BytesIO(mined.triplets["image"].iloc[0]["bytes"]))
    assert all(layer[1:3] == (1, 1) for layer in image.layer)


def test_every_annotation_ends_once(mined):
    clouds, rejects = mined.clouds, mined.rejects
    of_clouds = rejects[rejects["stage"] == "clouds"]["annotation_token"].dropna()
    (scene,) = read_scenes(mined.results / "index" / "data" / "mini_train.parquet", 0, 1)
    everyone = sorted(scene.annotations.token)
    assert sorted([*clouds["annotation_token"], *of_clouds]) == everyone
    of_views = rejects[rejects["stage"] == "views"]["annotation_token"].dropna()
    assert sorted([*mined.views["annotation_token"].unique(), *of_views]) == everyone
    of_triplets = rejects[rejects["stage"] == "triplets"]["annotation_token"]
    assert sorted([*mined.triplets["annotation_token"], *of_triplets]) == sorted(clouds["annotation_token"])


def test_a_triplet_joins_its_own_cloud_view_and_caption(mined):
    clouds = mined.clouds.set_index("annotation_token")
    views = {(row.instance_token, row.channel, row.timestamp_us): row for row in mined.views.itertuples()}
    assert len(mined.triplets)
    for row in mined.triplets.itertuples():
        cloud = clouds.loc[row.annotation_token]
        assert row.triplet_id == f"data/{row.annotation_token}"
        np.testing.assert_array_equal(np.stack(row.points), np.stack(cloud["points"]))
        view = views[row.instance_token, row.channel, row.timestamp_us + row.view_time_gap_us]
        assert view.image["bytes"] == row.image["bytes"]
        own = mined.views[mined.views["instance_token"] == row.instance_token]["timestamp_us"]
        assert abs(row.view_time_gap_us) == np.abs(own - row.timestamp_us).min()
        assert row.caption and row.caption_model == "template"


def test_the_summary_counts_what_is_there(mined):
    summary = mined.summary
    assert summary["triplets"] == len(mined.triplets)
    assert summary["classes"]["car"]["clouds"] == (mined.clouds["class_name"] == "car").sum()
    assert sum(row["count"] for row in summary["rejects"]) == len(mined.rejects)
    text = as_text(summary)
    assert "data/mini_train: 1 scenes" in text and "no_view" in text


def test_folders_of_parquet_hold_parquet_alone(mined):
    """Whatever a reader does with a folder, it meets nothing else in it."""
    triplets = mined.results / "triplets"
    assert len(pd.read_parquet(triplets / "data" / "mini_train")) == len(mined.triplets)
    assert pyarrow.dataset.dataset(triplets).count_rows() == len(mined.triplets)
    assert pyarrow.dataset.dataset(mined.results / "captions").count_rows() == len(mined.views)
    others = [path for path in mined.results.rglob("*") if path.is_file() and path.suffix != ".parquet"]
    summaries = mined.results / "summaries"
    assert set(others) == {
        summaries / "triplets" / "data" / "mini_train.json",
        summaries / "captions" / "data" / "mini_train" / "part-00000.json",
    }


def test_the_command_needs_only_a_name_to_count_a_split(mined, tmp_path, monkeypatch, capsys):
    results = tmp_path / "results"
    shutil.copytree(mined.results, results)
    path = results / "summaries" / "triplets" / "data" / "mini_train.json"
    path.unlink()
    monkeypatch.chdir(tmp_path)
    command = Results(results).named.commands.summary("data", "mini_train")
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out == as_text(mined.summary) + "\n"
    assert json.loads(path.read_text()) == mined.summary
    assert main(["show", "data/mini_train"]) == 0 and as_text(mined.summary) in capsys.readouterr().out
    path.write_text("{")
    assert main(["show", "data/mini_train"]) == 1
    assert "is no JSON" in capsys.readouterr().err
    assert main(["summary", "--dataset", "data", "--split", "mini_train", "--parts", "2"]) == 1
    assert "part-00001.parquet is missing" in capsys.readouterr().err
    assert main(["summary", "--dataset", "data", "--split", "test"]) == 1
    assert "triplets/data/test holds no part-" in capsys.readouterr().err


def test_tables_that_do_not_add_up_are_an_error(mined, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(mined.results, results)
    path = next((results / "rejects").rglob("part-*.triplets.parquet"))
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(UserError, match="of data/mini_train do not add up: .* clouds, but .* triplets"):
        summarize(results, "data", "mini_train", 1, tmp_path / "summary.json", SYNONYMS)
    path.unlink()
    with pytest.raises(UserError, match="part-00000.triplets.parquet is missing: run the stage"):
        summarize(results, "data", "mini_train", 1, tmp_path / "summary.json", SYNONYMS)
    with pytest.raises(UserError, match="missing"):
        join_triplets(tmp_path / "a", tmp_path / "b", tmp_path / "c", tmp_path / "d", tmp_path / "e")


def test_parts_left_from_a_run_with_more_of_them_are_an_error(city_root, tmp_path):
    mined = mine(city_root, tmp_path, parts=3)
    with pytest.raises(UserError, match=r"part-00002.* are left from a run with more than 2 parts: delete"):
        summarize(mined.results, "data", "mini_train", 2, tmp_path / "summary.json", SYNONYMS)


def test_parts_share_the_scenes_out(city_root, tmp_path):
    write_index(city_root, DriveOptions("v1.0-mini"), "data", ["mini_train", "mini_val"], tmp_path)
    names = [[scene.name for scene in read_scenes(tmp_path / "mini_train.parquet", part, 3)] for part in range(3)]
    assert names == [["scene-0061"], [], []]
    with pytest.raises(UserError, match="part 3 of 3 does not exist"):
        list(read_scenes(tmp_path / "mini_train.parquet", 3, 3))


def test_an_empty_part_is_a_valid_file(city_root, tmp_path):
    mined = mine(city_root, tmp_path, parts=2)
    assert mined.summary["triplets"] == len(mined.triplets)
    path = tmp_path / "triplets" / "data" / "mini_train" / "part-00001.parquet"
    assert pq.read_table(path).num_rows == 0
    assert pq.read_schema(path).names == COLUMNS
