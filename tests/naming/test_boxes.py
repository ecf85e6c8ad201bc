"""Results of a detector over a scene index: their clouds are those that mining would gather, whatever moves."""

import json
from collections import defaultdict

import numpy as np
import pyarrow.parquet as pq
import pytest

from blendclip.benchmarks.options import MinedOptions
from blendclip.benchmarks.writing import write_benchmark
from blendclip.cli.main import main
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.encoders.checkpoints import save_encoder
from blendclip.errors import UserError
from blendclip.evaluation.class_weights import write_class_weights
from blendclip.evaluation.prompts import read_classes
from blendclip.mining.clouds import gather_clouds
from blendclip.mining.options import CloudOptions
from blendclip.mining.scene import read_scene
from blendclip.naming.boxes import name_results
from blendclip.naming.detected_scenes import detected_clouds
from blendclip.naming.detections import boxes_of
from blendclip.prompts import prompts_folder
from blendclip.results import Results
from tests.models import small_model

CLASSES = ["car", "excavator", "traffic cone"]


@pytest.fixture(scope="module")
def city(city_root, tmp_path_factory):
    """Index, root and mined clouds of a generated scene."""
    folder = tmp_path_factory.mktemp("detected")
    write_index(city_root, DriveOptions("v1.0-mini"), "city", ["mini_train"], folder)
    index = folder / "mini_train.parquet"
    gather_clouds(index, city_root, 0, 1, folder / "clouds.parquet", folder / "r.parquet", CloudOptions(sweeps=5), 0.1)
    return (
        index,
        city_root,
        {row["annotation_token"]: row for row in pq.read_table(folder / "clouds.parquet").to_pylist()},
    )


@pytest.fixture(scope="module")
def model():
    return small_model()


def row_of(scene, number, **more):
    """An annotation as a detector would write it, width before length."""
    annotations = scene.annotations
    length, width, height = annotations.size_lwh_m[number].tolist()
    return {
        "sample_token": str(scene.sample_token[annotations.keyframe[number]]),
        "translation": annotations.translation[number].tolist(),
        "size": [width, length, height],
        "rotation": annotations.rotation_wxyz[number].tolist(),
    } | more


def detections(scene, **more):
    return [
        row_of(scene, n, velocity=[0, 0], detection_name="car", detection_score=0.4, **more)
        for n in range(len(scene.annotations))
    ]


def tracked(scene):
    tokens = scene.annotations.columns["instance_token"].to_pylist()
    return [
        row_of(scene, n, velocity=[0, 0], tracking_id=tokens[n], tracking_name="car", tracking_score=0.4)
        for n in range(len(scene.annotations))
    ]


def test_tracked_boxes_have_the_clouds_that_mining_gathers(city):
    index, root, mined = city
    scene = read_scene(index)
    found = detected_clouds(
        scene, root, boxes_of(tracked(scene), "here"), scene.annotations.keyframe, CloudOptions(sweeps=5)
    )
    tokens = scene.annotations.token.tolist()
    assert {token for token, cloud in zip(tokens, found.clouds, strict=True) if cloud is not None} == set(mined)
    assert len(mined) > 50 and found.broken_sweeps == 0
    for token, cloud in zip(tokens, found.clouds, strict=True):
        if cloud is not None:
            assert np.array_equal(cloud, np.array(mined[token]["points"], np.float32))


def moved_counts(scene, root, number, velocity, sweeps):
    """Points of the last sweeps in a box that moves at a velocity, counted sweep by sweep from the files."""
    annotations, readings = scene.annotations, scene.sweeps
    keyframe, time_us = annotations.keyframe[number], scene.keyframe_us[annotations.keyframe[number]]
    own = np.flatnonzero(
        (readings.channel == "LIDAR_TOP")
        & (readings.timestamp_us <= readings.timestamp_us[np.flatnonzero(readings.keyframe == keyframe)].max())
        & (readings.keyframe <= keyframe)
    )
    count = 0
    w, x, y, z = annotations.rotation_wxyz[number]
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    for sweep in own[np.argsort(readings.timestamp_us[own])][-sweeps:]:
        points = np.fromfile(root / readings.path[sweep], np.float32).reshape(-1, 5)[:, :3].astype(np.float64)
        pose = readings.global_SE3_sensor[sweep]
        points = points @ pose[:, :3].T + pose[:, 3]
        ago_s = (time_us - readings.timestamp_us[sweep]) * 1e-6
        centre = annotations.translation[number] - np.array([*velocity, 0]) * ago_s
        d = points - centre
        forward, left = np.cos(yaw) * d[:, 0] + np.sin(yaw) * d[:, 1], -np.sin(yaw) * d[:, 0] + np.cos(yaw) * d[:, 1]
        inside = np.abs(np.column_stack([forward, left, d[:, 2]])) <= annotations.size_lwh_m[number] / 2
        count += int(inside.all(axis=1).sum())
    return count


