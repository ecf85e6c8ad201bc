"""Checkpoints in the layouts of other projects' code: read without running anything, and known by whose they are."""

import argparse
import errno
import logging
import random
import re
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from blendclip.encoders.checkpoints import load_foreign, load_weights
from blendclip.encoders.foreign import read_foreign, read_state
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.errors import UserError
from tests.encoders.test_checkpoints import (
    SMALL,
    point_bert_checkpoint,
    point_bert_state,
    saved,
    ulip_checkpoint,
    ulip_features,
)
from tests.encoders.test_pointbert import random_clouds

WIDTH = 256  # four heads of 64


def slip(state):
    """What ULIP's model holds beside the point encoder."""
    names = "visual.cls_token visual.blocks.0.attn.qkv.bias transformer.resblocks.0.attn.in_proj_weight "
    names += "token_embedding.weight positional_embedding ln_final.weight image_projection text_projection logit_scale"
    return state | {name: torch.randn(2, 2) for name in names.split()}


def point_encoder(**options):
    return {f"point_encoder.{name}": value for name, value in point_bert_state(width=WIDTH, **options).items()}


def training(model, **more):
    """As ULIP's `main.py`, and what came of it, saves: the data-parallel model, training's state and arguments."""
    state = {f"module.{name}": value for name, value in model.items()}
    arguments = argparse.Namespace(model="ULIP", lr=3e-3, betas=(0.9, 0.98), gpu=0)
    scaler = {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 7}
    return {"epoch": 5, "state_dict": state, "optimizer": {"state": {0: {"step": 3}}}, "scaler": scaler} | {
        "best_acc1": 60.0,
        "args": arguments,
        **more,
    }


def ulip():
    return training(slip(point_encoder() | {"pc_projection": torch.randn(2 * WIDTH, 512) / 20}))


def ulip2():
    clip = {
        "open_clip_model.visual.conv1.weight": torch.randn(2, 3, 1, 1),
        "open_clip_model.logit_scale": torch.ones(()),
    }
    projection = {"pc_projection": torch.randn(2 * WIDTH, 1280) / 20, "logit_scale": torch.ones(())}
    return training(clip | projection | point_encoder(channels=6))


def blendclip(**more):
    """As the released code saves: ULIP-2's, to a narrower CLIP, with a buffer; the last epoch is a word."""
    clip = {"open_clip_model.text.ln_final.bias": torch.randn(2), "open_clip_model.logit_bias": torch.ones(())}
    encoder = point_encoder(**more) | {"point_encoder.patch_padding": torch.zeros(1, 1, WIDTH)}
    projection = {"pc_projection": torch.randn(2 * WIDTH, 512) / 20, "logit_scale": torch.ones(())}
    return training(encoder | projection | clip, epoch="last")


def point_bert():
    """As Point-BERT's builder saves pretraining: the accuracy is a numpy number, being a sum of an array."""
    correct = np.array([True, False])
    metrics = {"metrics": {"acc": np.sum(correct) * 1.0 / correct.shape[0]}, "best_metrics": {"acc": np.float64(0.9)}}
    return point_bert_checkpoint(width=WIDTH) | metrics


def fine_tuned_point_bert():
    """As its builder saves a classifier that was trained in one process."""
    head = {"cls_head_finetune.0.weight": torch.randn(8, 2 * WIDTH), "cls_head_finetune.3.bias": torch.randn(8)}
    model = {f"module.{name}": value for name, value in (point_bert_state(width=WIDTH) | head).items()}
    return {"base_model": model, "epoch": 3, "metrics": {"acc": torch.tensor(93.2)}, "best_metrics": {}}


