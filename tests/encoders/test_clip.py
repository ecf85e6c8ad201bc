"""Which CLIP is loaded, what it is called, and what is said where it cannot be."""

import json
import logging
import os
import subprocess
import sys

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from blendclip.encoders import clip as clips
from blendclip.encoders.clip import load_clip
from blendclip.encoders.clip_names import clip_name, local_files
from blendclip.errors import UserError
from tests.encoders.test_embedding import SMALL


@pytest.fixture
def named(tmp_path):
    """A small model that open_clip knows by name, and a file of its weights."""
    config = tmp_path / "Small-CLIP.json"
    config.write_text(json.dumps(SMALL))
    open_clip.add_model_config(config)
    weights = tmp_path / "my weights.pt"
    torch.manual_seed(3)
    model = open_clip.create_model("Small-CLIP")
    torch.save(model.state_dict(), weights)
    yield weights, model
    open_clip.factory._MODEL_CONFIG_PATHS.remove(config)
    open_clip.factory._MODEL_CONFIGS.pop("Small-CLIP")


@pytest.mark.parametrize(
    ("model", "pretrained", "name"),
    [
        ("tiny", None, "tiny"),
        ("ViT-bigG-14", "laion2b_s39b_b160k", "ViT-bigG-14_laion2b_s39b_b160k"),
        ("ViT-B-16", "DataComp-XL-s13B-b90K", "ViT-B-16_datacomp_xl_s13b_b90k"),
        ("ViT-B-16", "/data/clip/best one.safetensors", "ViT-B-16_best-one"),
        ("local-dir:/data/clip/mine/", None, "mine"),
        ("hf-hub:apple/MobileCLIP-S1", None, "apple-MobileCLIP-S1"),
    ],
)
def test_the_name_of_the_folder(model, pretrained, name):
    assert clip_name(model, pretrained) == name


def test_no_tag_of_open_clip_is_taken_for_a_file():
    assert not [tag for _, tag in open_clip.list_pretrained() if local_files("any", tag)]


def test_planning_loads_no_torch():
    code = "import sys, blendclip.encoders.clip_names, blendclip.encoders.summary; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_weights_are_read_from_a_local_file(named):
    path, model = named
    clip = load_clip("Small-CLIP", str(path))
    assert clip.name == "Small-CLIP_my-weights"
    tokens = open_clip.get_tokenizer("Small-CLIP")(["a car"])
    with torch.no_grad():
        assert torch.allclose(clip.embed_texts(["a car"]), model.eval().encode_text(tokens), atol=1e-6)


@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod.", "_orig_mod.module.module."])
@pytest.mark.parametrize("containers", [[], ["state_dict"], ["model"], ["module"], ["model", "base_model"]])
def test_a_checkpoint_of_training_is_the_same_clip_as_its_weights(named, tmp_path, prefix, containers):
    path, model = named
    content = {prefix + name: value for name, value in model.state_dict().items()}
    for container in reversed(containers):
        content = {"epoch": 3, "name": "run", "best": np.float64(0.7), "optimizer": {"state": {}}, container: content}
    torch.save(content, tmp_path / "epoch_3.pt")
    assert load_clip("Small-CLIP", str(tmp_path / "epoch_3.pt")).digest() == load_clip("Small-CLIP", str(path)).digest()