@pytest.mark.parametrize("velocity", [(0.0, 0.0), (4.0, -3.0), (np.nan, np.nan)])
def test_detected_boxes_move_at_the_velocity_of_the_detector(city, velocity):
    index, root, _ = city
    scene = read_scene(index)
    last = len(scene.keyframe_us) - 1
    chosen = np.flatnonzero(scene.annotations.keyframe == last)
    rows = [row_of(scene, number, velocity=list(velocity)) for number in chosen]
    found = detected_clouds(
        scene, root, boxes_of(rows, "here"), scene.annotations.keyframe[chosen], CloudOptions(sweeps=5)
    )
    counts = [0 if cloud is None else len(cloud) for cloud in found.clouds]
    expected = [moved_counts(scene, root, number, np.nan_to_num(velocity), 5) for number in chosen]
    assert sum(expected) > 200
    assert counts == expected


def written(tmp_path, results):
    path = tmp_path / "detections.json"
    path.write_text(json.dumps({"meta": {"use_lidar": True}, "results": results}))
    return path


def by_sample(rows):
    results = defaultdict(list)
    for row in rows:
        results[row["sample_token"]].append(row)
    return dict(results)


def test_results_get_new_names_and_a_row_each(city, model, tmp_path, capsys):
    index, root, mined = city
    scene = read_scene(index)
    rows = detections(scene)
    broken = dict(rows[0], translation=[float("nan"), 0, 0])
    far = dict(rows[0], translation=[9e3, 0, 0])
    results = by_sample([*rows, broken, far]) | {"nobody": [rows[0]], "also nobody": [rows[0], rows[1]]}
    path = written(tmp_path, results)
    model.save(tmp_path / "mine")
    arguments = [f"--model={tmp_path / 'mine'}", f"--classes={','.join(CLASSES)}", "--device=cpu", "--sweeps=5"]
    output = tmp_path / "names.parquet"
    arguments += [f"--index={index}", f"--root={root}", f"--boxes={path}", f"--output={output}"]
    assert main(["name", *arguments]) == 0
    table = pq.read_table(output).to_pylist()
    assert len(table) == len(rows) + 2
    content = json.loads((tmp_path / "names.json").read_text())
    assert content["meta"] == {"use_lidar": True} and content["results"].keys() == results.keys()
    for row in table:
        new, old = content["results"][row["sample_token"]][row["box"]], results[row["sample_token"]][row["box"]]
        assert new["detection_name"] == (row["name"] or "car") and new["detection_score"] == 0.4
        assert new["size"] == old["size"] and row["size_lwh_m"][0] == old["size"][1]
        assert ("name_score" in new) == (row["name"] is not None)
    assert content["results"]["nobody"] == [json.loads(json.dumps(rows[0]))]
    printed = capsys.readouterr().out
    empty = sum(row["num_points"] == 0 for row in table) - 1
    assert f"3 boxes not named: their sample_token is not in {index}" in printed
    assert f"{empty} boxes not named: no point of any sweep" in printed
    assert "1 boxes not named: not finite, of no size, or of no rotation" in printed


