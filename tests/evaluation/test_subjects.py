"""Models that were not trained here: measured in their own axes and colors, marked, refused where they do not fit."""

import json
import logging

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from blendclip import storage
from blendclip.encoders.model_folder import Description, write_model_folder
from blendclip.evaluation import class_weights
from blendclip.evaluation.benchmark import encoded_benchmark
from blendclip.evaluation.paired import compare_runs
from tests.encoders import test_foreign as foreign
from tests.encoders.test_checkpoints import saved, ulip_features
from tests.evaluation.test_benchmark import CLASSES, WIDTH, clouds, encoder, evaluate, write_benchmark, write_weights

ULIP2_WIDTH = 1280
TURNED = {"x": [2, 0, 1], "y": [1, 2, 0], "z": [0, 1, 2]}  # which of x, y, z (up) an encoder sees as its x, y, z


def wide_weights(results, width):
    """Text weights of another CLIP than the tiny one."""
    weights = np.random.default_rng(2).normal(size=(len(CLASSES), width)).astype(np.float32)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    rows = [{"class_name": name, "words": [name], "weight": row} for name, row in zip(CLASSES, weights, strict=True)]
    path = results / "embeddings" / "wide" / "classes" / "made.plain.parquet"
    table = storage.table_of(rows, class_weights.SCHEMA)
    storage.write_parquet(path, class_weights.SCHEMA, [table], storage.metadata("class_weights", {}))
    return weights


def turned(rows, up):
    return [row | {"points": np.array(row["points"])[:, TURNED[up]].tolist()} for row in rows]


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_the_axis_of_an_encoder_is_the_one_that_clouds_are_turned_to(tmp_path, up):
    rows, model = list(clouds(20)), encoder()
    turned_here = encoded_benchmark(model, write_benchmark(tmp_path, turned(rows, up)), 200)[1]
    turned_there = encoded_benchmark(model, write_benchmark(tmp_path, rows), 200, up)[1]
    assert np.abs(turned_here - turned_there).max() < 1e-6
    if up != "z":
        assert np.abs(turned_here - encoded_benchmark(model, write_benchmark(tmp_path, rows), 200)[1]).max() > 1e-3


def test_turning_does_not_mirror():
    for order in TURNED.values():
        assert np.linalg.det(np.eye(3)[order]) == pytest.approx(1)


def seen_by_ulip2(points):
    """A cloud as the code of ULIP-2 gives it to its encoder: y up, mean and radius taken out, grey for no colors."""
    points = torch.tensor(np.array(points), dtype=torch.float32)[:, TURNED["y"]]
    points = points - points.mean(0)
    return points / points.norm(dim=1).max().clamp_min(1e-9), torch.full((len(points), 3), 0.4)


def test_a_published_checkpoint_is_measured_by_what_its_own_layers_give(tmp_path, caplog, capsys):
    rows, checkpoint = list(clouds(24)), foreign.ulip2()
    write_benchmark(tmp_path, rows)
    weights_CD = wide_weights(tmp_path, ULIP2_WIDTH)
    path = saved(tmp_path / "ulip2.pt", checkpoint)
    with caplog.at_level(logging.WARNING):
        assert evaluate(tmp_path, "theirs", model=path, clip="wide") == 0
    assert "24 of 24 clouds have no colors, which the encoder sees: they are grey" in caplog.text
    folder = tmp_path / "evaluation" / "runs" / "theirs" / "made"
    numbers = json.loads((folder / "metrics.json").read_text())
    assert numbers["model"] == {"origin": "ULIP-2", "up": "y", "clip": "wide"}
    assert f"--model {path}" in numbers["command"] and numbers["held_out"] is None
    expected = torch.stack([ulip_features(checkpoint["state_dict"], *seen_by_ulip2(row["points"])) for row in rows])
    expected = torch.nn.functional.normalize(expected, dim=1).numpy()
    embedded = np.array(pq.read_table(folder / "predictions.parquet")["embedding"].to_pylist(), np.float32)
    assert np.abs(embedded - expected).max() < 1e-3, "they are stored in half precision"
    right = (expected @ weights_CD.T).argmax(1) == [row["label"] for row in rows]
    assert numbers["top1"]["value"] == pytest.approx(right.mean())
    assert capsys.readouterr().out == f"theirs on made: top-1 {right.mean():.1%}\n"


def write_model(folder, up="z", clip="tiny", **recipe):
    write_model_folder(folder, encoder(), Description(clip, 200, up=up, recipe=recipe))
    return folder


def test_a_model_folder_says_its_axis_its_clip_and_what_it_was_not_taught_and_a_flag_may_say_another_axis(tmp_path):
    write_benchmark(tmp_path, clouds())
    write_weights(tmp_path)
    model = write_model(tmp_path / "mine", up="y", data={"excluded_classes": ["class 2"], "excluded_from": "real"})
    assert evaluate(tmp_path, "as_it_says", model=model) == evaluate(tmp_path, "turned", model=model, up="z") == 0
    plain = write_model(tmp_path / "plain")
    assert evaluate(tmp_path, "plain", model=plain) == 0
    found = {}
    for name in ("as_it_says", "turned", "plain"):
        folder = tmp_path / "evaluation" / "runs" / name / "made"
        found[name] = json.loads((folder / "metrics.json").read_text())
    assert [one["model"]["up"] for one in found.values()] == ["y", "z", "z"]
    assert found["as_it_says"]["model"]["clip"] == "tiny"
    assert found["as_it_says"]["held_out"]["classes"] == ["class 2"] and found["plain"]["held_out"] is None
    assert found["turned"]["confusion"] == found["plain"]["confusion"] != found["as_it_says"]["confusion"]
    pair = compare_runs(tmp_path, ["plain", "as_it_says"])[0]
    assert (pair.run_a, pair.run_b) == tuple(f"{name} (of the package blendclip)" for name in ("plain", "as_it_says"))


@pytest.mark.parametrize(
    ("checkpoint", "options", "sentence"),
    [
        (
            foreign.ulip2,
            {"clip": "tiny"},
            f"has features of width {ULIP2_WIDTH} and the CLIP tiny of width {WIDTH}: set its `clip`",
        ),
        (foreign.ulip2, {}, "does not say which CLIP it is aligned to: set its `clip`"),
        (foreign.ulip2, {"clip": "none"}, "none/classes/made.plain.parquet is missing"),
        (foreign.point_bert, {"clip": "tiny"}, "has no projection to CLIP's width"),
        (None, {"clip": "wide"}, "is aligned to the CLIP tiny, not to wide: set its `clip` to the former"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_nothing_is_written(tmp_path, capsys, checkpoint, options, sentence):
    write_benchmark(tmp_path, clouds(5))
    write_weights(tmp_path)
    model = saved(tmp_path / "theirs.pt", checkpoint()) if checkpoint else write_model(tmp_path / "mine")
    assert evaluate(tmp_path, "theirs", model=model, **options) == 1
    told = capsys.readouterr().err
    assert sentence in told and len(told.strip().splitlines()) == 1
    assert not (tmp_path / "evaluation" / "runs").exists()