@pytest.mark.parametrize(
    ("checkpoint", "origin", "told"),
    [
        (
            ulip,
            "ULIP",
            "depth: 2, width: 256, encoder_width: 32, mlp_ratio: 4.0, colors: false, size: false, out_dim: 512",
        ),
        (ulip2, "ULIP-2", "colors: true, size: false, out_dim: 1280"),
        (blendclip, "BlendCLIP", "colors: false, size: false, out_dim: 512"),
        (lambda: blendclip(channels=6), "BlendCLIP", "colors: true, size: false, out_dim: 512"),
        (lambda: blendclip(depth=5, encoder=64), "BlendCLIP", "depth: 5, width: 256, encoder_width: 64"),
    ],
)
def test_a_checkpoint_says_whose_it_is_and_what_shape_it_has(tmp_path, caplog, checkpoint, origin, told):
    path = saved(tmp_path / "theirs.pt", checkpoint())
    with caplog.at_level(logging.INFO):
        encoder, whose = load_foreign(path)
    assert whose == origin
    assert f"{path} is of {origin}, with " in caplog.text and told in caplog.text
    assert encoder.config.heads == 4 and not encoder.training
    with caplog.at_level(logging.INFO):
        known = load_weights(PointBert(encoder.config), path)
    assert known == {"origin": origin, "up": "z" if origin == "BlendCLIP" else "y"}
    assert f"{path} is of {origin}\n" in caplog.text


@pytest.mark.parametrize("checkpoint", [point_bert, fine_tuned_point_bert])
def test_point_bert_has_no_projection_to_name_things_with(tmp_path, checkpoint):
    path = saved(tmp_path / "Point-BERT.pth", checkpoint())
    with pytest.raises(UserError, match="has no projection to CLIP's width: set `new_projection: true`"):
        load_foreign(path)
    encoder, origin = load_foreign(path, new_projection=True)
    assert origin == "Point-BERT" and encoder.config.out_dim == 512
    assert torch.equal(encoder.class_token, point_bert_state(width=WIDTH)["cls_token"][0, 0])
    other = PointBertConfig(depth=2, width=WIDTH, heads=4, encoder_width=32, out_dim=77)
    assert load_foreign(path, other, new_projection=True)[0].config == other


def test_a_new_projection_takes_the_place_of_theirs(tmp_path):
    encoder, _ = load_foreign(saved(tmp_path / "ulip2.pt", ulip2()), new_projection=True)
    assert encoder.config.out_dim == 512 and encoder.config.colors


def test_the_released_blendclip_gives_its_own_features(tmp_path):
    checkpoint = blendclip()
    encoder, _ = load_foreign(saved(tmp_path / "blendclip.pt", checkpoint))
    clouds = random_clouds([1, 2, 31, 32, 48, 700, 2048])
    with torch.no_grad():
        features = encoder(clouds)
        for number, points in enumerate(clouds.points.split(clouds.lengths.tolist())):
            expected = ulip_features(checkpoint["state_dict"], points, None)
            torch.testing.assert_close(features[number], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "module.module.", "_orig_mod.module._orig_mod."])
def test_wrappers_of_training_may_stand_in_any_number_and_place(tmp_path, wrapper):
    plain = blendclip()["state_dict"]
    model = {wrapper + name.removeprefix("module."): value for name, value in plain.items()}
    model = {re.sub(r"\bpoint_encoder\.", f"point_encoder.{wrapper}", name): value for name, value in model.items()}
    weights = read_foreign(saved(tmp_path / "wrapped.pt", {"state_dict": model}))
    expected = read_foreign(saved(tmp_path / "plain.pt", {"state_dict": plain}))
    assert weights.origin == "BlendCLIP" and weights.state.keys() == expected.state.keys()
    assert all(torch.equal(weights.state[name], value) for name, value in expected.state.items())


@pytest.mark.parametrize(
    "contained",
    [
        lambda model: model,
        lambda model: {"state_dict": model, "epoch": 3},
        lambda model: {"model": model, "ema": None},
        lambda model: {"base_model": model},
        lambda model: {"module": model, "global_steps": 9},
        lambda model: {"model": {"module": {"state_dict": model}}},
    ],
)
def test_weights_may_lie_in_any_container(tmp_path, contained):
    path = saved(tmp_path / "contained.pt", contained(blendclip()["state_dict"]))
    assert read_foreign(path).state["class_token"].shape == (WIDTH,)


