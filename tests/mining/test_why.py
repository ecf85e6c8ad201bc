"""What `why` tells of every annotation, against the tables as pandas reads them and the dataset's own JSON."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from blendclip.cli.main import main
from blendclip.errors import UserError
from blendclip.mining.options import CloudOptions, ViewOptions
from blendclip.mining.why import as_text, explain
from tests.mining.pipeline import mine, read

SPLIT = ("data", "mini_train")


def table(root, name):
    return {row["token"]: row for row in json.loads((root / "v1.0-mini" / f"{name}.json").read_text())}


@pytest.fixture(scope="module")
def root(city_root, tmp_path_factory):
    """The test city with one box without a height."""
    copy = tmp_path_factory.mktemp("why") / "city"
    shutil.copytree(city_root, copy)
    path = copy / "v1.0-mini" / "sample_annotation.json"
    rows, samples = json.loads(path.read_text()), training_samples(copy)
    next(row for row in rows if row["sample_token"] in samples)["size"][2] = 0.0
    path.write_text(json.dumps(rows))
    return copy


def training_samples(root):
    (scene,) = (row for row in table(root, "scene").values() if row["name"] == "scene-0061")
    return {token for token, row in table(root, "sample").items() if row["scene_token"] == scene["token"]}


@pytest.fixture(scope="module")
def mined(root, tmp_path_factory):
    """Mined so strictly that every stage rejects something."""
    views, clouds = ViewOptions(min_visibility=2, min_side_px=12), CloudOptions(min_points=20)
    return mine(root, tmp_path_factory.mktemp("results"), clouds=clouds, views=views)


@pytest.fixture(scope="module")
def told(root, mined):
    """What is told of every annotation of the training scene, by its token, asked for by instance."""
    samples = training_samples(root)
    rows = [row for row in table(root, "sample_annotation").values() if row["sample_token"] in samples]
    histories = [one for name in {row["instance_token"] for row in rows} for one in explain(mined.results, name)]
    by_token = {one.annotation["annotation_token"]: one for one in histories}
    assert len(by_token) == len(histories) == len(rows) > 100
    return by_token


def rows_by_token(frame, columns):
    return {
        token: sorted(map(tuple, rows[columns].to_numpy().tolist()))
        for token, rows in frame.groupby("annotation_token")
    }


def test_the_index_says_what_the_dataset_does(root, told):
    annotations, instances = table(root, "sample_annotation"), table(root, "instance")
    categories, samples = table(root, "category"), table(root, "sample")
    for token, history in told.items():
        row, found = annotations[token], history.annotation
        assert found["instance_token"] == row["instance_token"]
        assert found["category"] == categories[instances[row["instance_token"]]["category_token"]]["name"]
        assert found["num_lidar_pts"] == row["num_lidar_pts"]
        assert found["visibility"] == int(row["visibility_token"])
        assert found["timestamp_us"] == samples[row["sample_token"]]["timestamp"]
        assert (history.dataset, history.split, history.scene) == (*SPLIT, "scene-0061")


@pytest.mark.parametrize(
    ("stage", "columns"),
    [
        ("clouds", ["num_points", "num_sweeps"]),
        ("views", ["view_id", "channel"]),
        ("triplets", ["channel", "view_time_gap_us", "caption"]),
    ],
)
def test_every_row_of_a_stage_is_told_of_its_annotation(mined, told, stage, columns):
    expected = rows_by_token(getattr(mined, stage), columns)
    found = {
        token: sorted(tuple(row[name] for name in columns) for row in history.rows[stage])
        for token, history in told.items()
        if history.rows[stage]
    }
    assert found == expected and 0 < len(found) < len(told)


def test_captions_are_told_of_the_annotation_that_they_show(mined, told):
    captions = read(mined.results / "captions" / "data" / "mini_train").merge(mined.views, on="view_id")
    found = {token: [row["caption"] for row in history.rows["captions"]] for token, history in told.items()}
    expected = captions.groupby("annotation_token")["caption"].apply(list).to_dict()
    assert {token: sorted(texts) for token, texts in found.items() if texts} == {
        token: sorted(texts) for token, texts in expected.items()
    }


def test_every_reject_is_told_with_its_sentence(mined, told):
    expected = rows_by_token(mined.rejects, ["stage", "kind", "rule", "reason"])
    found = {
        token: sorted((row["stage"], row["kind"], row["rule"], row["reason"]) for row in history.rejects)
        for token, history in told.items()
        if history.rejects
    }
    assert found == expected
    rules = {row[2] for rows in found.values() for row in rows}
    assert {"broken_annotation", "min_points", "visibility", "too_small", "partly_outside", "no_view"} <= rules


def test_each_annotation_ends_at_each_stage_in_one_way(told):
    for history in told.values():
        stopped = {row["stage"] for row in history.rejects}
        for stage in ("clouds", "views"):
            assert bool(history.rows[stage]) != (stage in stopped)
        assert bool(history.rows["triplets"]) == (bool(history.rows["clouds"]) and "triplets" not in stopped)


KEYS = {
    "min_points": "clouds.min_points",
    "visibility": "views.min_visibility",
    "partly_outside": "views.whole_box",
    "too_small": "views.min_side_px",
}


@pytest.mark.parametrize(("rule", "key"), KEYS.items())
def test_the_text_names_rule_value_and_key(mined, rule, key):
    row = mined.rejects[mined.rejects["rule"] == rule].iloc[0]
    text = as_text(explain(mined.results, row["annotation_token"]))
    assert f"rejected by {rule} (filtered; config key {key}): {row['reason']}" in text
    assert text.startswith(f"annotation {row['annotation_token']} of data/mini_train\n")


def test_the_text_of_a_broken_annotation_names_no_key(mined):
    row = mined.rejects[mined.rejects["rule"] == "broken_annotation"].iloc[0]
    lines = as_text(explain(mined.results, row["annotation_token"])).splitlines()
    said = "rejected by broken_annotation (fault): the box size ["
    assert [line[:9].strip() for line in lines if said in line] == ["clouds", "views"]
    assert lines[-2:] == ["  captions  no view of it to caption", "  triplets  no cloud of it to pair with a view"]


def test_the_text_of_a_triplet(mined):
    triplet = mined.triplets[mined.triplets["view_time_gap_us"].abs() > 100_000].iloc[0]
    lines = as_text(explain(mined.results, triplet["annotation_token"])).splitlines()
    clouds = mined.clouds.set_index("annotation_token").loc[triplet["annotation_token"]]
    sweeps = "sweep" if clouds["num_sweeps"] == 1 else "sweeps"
    assert f"  clouds    {clouds['num_points']} points over {clouds['num_sweeps']} {sweeps}" in lines
    gap_s = triplet["view_time_gap_us"] / 1e6
    said = f"with the view of {triplet['channel']} {gap_s:+.2f} s from the cloud: {triplet['caption']}"
    assert lines[-1] == f"  triplets  {said}"


def test_the_text_of_a_view_gives_its_size(mined):
    view = mined.views.iloc[0]
    left, upper, right, lower = view["crop_xyxy_px"]
    text = as_text(explain(mined.results, view["annotation_token"]))
    assert f"{view['channel']}: {right - left:.0f}x{lower - upper:.0f} px" in text


def test_ids_of_views_and_triplets_name_their_annotation(mined):
    view, triplet = mined.views.iloc[-1], mined.triplets.iloc[-1]
    for name, row in ((view["view_id"], view), (triplet["triplet_id"], triplet)):
        (history,) = explain(mined.results, name)
        assert history.annotation["annotation_token"] == row["annotation_token"]


def test_an_instance_is_counted_before_it_is_told(root, mined):
    instance = mined.triplets["instance_token"].value_counts().index[0]
    own = [row for row in table(root, "sample_annotation").values() if row["instance_token"] == instance]
    counts = [
        f"{sum(frame['instance_token'] == instance)} with {stage}"
        for stage, frame in (("clouds", mined.clouds), ("triplets", mined.triplets))
    ]
    histories = explain(mined.results, instance)
    times_us = [history.annotation["timestamp_us"] for history in histories]
    assert times_us == sorted(times_us) and len(times_us) == len(own)
    first = as_text(histories).splitlines()[0]
    assert first.startswith(f"{len(own)} annotations: ") and all(count in first for count in counts)


@pytest.fixture
def copied(mined, tmp_path):
    """A copy of the results to take from, and the token of a triplet."""
    shutil.copytree(mined.results, tmp_path / "results")
    return tmp_path / "results", mined.triplets["annotation_token"].iloc[0]


def test_a_stage_that_is_not_mined_yet_is_said(copied):
    results, token = copied
    shutil.rmtree(results / "triplets")
    assert "  triplets  not mined yet: triplets/data/mini_train has no part" in as_text(explain(results, token))


def test_a_scene_that_is_not_mined_yet_is_said(copied):
    results, token = copied
    path = results / "clouds" / "data" / "mini_train" / "part-00000.parquet"
    other_scenes = pq.read_table(path, filters=[("scene", "!=", "scene-0061")])
    pq.write_table(other_scenes, path)
    said = "  clouds    neither made nor rejected: the part of its scene is not mined yet"
    assert said in as_text(explain(results, token))


def test_parts_may_have_any_number(copied):
    results, token = copied
    before = as_text(explain(results, token))
    for path in results.rglob("part-00000*.parquet"):
        path.rename(path.with_name(path.name.replace("part-00000", "part-00007")))
    assert as_text(explain(results, token)) == before


def test_an_unknown_token_is_one_sentence(mined, capsys):
    assert main(["why", "nobody", "--results", str(mined.results)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("blendclip why: nobody is no annotation, instance, view or triplet of any dataset/any split")
    assert said.count("\n") == 1


def test_dataset_and_split_narrow_the_search(mined, capsys):
    token = mined.clouds["annotation_token"].iloc[0]
    assert main(["why", token, "--results", str(mined.results), "--dataset", "data", "--split", "mini_train"]) == 0
    assert capsys.readouterr().out.startswith(f"annotation {token} of data/mini_train\n")
    with pytest.raises(UserError, match="has no index of other/any split: name a dataset and split that were indexed"):
        explain(mined.results, token, dataset="other")
    with pytest.raises(UserError, match="has no index of data/mini_val"):
        explain(mined.results, token, "data", "mini_val")
