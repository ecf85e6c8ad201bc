"""Embedding in the workflow."""

import pyarrow.parquet as pq
import pytest
import yaml

from tests.encoders.test_embedding import folder as folder  # a fixture
from tests.test_workflow import run

THINGS = {"format": "shapes", "splits": ["test"], "parts": 2, "views": 1, "image_px": 32, "points": 64}
OPENSHAPE = {"format": "openshape", "root": "/data/os", "splits": ["train_all"], "parts": 3}
BIG_G = {"model": "ViT-bigG-14", "pretrained": "laion2b_s39b_b160k"}


def configure(place, clip, cad, **datasets):
    config = {"mine": ["town"], "cad": cad, "datasets": datasets, "clip": clip}
    config["datasets"]["town"] = {"format": "city", "splits": ["mini_val"], "parts": 1}
    config["datasets"]["town"]["scenes"] = {"mini_train": 0, "mini_val": 1}
    (place / "config.yaml").write_text(yaml.safe_dump(config))
    return place


@pytest.mark.slow
def test_mined_and_cad_datasets_are_embedded(tmp_path, folder):
    things = THINGS | {"variants": {"train": 0, "test": 1}}
    place = configure(tmp_path, {"model": f"local-dir:{folder}"}, ["things"], things=things)
    status, printed = run(place, "embed")
    assert status == 0, printed
    assert "things/test by small: 56 images, 56 texts, 0 of them cut" in printed
    views = pq.read_table(place / "results/views/town/mini_val", columns=["view_id"])["view_id"].to_pylist()
    found = pq.read_table(place / "results/embeddings/small/town/mini_val").to_pandas()
    assert found[found["kind"] == "image"]["view_id"].tolist() == views and len(views) > 20
    status, printed = run(place, "embed", "--dry-run")
    assert status == 0 and "embed_town" not in printed, "nothing is left to do"
    (folder / "open_clip_model.safetensors").touch()
    status, printed = run(place, "embed", "--dry-run")
    assert status == 0 and "embed_town_mini_val" in printed, "weights are an input"


def test_features_of_openshape_are_its_own(tmp_path):
    place = configure(tmp_path, BIG_G, ["os"], os=OPENSHAPE)
    status, printed = run(place, "embed", "--dry-run")
    assert status == 0, printed
    assert "read_cad_os" in printed and "embed_os" not in printed and "embed_town_mini_val" in printed
    assert "results/embeddings/ViT-bigG-14_laion2b_s39b_b160k/os/train_all/part-00002.parquet" in printed


def test_openshape_with_another_clip_is_one_clear_sentence(tmp_path):
    place = configure(tmp_path, {"model": "tiny"}, ["os"], os=OPENSHAPE)
    status, printed = run(place, "embed", "--dry-run")
    assert status != 0 and "os holds no images, only features of ViT-bigG-14: set `clip` to" in printed
    status, printed = run(place, "cad_triplets", "--dry-run")
    assert status == 0, printed


@pytest.mark.parametrize(
    ("clip", "sentence"),
    [
        ({"model": "ViT-B-16"}, "`clip.pretrained` is missing: name the weights of ViT-B-16"),
        ({"model": "ViT-B-16", "tag": "openai"}, "`clip.tag` is no option"),
        ({"model": "ViT-B-16", "pretrained": "/nowhere/w.pt"}, "`clip` names /nowhere/w.pt, which is not there"),
    ],
)
def test_a_wrong_clip_is_told_before_anything_runs(tmp_path, clip, sentence):
    status, printed = run(configure(tmp_path, clip, []), "embed", "--dry-run")
    assert status != 0 and sentence in printed, printed