def test_a_file_that_holds_itself_is_one_sentence(tmp_path):
    content = {}
    content["model"] = content
    with pytest.raises(UserError, match=r"not a PointBERT \(it holds nothing"):
        read_foreign(saved(tmp_path / "snake.pt", content))


@pytest.mark.parametrize("number", [np.float64(0.9), np.float32(0.9), np.int64(7), np.bool_(True), np.complex64(1j)])
def test_numpy_numbers_beside_the_weights_do_no_harm(tmp_path, number):
    content = {"base_model": point_bert()["base_model"], "metrics": {"acc": number}}
    assert read_foreign(saved(tmp_path / "a.pth", content)).origin == "Point-BERT"


def test_numbers_of_numpy_2_are_read_too(tmp_path):
    path = tmp_path / "old_layout.pth"
    torch.save(
        {"model": {"cls_token": torch.ones(3)}, "acc": np.float64(0.9)}, path, _use_new_zipfile_serialization=False
    )
    written = path.read_bytes()
    assert b"numpy.core.multiarray\nscalar" in written
    path.write_bytes(written.replace(b"numpy.core.multiarray\nscalar", b"numpy._core.multiarray\nscalar"))
    assert torch.equal(read_state(path)["cls_token"], torch.ones(3))


def test_other_things_of_numpy_are_not_run(tmp_path):
    path = saved(tmp_path / "array.pth", {"model": {"cls_token": torch.ones(3)}, "acc": np.ones(3)})
    with pytest.raises(UserError, match=r"holds the Python object numpy\.core\.multiarray\._reconstruct, which is not"):
        read_state(path)


def word(text):
    return b"X" + struct.pack("<I", len(text)) + text


def test_a_number_whose_type_hides_objects_is_no_address(tmp_path):
    """Written opcode by opcode: read by numpy's own functions it ends the process by a signal."""
    objects = b"cnumpy\ndtype\n(" + word(b"O8") + b"\x89\x88tR"
    fields = b"(" + word(b"a") + b"t}" + word(b"a") + b"(" + objects + b"K\x00ts"
    state = b"(K\x03" + word(b"|") + b"N" + fields + b"K\x08K\x01K\x00tb"
    hidden = b"cnumpy\ndtype\n(" + word(b"V8") + b"\x89\x88tR" + state
    address = b"c_codecs\nencode\n(" + word(b"AAAAAAAA") + word(b"latin1") + b"tR"
    pickled = b"\x80\x02}" + word(b"acc") + b"cnumpy.core.multiarray\nscalar\n(" + hidden + address + b"tRs."
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/version", "3\n")
    code = "import sys; from pathlib import Path; from blendclip.encoders.foreign import read_state; "
    code += "print(type(read_state(Path(sys.argv[1]))['acc']).__name__)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.pth")], capture_output=True, text=True)
    assert done.returncode == 0, f"ended by {done.returncode}: {done.stderr}"
    assert done.stdout == "_Number\n"


def test_reading_one_checkpoint_trusts_no_later_one_more(tmp_path):
    read_state(saved(tmp_path / "ulip.pt", ulip()))
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def open_shape():
    """PointBERT as OpenShape saves it."""
    names = "ppat.cls_token ppat.sa.mlp_convs.0.weight ppat.lift.0.weight ppat.transformer.layers.0.0.fn.to_qkv.weight "
    names += "ppat.transformer.layers.0.1.fn.net.3.bias proj.weight proj.bias"
    return {"state_dict": {f"module.{name}": torch.zeros(2) for name in names.split()}, "epoch": 3}