def test_nothing_in_a_checkpoint_of_training_is_run(named, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "boom"),)

    torch.save({"state_dict": named[1].state_dict(), "extra": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(UserError, match=r"bomb\.pt does not hold weights of Small-CLIP"):
        load_clip("Small-CLIP", str(tmp_path / "bomb.pt"))
    assert not (tmp_path / "boom").exists()


@pytest.fixture
def records():
    """What the root logger and those below it hand to their handlers, from INFO on."""
    found = []
    handler = logging.Handler(logging.INFO)
    handler.emit = found.append
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield found
    root.removeHandler(handler)
    root.setLevel(level)


def test_loading_logs_nothing_while_open_clip_by_itself_logs_a_dozen_lines(records):
    folder = f"local-dir:{clips.TINY_FOLDER}"
    open_clip.create_model_from_pretrained(folder)
    open_clip.get_tokenizer(folder)
    assert len(records) >= 12
    records.clear()
    load_clip("tiny")
    assert records == []


def test_warnings_while_a_clip_loads_and_all_that_is_logged_after_it_still_appear(records, named, monkeypatch):
    create = open_clip.create_model_from_pretrained

    def warning(*args, **options):
        logging.warning("from open_clip")
        logging.getLogger("another library").info("at work")
        return create(*args, **options)

    monkeypatch.setattr(open_clip, "create_model_from_pretrained", warning)
    records.clear()  # of the fixture that made the weights
    load_clip("Small-CLIP", str(named[0]))
    with pytest.raises(UserError):
        load_clip("zzz", "openai")
    logging.info("after")
    assert [record.getMessage() for record in records] == ["from open_clip", "at work", "after"]


def test_the_digest_tells_weights_apart(named, tmp_path):
    path, model = named
    first, again = (load_clip("Small-CLIP", str(path)).digest() for _ in range(2))
    state = model.state_dict()
    state["logit_scale"] += 1e-3
    torch.save(state, path)
    assert first == again != load_clip("Small-CLIP", str(path)).digest()


@pytest.mark.parametrize(
    ("model", "pretrained", "sentence"),
    [
        ("ViT-B16", "openai", r"knows no model 'ViT-B16': set `model` of `clip` to a name such as .*ViT-B-16"),
        ("zzz", "openai", r"knows no model 'zzz': .* such as tiny"),
        ("ViT-B-16", "datacomp", r"has no weights 'datacomp': .* one of .*datacomp_xl_s13b_b90k"),
        ("ViT-B-16", None, r"needs weights: .* a local file or one of .*datacomp_xl_s13b_b90k"),
        ("ViT-B-16", "/nowhere/weights.pt", r"there is no file /nowhere/weights.pt"),
        ("ViT-B-16", "openai", r"another activation: set `model` of `clip` to ViT-B-16-quickgelu"),
        ("tiny", "openai", r"brings its weights along: leave `pretrained` of `clip` out"),
        ("local-dir:/nowhere", None, r"/nowhere lacks open_clip_config.json or weights: save a model there"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(model, pretrained, sentence):
    with pytest.raises(UserError, match=sentence) as raised:
        load_clip(model, pretrained)
    assert "\n" not in str(raised.value)


def test_a_package_without_its_tiny_clip_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "TINY_FOLDER", tmp_path)
    with pytest.raises(UserError, match="lacks open_clip_config.json or weights: install the package again"):
        load_clip("tiny")


@pytest.mark.parametrize("content", ["another model", "a text", "nothing"])
def test_a_file_that_holds_no_weights_of_the_model_is_refused(named, tmp_path, content):
    path = tmp_path / "strange.pt"
    if content == "another model":
        path = tmp_path / "strange.safetensors"
        save_file({"positional_embedding": torch.zeros(20, 8), "logit_scale": torch.zeros(())}, path)
    elif content == "a text":
        path.write_text("these are no weights")
    else:
        path.touch()
    with pytest.raises(UserError, match=r"strange.* does not hold weights of Small-CLIP") as raised:
        load_clip("Small-CLIP", str(path))
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "pretrained"), [("ViT-B-16", "datacomp_xl_s13b_b90k"), ("hf-hub:nobody/no-such-clip", None)]
)
def test_without_a_network_a_sentence_says_what_to_do(tmp_path, model, pretrained):
    """In a process of its own, since the hub's library reads its environment once."""
    options = ["--pretrained", pretrained] if pretrained else []
    command = [sys.executable, "-m", "blendclip", "embed", "--model", model, *options, "--device", "cpu"]
    command += ["--views", "v.parquet", "--captions", "v.parquet", "--output", str(tmp_path)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": "", "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=offline)
    assert done.returncode == 1
    assert "could not be downloaded" in done.stderr and "set `pretrained` of `clip` to it" in done.stderr
    assert "Traceback" not in done.stderr
