"""A run on a benchmark: what is saved agrees with scikit-learn's metrics on it, and wrong input is told."""

import json
from dataclasses import asdict

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, top_k_accuracy_score

from blendclip import schemas, storage
from blendclip.cli.main import main
from blendclip.encoders.checkpoints import save_encoder
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.evaluation import class_weights
from blendclip.evaluation.benchmark import encoded_benchmark
from blendclip.training.recipe import as_recipe

CLASSES = [f"class {number}" for number in range(7)]
WIDTH = 12
DATA = {"synthetic": ["made/train"], "max_points": 200, "excluded_classes": ["class 2"], "excluded_from": "synthetic"}
RECIPE = asdict(as_recipe({"clip": "tiny", "data": DATA}))


def clouds(count=60, seed=0):
    rng = np.random.default_rng(seed)
    for number in range(count):
        points = rng.normal(size=(int(rng.integers(1, 300)), 3)) * rng.uniform(0.2, 3, 3)
        label = int(rng.integers(0, 6))  # the last class has no cloud
        yield {
            "cloud_id": f"c{number}",
            "instance_token": f"i{number // 3}",
            "scene": None,
            "class_name": CLASSES[label],
            "label": label,
            "points": points.astype(np.float32).tolist(),
            "rgb": None,
            "num_points": len(points),
            "timestamp_us": number,
            "distance_m": float(number),
            "visibility": 1 + number % 4,
        }


def write_benchmark(results, rows, classes=CLASSES, group=25):
    rows = list(rows)
    tables = [storage.table_of(rows[begin : begin + group], schemas.BENCHMARKS) for begin in range(0, len(rows), group)]
    path = results / "evaluation" / "benchmarks" / "made.parquet"
    options = {"benchmark": "made", "format": "table", "classes": classes, "left_out": {}, "in_metres": True}
    about = storage.metadata("benchmarks", options)
    storage.write_parquet(path, schemas.BENCHMARKS, tables or [schemas.BENCHMARKS.empty_table()], about)
    return path


def write_weights(results, classes=CLASSES):
    weights = np.random.default_rng(1).normal(size=(len(classes), WIDTH)).astype(np.float32)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    rows = [{"class_name": name, "words": [name], "weight": row} for name, row in zip(classes, weights, strict=True)]
    path = results / "embeddings" / "tiny" / "classes" / "made.plain.parquet"
    table = storage.table_of(rows, class_weights.SCHEMA)
    storage.write_parquet(path, class_weights.SCHEMA, [table], storage.metadata("class_weights", {}))
    return weights


def encoder(**changes):
    torch.manual_seed(0)
    shape = {"depth": 1, "width": 16, "heads": 2, "encoder_width": 16, "max_patches": 8, "out_dim": WIDTH}
    return PointBert(PointBertConfig.preset("tiny", **(shape | changes))).eval()


@pytest.fixture
def results(tmp_path):
    write_benchmark(tmp_path, clouds())
    write_weights(tmp_path)
    (tmp_path / "runs" / "one").mkdir(parents=True)
    save_encoder(tmp_path / "runs" / "one" / "model.safetensors", encoder(), RECIPE)
    return tmp_path


def evaluate(results, run="one", **options):
    given = {"benchmark": "made", "classes": "made", "templates": "plain", "device": "cpu"} | options
    return main(["evaluate", f"--results={results}", f"--run={run}", *(f"--{k}={v}" for k, v in given.items())])


def test_numbers_are_scikit_learn_s_on_the_saved_predictions(results):
    assert evaluate(results) == 0
    folder = results / "evaluation" / "runs" / "one" / "made"
    numbers = json.loads((folder / "metrics.json").read_text())
    saved = pq.read_table(folder / "predictions.parquet")
    labels, top5 = saved["label"].to_numpy(), np.array(saved["top5"].to_pylist())
    weights = class_weights.read_class_weights(results / "embeddings/tiny/classes/made.plain.parquet").weights_CD
    scores = np.array(saved["embedding"].to_pylist(), np.float32) @ weights.T
    every = list(range(len(CLASSES)))
    assert numbers["clouds"] == 60 and numbers["instances"] == 20
    assert numbers["top1"]["value"] == pytest.approx(accuracy_score(labels, top5[:, 0]))
    for k in (1, 3, 5):
        expected = top_k_accuracy_score(labels, scores, k=k, labels=every)
        assert numbers[f"top{k}"]["value"] == pytest.approx(expected)
        assert expected == pytest.approx(np.mean([label in row[:k] for label, row in zip(labels, top5, strict=True)]))
    assert numbers["mean_class"]["value"] == pytest.approx(balanced_accuracy_score(labels, top5[:, 0]))
    assert numbers["confusion"] == confusion_matrix(labels, top5[:, 0], labels=every).tolist()
    assert ((saved["rank"].to_numpy() == 0) == (top5[:, 0] == labels)).all()
    assert np.allclose(np.take_along_axis(scores, top5, 1), saved["top5_scores"].to_pylist(), atol=2e-3)
    assert numbers["held_out"]["classes"] == ["class 2"] and numbers["retrieval"] is None
    assert numbers["tracks"]["tracks"] == 20 and numbers["by_visibility"][0]["from"] == 1


def test_a_cloud_has_the_same_embedding_whatever_is_beside_it_and_however_often(tmp_path):
    rows = list(clouds())
    model = encoder()
    whole = encoded_benchmark(model, write_benchmark(tmp_path, rows), 200)[1]
    again = encoded_benchmark(model, write_benchmark(tmp_path, rows), 200)[1]
    apart = encoded_benchmark(model, write_benchmark(tmp_path, rows, group=7), 200)[1]
    assert (whole == again).all()
    assert np.abs(whole - apart).max() < 1e-5


def test_clouds_without_colours_are_grey_for_an_encoder_that_wants_some(tmp_path):
    grey, plain = list(clouds(5)), list(clouds(5))
    for row in grey:
        row["rgb"] = [[102, 102, 102]] * row["num_points"]
    model = encoder(colors=True)
    told = encoded_benchmark(model, write_benchmark(tmp_path, grey), 200)[1]
    assert np.allclose(told, encoded_benchmark(model, write_benchmark(tmp_path, plain), 200)[1], atol=1e-6)
    for row in grey:
        row["rgb"] = [[255, 0, 0]] * row["num_points"]
    assert np.abs(told - encoded_benchmark(model, write_benchmark(tmp_path, grey), 200)[1]).max() > 1e-3


def test_a_run_without_checkpoint(results, capsys):
    assert evaluate(results, "other") == 1
    assert "runs/other/model.json is missing" in capsys.readouterr().err


def test_a_benchmark_that_is_empty_or_missing(results, capsys):
    write_benchmark(results, [])
    assert evaluate(results) == 1 and "holds no cloud" in capsys.readouterr().err
    assert evaluate(results, benchmark="none") == 1 and "none.parquet is missing" in capsys.readouterr().err


def test_classes_in_another_order_are_not_scored(results, capsys):
    write_weights(results, CLASSES[::-1])
    assert evaluate(results) == 1
    assert "in another order" in capsys.readouterr().err
    assert not (results / "evaluation" / "runs").exists()


def test_a_class_without_text(results, capsys):
    write_weights(results, CLASSES[:-1])
    assert evaluate(results) == 1
    assert "class 6, for which there is no text weight" in capsys.readouterr().err
