"""CAD datasets in the workflow."""

import shutil

import pytest
import yaml

from tests.mining.captions.stub import Behaviour, answered, fake_python, running, sentence
from tests.mining.captions.test_workflow import urls
from tests.mining.pipeline import read
from tests.test_workflow import digests, run

SMALL = {"format": "shapes", "splits": ["train", "test"], "parts": 2, "views": 1, "image_px": 32, "points": 64}


def configure(folder, **changes):
    folder.mkdir(exist_ok=True)
    config = {"cad": ["things"], "datasets": {"things": SMALL | {"variants": {"train": 1, "test": 1}} | changes}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.mark.slow
def test_shapes_are_generated_read_and_summed_up_in_the_same_bytes(tmp_path):
    first, second = configure(tmp_path / "one"), configure(tmp_path / "two")
    status, printed = run(first, "cad_triplets", cores=1)
    assert status == 0, printed
    assert "things/train: 56 objects, 56 classes" in printed and "things/test: 56 objects" in printed
    status, printed = run(second, "cad_triplets", cores=2)
    assert status == 0, printed
    assert digests(first) == digests(second)
    assert len(digests(first)) == 4 * 4 + 2, "triplets, views, captions and rejects of four parts, two summaries"


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"cad": ["city"]}, "`cad` names city, whose format belongs under `mine`"),
        ({"mine": ["shapes"]}, "`mine` names shapes, whose format belongs under `cad`"),
        ({"cad": ["chairs"]}, "`cad` names chairs, which `datasets` does not describe"),
        (
            {"datasets": {"m": {"format": "meshes", "splits": ["a"], "parts": 1}}},
            "`datasets.m.root` is missing: set it",
        ),
        (
            {"datasets": {"o": {"format": "openshape", "root": "x", "splits": ["a"], "parts": 1, "views": 3}}},
            "`datasets.o.views` is no option",
        ),
    ],
)
def test_a_wrong_config_names_itself(tmp_path, config, sentence):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    status, printed = run(tmp_path, "cad_triplets", "--dry-run")
    assert status != 0 and sentence in printed, printed


def captioned_by(folder, **caption):
    """The small CAD dataset, its views captioned by a model; returns what the run printed."""
    configure(folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["datasets"]["things"] |= {"views": 2, "parts": 1, "splits": ["train"]}
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"caption": {"model": "stub", **caption}}))
    status, printed = run(folder, "cad_triplets", cores=2)
    assert status == 0, printed
    return printed


@pytest.mark.slow
def test_a_model_captions_the_views_once_and_what_it_says_is_in_the_triplets(tmp_path):
    record, folder = tmp_path / "record", tmp_path / "one"
    with running(Behaviour(record=str(record))) as url:
        printed = captioned_by(folder, backend="endpoint", base_url=[url])
        assert "things/train: 56 objects, 56 classes" in printed and "112" in printed
        asked = answered(record)
        assert sorted(asked) == sorted(set(urls(read(folder / "results" / "views" / "things" / "train"))))
        for stage in ("captions", "triplets", "summaries"):
            shutil.rmtree(folder / "results" / stage)
        captioned_by(folder, backend="endpoint", base_url=url)
    assert answered(record) == asked, "asked again"
    triplets = read(folder / "results" / "triplets" / "things" / "train")
    assert len(triplets) == 56 and triplets["caption"].tolist() == [sentence(url) for url in urls(triplets)]
    assert set(triplets["caption_model"]) == {"stub"}

    other = tmp_path / "two"
    captioned_by(other, backend="vllm", vllm={"python": fake_python(tmp_path, Behaviour())})
    first, second = (
        {name: sha for name, sha in digests(one).items() if "summaries/captions" not in name}  # which hold times
        for one in (folder, other)
    )
    assert first == second and len(first) == 7 + 1, "tables and rejects of four stages, the latter of three, a summary"

    printed = captioned_by(folder, backend="template")
    assert "things/train: 56 objects, 56 classes" in printed
    assert "stub" not in set(read(folder / "results" / "triplets" / "things" / "train")["caption_model"])


def test_openshape_keeps_its_captions_since_its_views_are_no_images(tmp_path):
    dataset = {"format": "openshape", "root": "/data/os", "splits": ["train_all"], "parts": 1}
    caption = {"backend": "endpoint", "base_url": "http://127.0.0.1:9/v1"}
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"cad": ["os"], "datasets": {"os": dataset}, "caption": caption})
    )
    status, printed = run(tmp_path, "cad_triplets", "--dry-run", "--printshellcmds")
    assert status == 0 and "blendclip caption" not in printed, printed


def test_openshape_is_planned_with_its_features(tmp_path):
    dataset = {"format": "openshape", "root": "/data/os", "splits": ["train_all"], "parts": 3, "front": "-z"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"cad": ["os"], "datasets": {"os": dataset}}))
    status, printed = run(tmp_path, "cad_triplets", "--dry-run", "--printshellcmds")
    assert status == 0, printed
    assert '--options \'{"front": "-z", "up": "y"}\'' in printed
    assert "results/embeddings/ViT-bigG-14_laion2b_s39b_b160k/os/train_all/part-00002.parquet" in printed
