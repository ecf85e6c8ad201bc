"""Models on disk and on the hub: what is written is read again, older files too, and what is missing is said."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml

import blendclip
from blendclip.config import read_config
from blendclip.encoders.checkpoints import save_encoder
from blendclip.encoders.clip_names import TINY_FOLDER
from blendclip.encoders.model_card import license_of
from blendclip.encoders.model_folder import ClipSource, described_run, read_model, write_run_model
from blendclip.errors import UserError
from blendclip.shipped import shipped
from blendclip.training.recipe import as_recipe
from tests.models import small_encoder, small_model

RECIPE = asdict(as_recipe({"clip": "tiny", "data": {"synthetic": ["shapes/train"], "max_points": 77}}))
DATA = {
    "shapes/train": {"domain": "synthetic", "triplets": 1120, "instances": 1120},
    "nuscenes/train": {"domain": "real", "triplets": 20_000, "instances": 900},
    "ours/2025": {"domain": "real", "triplets": 5, "instances": 1},
}
METRICS = {"city/mini_val": {"top1": 0.625, "top5": 0.9, "mean_class": 0.5, "most_frequent": 0.325}}
CLOUDS = [np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)]


@pytest.fixture
def run(tmp_path):
    """A run in a results folder, evaluated on one benchmark."""
    folder = tmp_path / "results" / "runs" / "curriculum"
    write_run_model(folder / "model.safetensors", small_encoder(), described_run(RECIPE, DATA, METRICS))
    evaluated = tmp_path / "results" / "evaluation" / "runs" / "curriculum" / "city"
    evaluated.mkdir(parents=True)
    interval = {"value": 0.5, "low": 0.4, "high": 0.6}
    numbers = {"top1": interval, "top5": interval, "mean_class": interval, "most_frequent": 0.3}
    (evaluated / "metrics.json").write_text(json.dumps(numbers | {"clouds": 700, "classes": ["car", "truck"]}))
    return folder


def test_a_run_says_what_it_expects_and_how_it_came_about(run):
    about = json.loads((run / "model.json").read_text())
    assert about["clip"] == {"model": "tiny", "pretrained": None} and about["clip_name"] == "tiny"
    assert about["up"] == "z" and about["normalization"] == "unit_sphere" and about["max_points"] == 77
    assert about["data"] == DATA and about["metrics"] == METRICS
    assert about["recipe"] == json.loads(json.dumps(RECIPE)) and about["encoder"]["width"] == 16
    model = blendclip.load(run)
    assert model.description.max_points == 77 and model.description.metrics["city"]["top1"] == 0.5


def test_a_saved_model_is_the_same_model_elsewhere(run, tmp_path):
    model = blendclip.load(run)
    assert model.save(tmp_path / "mine") == tmp_path / "mine"
    moved = Path(shutil.move(tmp_path / "mine", tmp_path / "moved"))
    again = blendclip.load(str(moved))
    assert np.array_equal(again.encode(CLOUDS), model.encode(CLOUDS))
    assert np.array_equal(again.classifier("city").weights_CD, model.classifier("city").weights_CD)
    assert again.description == model.description
    assert np.array_equal(blendclip.load(moved / "model.safetensors").encode(CLOUDS), model.encode(CLOUDS))
    again.save(tmp_path / "third")
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "third" / name).read_bytes() == (moved / name).read_bytes()


def test_a_run_says_where_a_clip_of_ones_own_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(TINY_FOLDER, tmp_path / "clips" / "mine")
    content = yaml.safe_load(shipped("config.yaml").read_text()) | {"clip": {"model": "local-dir:clips/mine"}}
    recipe = read_config(content).recipes["curriculum"]
    assert recipe.clip == "mine"
    description = described_run(asdict(recipe), DATA, METRICS)
    write_run_model(tmp_path / "run" / "model.safetensors", small_encoder(), description)
    about = json.loads((tmp_path / "run" / "model.json").read_text())
    assert about["clip"] == about["recipe"]["clip_options"] == {"model": "local-dir:clips/mine", "pretrained": None}
    weights = blendclip.load("run").classifier("city").weights_CD
    assert np.array_equal(weights, small_model().classifier("city").weights_CD), "it is the tiny CLIP, elsewhere"
    shutil.rmtree(tmp_path / "clips")
    with pytest.raises(
        UserError, match="^clips/mine lacks .*; or load the model with the `clip` that it is aligned to$"
    ):
        blendclip.load("run").classifier("city")
    assert blendclip.load("run", clip="tiny").classifier("city").names


@pytest.mark.parametrize("told", [{}, {"clip_options": None}])
def test_a_recipe_that_only_names_its_clip_says_less(told):
    plain = {name: value for name, value in RECIPE.items() if name != "clip_options"}
    named = {"clip": "ViT-B-16_datacomp_xl_s13b_b90k"}
    assert described_run(plain | told | named, {}, {}).clip == ClipSource("ViT-B-16", "datacomp_xl_s13b_b90k")
    assert described_run(plain | told | {"clip": "mine"}, {}, {}).clip is None


def test_a_run_of_format_1_still_loads(tmp_path):
    save_encoder(tmp_path / "model.safetensors", small_encoder(), RECIPE)
    model = blendclip.load(tmp_path)
    assert model.description.max_points == 77 and model.description.up == "z"
    assert model.classify(CLOUDS, ["car", "tree"]).names[0] in ("car", "tree")
    save_encoder(tmp_path / "model.safetensors", small_encoder(), {"seed": 0})
    with pytest.raises(UserError, match="model.json lacks the recipe of a run"):
        blendclip.load(tmp_path)


def test_a_newer_format_is_refused(tmp_path):
    save_encoder(tmp_path / "model.safetensors", small_encoder(), RECIPE, {"format": 3})
    with pytest.raises(UserError, match="format 3, newer than this version reads"):
        read_model(tmp_path / "model.safetensors")


def test_a_run_that_has_not_ended_says_so(tmp_path):
    (tmp_path / "training" / "abc").mkdir(parents=True)
    (tmp_path / "training" / "abc" / "recipe.json").write_text("{}")
    with pytest.raises(UserError, match="is a run that has not ended"):
        blendclip.load(tmp_path)


def test_the_card_tells_numbers_licenses_and_use(run, tmp_path):
    blendclip.load(run).save(tmp_path / "mine")
    card = (tmp_path / "mine" / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["library_name"] == "blendclip" and "lidar" in head["tags"]
    assert "| city/mini_val |  |  | 62.5 | 90.0 | 50.0 | 32.5 |" in card
    assert "| city | 2 | 700 | 50.0 | 50.0 | 50.0 | 30.0 |" in card
    assert "| nuscenes/train | real | 20,000 | 900 | CC BY-NC-SA 4.0" in card
    assert "| ours/2025 | real | 5 | 1 | not known here" in card
    use = card.split("```python\n")[1].split("```")[0]
    compile(use, "card", "exec")
    assert 'blendclip.load("mine")' in use and len(use.splitlines()) <= 12


def test_the_use_on_the_card_works(tmp_path, monkeypatch):
    small_model().save(tmp_path / "mine")
    card = (tmp_path / "mine" / "README.md").read_text()
    sweep = np.random.default_rng(0).uniform(-5, 5, (4000, 5)).astype(np.float32)
    sweep.tofile(tmp_path / "sweep.pcd.bin")
    header = (
        "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 9\nHEIGHT 1\nPOINTS 9\nDATA binary\n"
    )
    (tmp_path / "object.pcd").write_bytes(header.encode() + sweep[:9, :3].tobytes())
    monkeypatch.chdir(tmp_path)
    names = {"boxes": [[0, 0, 0, 4, 2, 2, 0.3], [3, 3, 0, 2, 2, 2, 0]]}
    exec(card.split("```python\n")[1].split("```")[0], names)
    assert names["hits"].rows.shape == (1, 2)


def test_numbers_of_a_folder_of_evaluations_join_the_card(run, tmp_path):
    model = small_model()
    model.save(tmp_path / "mine", metrics=run.parents[1] / "evaluation" / "runs" / "curriculum")
    assert "| city | 2 | 700 | 50.0 |" in (tmp_path / "mine" / "README.md").read_text()
    assert model.description.metrics == {}


@pytest.mark.parametrize(
    ("dataset", "terms"),
    [
        ("nuscenes", "NC"),
        ("TruckScenes", "NC"),
        ("city", "generated"),
        ("shapenet", "research"),
        ("cityscapes2", "not known"),
    ],
)
def test_licenses_of_data_by_name(dataset, terms):
    assert terms in license_of(dataset)


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ("tiny", ClipSource("tiny")),
        ("ViT-B-16_datacomp_xl_s13b_b90k", ClipSource("ViT-B-16", "datacomp_xl_s13b_b90k")),
        (("ViT-B-32", "openai"), ClipSource("ViT-B-32", "openai")),
        ({"model": "tiny", "pretrained": None}, ClipSource("tiny")),
        ("hf-hub:apple/MobileCLIP-S1", ClipSource("hf-hub:apple/MobileCLIP-S1")),
    ],
)
def test_a_clip_is_named_in_any_of_these_ways(given, source):
    assert ClipSource.parse(given) == source
    if source.model != "hf-hub:apple/MobileCLIP-S1":
        assert ClipSource.named(source.name) == source


def put_in_cache(model, cache, name):
    """A model as an earlier download leaves it in the hub's cache."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = cache / f"models--{name.replace('/', '--')}"
    model.save(folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    return folder / "snapshots" / commit


def offline(code, cache):
    """What code prints without a network; in a process of its own, since the hub's library reads its variables once."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache), "HF_HOME": str(cache)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_model_of_the_hub_loads_from_its_cache_and_what_is_missing_is_one_sentence(tmp_path):
    model = small_model()
    put_in_cache(model, tmp_path, "owner/mine")
    (put_in_cache(model, tmp_path, "owner/half") / "model.safetensors").unlink()
    code = """
import blendclip
print(blendclip.load("hf-hub:owner/mine").encode([[[0.0, 1.0, 2.0], [3.0, 1.0, 0.0]]])[0, :3].tolist())
print(blendclip.load("hf-hub:owner/mine@main").description.clip_name)
for name in ("owner/half", "owner/none", "owner/mine@v9"):
    try:
        blendclip.load(f"hf-hub:{name}")
    except blendclip.UserError as error:
        print(error)
"""
    lines = offline(code, tmp_path).splitlines()
    expected = model.encode([[[0.0, 1.0, 2.0], [3.0, 1.0, 0.0]]])[0, :3]
    assert np.allclose(json.loads(lines[0]), expected, atol=1e-6) and lines[1] == "tiny"
    for line, name in zip(lines[2:], ("owner/half", "owner/none", "owner/mine@v9"), strict=True):
        assert line.startswith(f"hf-hub:{name} is not on this machine and could not be downloaded")


@pytest.mark.slow
def test_pushing_without_a_network_is_one_sentence(tmp_path):
    code = """
import blendclip
from tests.models import small_model
try:
    small_model().push("owner/mine")
except blendclip.UserError as error:
    print(error)
"""
    (line,) = offline(code, tmp_path).splitlines()
    assert line.startswith("owner/mine could not be uploaded") and line.endswith("log in with `hf auth login`")


def test_pushing_uploads_the_whole_folder(monkeypatch):
    calls = []

    class Api:
        def create_repo(self, name, private, exist_ok):
            calls.append((name, private, exist_ok))

        def upload_folder(self, repo_id, folder_path):
            calls.append((repo_id, sorted(path.name for path in Path(folder_path).iterdir())))
            return f"https://hub/{repo_id}"

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert small_model().push("owner/mine", private=True) == "https://hub/owner/mine"
    assert calls == [("owner/mine", True, True), ("owner/mine", ["README.md", "model.json", "model.safetensors"])]
    with pytest.raises(UserError, match="'mine' is no name of a model on the hub"):
        small_model().push("mine")