def uni3d():
    names = "cls_token cls_pos encoder.first_conv.0.weight encoder2trans.weight trans2embed.bias pos_embed.0.weight "
    names += "visual.blocks.0.attn.q_proj.weight visual.norm.weight"
    return {"module": {"logit_scale": torch.ones(())} | {f"point_encoder.{n}": torch.zeros(2) for n in names.split()}}


@pytest.mark.parametrize(
    ("checkpoint", "sentence"),
    [
        (
            open_shape,
            "is of OpenShape's PointBERT, whose patches are made otherwise, which is not loaded here: ",
        ),
        (uni3d, "is of Uni3D, whose transformer is a ViT of timm, which is not loaded here: "),
    ],
)
def test_encoders_that_are_taken_for_a_pointbert_are_named(tmp_path, checkpoint, sentence):
    path = saved(tmp_path / "theirs.pt", checkpoint())
    for load in (load_foreign, lambda file: load_weights(PointBert(PointBertConfig(**SMALL)), file)):
        with pytest.raises(
            UserError, match=re.escape(f"{path} {sentence}give a checkpoint of Point-BERT, ULIP, ULIP-2 or")
        ):
            load(path)


def test_a_projection_of_several_layers_is_another_architecture(tmp_path):
    checkpoint = blendclip()
    del checkpoint["state_dict"]["module.pc_projection"]
    checkpoint["state_dict"]["module.pc_projection.0.weight"] = torch.zeros(3, 3)
    with pytest.raises(
        UserError, match=r"of another architecture than PointBERT, which has no pc_projection\.0\.weight"
    ):
        load_foreign(saved(tmp_path / "mlp.pt", checkpoint))


def test_heads_that_no_weight_shows_must_be_said(tmp_path):
    path = saved(tmp_path / "narrow.pt", ulip_checkpoint())
    with pytest.raises(
        UserError, match="has width 48, which heads of width 64 do not divide: give its PointBertConfig"
    ):
        load_foreign(path)
    assert load_foreign(path, PointBertConfig(**SMALL))[1] == "ULIP-2"


def test_another_shape_than_asked_for_is_refused(tmp_path):
    with pytest.raises(UserError, match="with width: 256, out_dim: 512, not width: 48, out_dim: 24"):
        load_foreign(saved(tmp_path / "ulip.pt", ulip()), PointBertConfig(**SMALL))


def test_two_encoders_in_one_file_are_not_mixed(tmp_path):
    model = ulip()["state_dict"]
    model |= {"transformer_q.cls_token": torch.zeros(1, 1, WIDTH)}
    with pytest.raises(UserError, match="holds class_token more than once"):
        read_foreign(saved(tmp_path / "two.pt", model))


def test_missing_blocks_are_named(tmp_path):
    checkpoint = ulip()
    for name in list(checkpoint["state_dict"]):
        if "point_encoder.blocks.blocks.0" in name:
            del checkpoint["state_dict"][name]
    with pytest.raises(UserError, match=r"lacks blocks\.0\.attention\.out\.bias, .* and 8 more"):
        load_foreign(saved(tmp_path / "holes.pt", checkpoint))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_checkpoint_is_one_sentence(tmp_path, zipped):
    path, rng = tmp_path / "checkpoint.pt", random.Random(5)
    torch.save(
        {"state_dict": {f"w{n}": torch.randn(4, 4) for n in range(5)}}, path, _use_new_zipfile_serialization=zipped
    )
    whole, told = path.read_bytes(), 0
    for number in range(400):
        content = bytearray(whole)
        if number % 2:
            del content[rng.randrange(len(content)) :]
        else:
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            read_state(path)
        except UserError as error:
            told += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert told > 200, "at least those that are cut short"


def test_a_checkpoint_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    torch.save({"w": torch.zeros(1)}, path)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(UserError, match=r"checkpoint.pt cannot be read .* Permission denied"):
        read_state(path)
