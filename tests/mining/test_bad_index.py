"""Indices that an adapter got wrong, or whose recording stamps files wrongly: rejects, never silence."""

import pyarrow.parquet as pq
import pytest

from blendclip import schemas, storage
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.datasets.drives.validation import validate_index
from blendclip.errors import UserError
from blendclip.mining.clouds import gather_clouds
from blendclip.mining.options import CloudOptions
from blendclip.mining.scene import read_scenes
from blendclip.mining.views import cut_views
from blendclip.mining.why import explain
from blendclip.reporting.inspection.inspect_scene import inspect_scene
from tests.mining.pipeline import SMALL_CROPS


def changed_index(city_root, tmp_path, change):
    """The index of the small city after a change of its rows."""
    write_index(city_root, DriveOptions("v1.0-mini"), "data", ["mini_train"], tmp_path)
    rows = pq.read_table(tmp_path / "mini_train.parquet").to_pylist()
    for row in rows:
        change(row)
    index = tmp_path / "changed.parquet"
    storage.write_parquet(index, schemas.INDEX, [storage.table_of([row], schemas.INDEX) for row in rows], {})
    return index


def gathered(index, root, tmp_path):
    """Clouds, views and rejects of an index, faults allowed."""
    clouds, views = tmp_path / "clouds.parquet", tmp_path / "views.parquet"
    rejects = [tmp_path / "clouds.rejects.parquet", tmp_path / "views.rejects.parquet"]
    gather_clouds(index, root, 0, 1, clouds, rejects[0], CloudOptions(), 1.0)
    cut_views(index, root, 0, 1, views, rejects[1], SMALL_CROPS, 1.0)
    return (pq.read_table(path).to_pandas() for path in (clouds, views, *rejects))


@pytest.mark.parametrize("missing", ["sweeps", "images"])
def test_a_scene_without_sweeps_or_images_is_accounted_for(city_root, tmp_path, missing):
    index = changed_index(city_root, tmp_path, lambda row: row.update({missing: []}))
    clouds, views, of_clouds, of_views = gathered(index, city_root, tmp_path)
    if missing == "sweeps":
        assert clouds.empty and set(of_clouds["rule"]) == {"no_sweep"} and len(views)
    else:
        assert views.empty and set(of_views["rule"]) == {"no_image"} and len(clouds)


@pytest.mark.parametrize("wrongly", [lambda time_us: time_us // 1000, lambda time_us: time_us + 100_000_000])
def test_a_wrong_time_stamp_is_a_fault_of_its_file(city_root, tmp_path, wrongly):
    wrong = []

    def change(row):
        for readings in (row["sweeps"], row["images"]):
            reading = readings[len(readings) // 2]
            reading["timestamp_us"] = wrongly(reading["timestamp_us"])
            wrong.append(reading["path"])

    index = changed_index(city_root, tmp_path, change)
    *_, of_clouds, of_views = gathered(index, city_root, tmp_path)
    for path, rejects in zip(wrong, (of_clouds, of_views), strict=True):
        (row,) = rejects[rejects["path"].eq(path) & rejects["annotation_token"].isna()].to_dict("records")
        assert row["kind"] == "fault" and "is over a second off the keyframe that it serves" in row["reason"]


def test_sweeps_after_the_last_keyframe_are_in_no_window(city_root, tmp_path):
    index = changed_index(city_root, tmp_path, lambda row: None)
    before = next(gathered(index, city_root, tmp_path))

    def go_on(row):
        last = row["sweeps"][-1]
        row["sweeps"] += [last | {"timestamp_us": last["timestamp_us"] + 50_000 * n} for n in range(1, 9)]

    after = next(gathered(changed_index(city_root, tmp_path, go_on), city_root, tmp_path))
    assert after["num_points"].tolist() == before["num_points"].tolist()
    assert min(lags.min() for lags in after["time_lag_s"]) >= 0


def test_an_index_of_another_version_is_one_sentence(city_root, tmp_path):
    other = tmp_path / "other.parquet"
    pq.write_table(schemas.INDEX.empty_table().drop_columns(["ego_poses"]), other)
    with pytest.raises(UserError, match=r"other.parquet is no scene index of this version: write it again"):
        next(read_scenes(other, 0, 1))


def files_below(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["../../x", "..", "/x", "a/../../../x"])
def test_no_name_of_a_scene_dataset_or_split_leads_out_of_the_results(city_root, tmp_path, name):
    results = tmp_path / "deep" / "results"
    options = DriveOptions("v1.0-mini")
    for dataset, split in ((name, "mini_train"), ("data", name)):
        with pytest.raises(UserError, match="cannot name a dataset, split, scene or sensor"):
            write_index(city_root, options, dataset, [split], results / "index" / "data")
    assert files_below(tmp_path) == set()

    index = changed_index(city_root, tmp_path / "deep", lambda row: row.update(scene=name))
    before = files_below(tmp_path)
    with pytest.raises(UserError, match="cannot name a dataset, split, scene or sensor"):
        validate_index(index)
    with pytest.raises(UserError, match="cannot name a dataset, split, scene or sensor"):
        inspect_scene(index, city_root, results / "inspection")
    with pytest.raises(UserError, match="cannot name a dataset, split, scene or sensor"):
        explain(results, "token", name, "mini_train")
    assert files_below(tmp_path) == before


def test_a_scene_in_a_folder_of_its_recorder_is_drawn_below_the_results(city_root, tmp_path):
    index = changed_index(city_root, tmp_path, lambda row: row.update(scene=f"day 1/{row['scene']}"))
    assert validate_index(index) > 0
    drawn = inspect_scene(index, city_root, tmp_path / "inspection")
    assert drawn and all(path.is_relative_to(tmp_path / "inspection" / "day 1") and path.is_file() for path in drawn)