def test_shuffled_boxes_come_back_with_the_names_that_evaluation_gives(city, model, tmp_path):
    index, root, _ = city
    files = Results(tmp_path)
    clouds = files.part("clouds", "city", "mini_train", 0)
    rejects = files.rejects("clouds", "city", "mini_train", 0)
    gather_clouds(index, root, 0, 1, clouds, rejects, CloudOptions(sweeps=1), 0.1)
    recipe = {"clip": "tiny", "data": {"synthetic": ["made/train"], "max_points": model.description.max_points}}
    save_encoder(files.model_weights("one"), model.encoder, recipe)
    words, templates = (prompts_folder() / one for one in ("classes/nuscenes.yaml", "templates/point_cloud.yaml"))
    weights = files.class_weights("tiny", "nuscenes", "point_cloud")
    write_class_weights(weights, lambda texts: model.clip.embed_texts(texts).numpy(), words, templates)
    options = MinedOptions(results=tmp_path, split="city/mini_train")
    write_benchmark("street", "mined", options, list(read_classes(words)), files.benchmark("street"))
    asked = [f"--results={tmp_path}", "--run=one", "--benchmark=street", "--device=cpu"]
    assert main(["evaluate", *asked, "--classes=nuscenes", "--templates=point_cloud"]) == 0
    told = pq.read_table(files.predictions("one", "street")).to_pylist()

    scene = read_scene(index)
    order = np.random.default_rng(0).permutation(len(scene.annotations))
    rows = detections(scene)
    boxes = written(tmp_path, by_sample([rows[number] | {"token": int(number)} for number in order]))
    output = tmp_path / "names.parquet"
    name_results(model, boxes, index, model.classifier("nuscenes"), root=root, output=output, sweeps=1)
    content = json.loads(output.with_suffix(".json").read_text())["results"]
    tokens = scene.annotations.token.tolist()
    named = {tokens[box["token"]]: box for of_sample in content.values() for box in of_sample}
    classes = list(read_classes(words))
    assert len(told) > 30
    for row in told:
        assert named[row["cloud_id"]]["detection_name"] == classes[row["top5"][0]]
        assert named[row["cloud_id"]]["name_score"] == pytest.approx(row["top5_scores"][0], abs=1e-4)


def test_boxes_of_a_track_share_the_name_of_their_mean_embedding(city, model, tmp_path):
    index, root, mined = city
    scene = read_scene(index)
    path, output = written(tmp_path, by_sample(tracked(scene))), tmp_path / "names.parquet"
    weights = model.classifier(CLASSES)
    named = name_results(model, path, index, weights, root=root, output=output, sweeps=5)
    table = pq.read_table(output).to_pylist()
    clouds = defaultdict(list)
    tokens = scene.annotations.columns["instance_token"].to_pylist()
    for token, instance in zip(scene.annotations.token.tolist(), tokens, strict=True):
        if token in mined:
            clouds[instance].append(np.array(mined[token]["points"], np.float32))
    for row in table:
        own = clouds[row["tracking_id"]]
        if not own:
            assert row["name"] is None and row["embedding"] is None
            continue
        mean = model.encode(own).mean(axis=0)
        mean /= np.linalg.norm(mean)
        np.testing.assert_allclose(row["embedding"], mean, atol=1e-4)
        assert row["name"] == CLASSES[int(np.argmax(weights.weights_CD @ mean))]
    content = json.loads(output.with_suffix(".json").read_text())["results"]
    assert all(one["tracking_name"] in CLASSES for rows in content.values() for one in rows if "name_score" in one)
    assert named.names.total() == sum(row["name"] is not None for row in table) > 50


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[]", "has no `results`"),
        ("{", "no readable JSON"),
        ('{"results": {"a": {}}}', "has no `results`"),
        ('{"results": {"nobody": []}}', "no sample_token of .* is in"),
    ],
)
def test_wrong_results_are_told(city, model, tmp_path, content, sentence):
    index, root, _ = city
    path = tmp_path / "detections.json"
    path.write_text(content)
    with pytest.raises(UserError, match=sentence):
        name_results(model, path, index, model.classifier(CLASSES), root=root, output=tmp_path / "n.parquet")
    assert not (tmp_path / "n.parquet").exists()


def test_a_box_without_size_and_results_written_over_are_told(city, model, tmp_path):
    index, root, _ = city
    scene = read_scene(index)
    row = row_of(scene, 0)
    del row["size"]
    path = written(tmp_path, by_sample([row]))
    weights = model.classifier(CLASSES)
    with pytest.raises(UserError, match="box 0 of scene .* lacks translation"):
        name_results(model, path, index, weights, root=root, output=tmp_path / "n.parquet")
    with pytest.raises(UserError, match="would be written over: give another --json"):
        name_results(model, path, index, weights, root=root, output=tmp_path / "detections.parquet")
