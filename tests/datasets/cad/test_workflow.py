"""CAD datasets in the workflow."""

import pytest
import yaml

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


def test_openshape_is_planned_with_its_features(tmp_path):
    dataset = {"format": "openshape", "root": "/data/os", "splits": ["train_all"], "parts": 3, "front": "-z"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"cad": ["os"], "datasets": {"os": dataset}}))
    status, printed = run(tmp_path, "cad_triplets", "--dry-run", "--printshellcmds")
    assert status == 0, printed
    assert '--options \'{"front": "-z", "up": "y"}\'' in printed
    assert "results/embeddings/ViT-bigG-14_laion2b_s39b_b160k/os/train_all/part-00002.parquet" in printed
