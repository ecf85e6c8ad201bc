import argparse
import logging
import os

import pytest
import torch
from safetensors.torch import load_file

from blendclip.encoders.checkpoints import load_encoder, load_weights, save_encoder
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.errors import UserError
from tests.encoders.test_pointbert import random_clouds, random_model

SMALL = {"depth": 2, "width": 48, "heads": 4, "encoder_width": 32, "out_dim": 24, "drop_path": 0.0}


def point_bert_state(depth=2, width=48, encoder=32, channels=3, seed=0):
    """An encoder's weights under Point-BERT's names, in the shapes of its layers."""
    torch.manual_seed(seed)
    half, twice = encoder // 2, encoder * 2
    state = {"cls_token": torch.randn(1, 1, width), "cls_pos": torch.randn(1, 1, width)}

    def layer(name, *shape):
        state[f"{name}.weight"] = torch.randn(*shape) / shape[-1] ** 0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[0])

    layer("encoder.first_conv.0", half, channels, 1)
    layer("encoder.first_conv.1", half)
    layer("encoder.first_conv.3", encoder, half, 1)
    layer("encoder.second_conv.0", twice, twice, 1)
    layer("encoder.second_conv.1", twice)
    layer("encoder.second_conv.3", encoder, twice, 1)
    for name, size in (("encoder.first_conv.1", half), ("encoder.second_conv.1", twice)):
        state[f"{name}.running_mean"], state[f"{name}.running_var"] = torch.randn(size), 0.5 + torch.rand(size)
        state[f"{name}.num_batches_tracked"] = torch.tensor(1000)
    layer("reduce_dim", width, encoder)
    layer("pos_embed.0", 128, 3)
    layer("pos_embed.2", width, 128)
    for block in range(depth):
        name = f"blocks.blocks.{block}"
        layer(f"{name}.norm1", width)
        layer(f"{name}.norm2", width)
        state[f"{name}.attn.qkv.weight"] = torch.randn(3 * width, width) / width**0.5
        layer(f"{name}.attn.proj", width, width)
        layer(f"{name}.mlp.fc1", 4 * width, width)
        layer(f"{name}.mlp.fc2", width, 4 * width)
    layer("norm", width)
    return state


def point_bert_checkpoint(**options):
    """As Point-BERT's pretraining saves: query and key encoders, dVAE, queue, optimizer."""
    encoder = point_bert_state(**options)
    extras = {"mask_token": torch.randn(1, 1, 48), "lm_head.weight": torch.randn(8, 48), "lm_head.bias": torch.randn(8)}
    extras |= {"cls_head.0.weight": torch.randn(8, 48), "cls_head.2.bias": torch.randn(8)}
    model = {f"module.transformer_q.{name}": value for name, value in (encoder | extras).items()}
    model |= {f"module.transformer_k.{name}": torch.zeros_like(value) for name, value in (encoder | extras).items()}
    model |= {"module.dvae.encoder.first_conv.0.weight": torch.randn(16, 3, 1), "module.dvae.codebook": torch.randn(4)}
    model |= {"module.queue": torch.randn(8, 4), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    return {"base_model": model, "optimizer": {"state": {0: torch.zeros(2)}}, "epoch": 300, "metrics": {"acc": 0.9}}


def ulip_checkpoint(out_dim=24, **options):
    """As ULIP saves: point encoder, projection, and the CLIP it was aligned with, training's arguments beside."""
    model = {f"module.point_encoder.{name}": value for name, value in point_bert_state(**options).items()}
    model |= {"module.pc_projection": torch.randn(96, out_dim), "module.logit_scale": torch.tensor(4.6)}
    model |= {"module.open_clip_model.visual.conv1.weight": torch.randn(2, 3, 1, 1)}
    arguments = argparse.Namespace(model="ULIP2_PointBERT_Colored", lr=3e-3, betas=(0.9, 0.98))
    return {"epoch": 201, "state_dict": model, "optimizer": {}, "scaler": {}, "best_acc1": 75.6, "args": arguments}


def saved(path, content):
    torch.save(content, path)
    return path


def test_a_point_bert_checkpoint_loads_whole(tmp_path, caplog):
    path = saved(tmp_path / "Point-BERT.pth", point_bert_checkpoint())
    model = PointBert(PointBertConfig(**SMALL))
    projection = model.projection.weight.clone()
    with caplog.at_level(logging.INFO):
        load_weights(model, path, new_projection=True)
    assert "Point-BERT.pth has no projection: the one to width 24 starts anew" in caplog.text
    theirs, ours = point_bert_state(), model.state_dict()
    assert torch.equal(ours["projection.weight"], projection)
    assert len(ours) == len(theirs) + 1
    assert torch.equal(ours["class_token"], theirs["cls_token"][0, 0])
    assert torch.equal(ours["class_position"], theirs["cls_pos"][0, 0])
    assert torch.equal(ours["patch_encoder.joint.linear.weight"], theirs["encoder.second_conv.0.weight"][..., 0])
    assert torch.equal(ours["patch_encoder.local.norm.running_var"], theirs["encoder.first_conv.1.running_var"])
    assert torch.equal(ours["blocks.1.attention.out.bias"], theirs["blocks.blocks.1.attn.proj.bias"])
    assert torch.equal(ours["blocks.0.mlp.2.weight"], theirs["blocks.blocks.0.mlp.fc2.weight"])


@pytest.mark.parametrize("channels", [3, 6])
def test_a_ulip_checkpoint_gives_its_own_features(tmp_path, channels):
    checkpoint = ulip_checkpoint(channels=channels)
    model = PointBert(PointBertConfig(**SMALL, colors=channels == 6)).eval()
    load_weights(model, saved(tmp_path / "ulip.pt", checkpoint))
    clouds = random_clouds([60, 300], colors=channels == 6)
    with torch.no_grad():
        features = model(clouds)
        for number, points in enumerate(clouds.points.split(clouds.lengths.tolist())):
            rgb = None if channels == 3 else clouds.rgb.split(clouds.lengths.tolist())[number]
            expected = ulip_features(checkpoint["state_dict"], points, rgb)
            torch.testing.assert_close(features[number], expected, atol=1e-4, rtol=1e-4)


def ulip_features(state, points, rgb):
    """What a ULIP model gives for one cloud, from torch's own layers under the names of the file."""
    from torch.nn import functional as F  # noqa: N812

    from tests.encoders.test_grouping import naive_patches

    w = {name.removeprefix("module.").removeprefix("point_encoder."): value for name, value in state.items()}
    centers, members = naive_patches(points, max(1, len(points) * 2 // 32), 32)
    patches = points[torch.tensor(members)] - points[centers][:, None]
    if rgb is not None:
        patches = torch.cat([patches, rgb[torch.tensor(members)]], dim=2)
    x = patches.transpose(1, 2)
    for name in ("encoder.first_conv", "encoder.second_conv"):
        x = F.conv1d(x, w[f"{name}.0.weight"], w[f"{name}.0.bias"])
        statistics = w[f"{name}.1.running_mean"], w[f"{name}.1.running_var"]
        x = F.relu(F.batch_norm(x, *statistics, w[f"{name}.1.weight"], w[f"{name}.1.bias"]))
        x = F.conv1d(x, w[f"{name}.3.weight"], w[f"{name}.3.bias"])
        whole = x.amax(dim=2, keepdim=True)
        x = torch.cat([whole.expand_as(x), x], dim=1)

    def linear(name, x):
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def norm(name, x):
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    x = torch.cat([w["cls_token"], linear("reduce_dim", whole[None, ..., 0])], dim=1)
    position = linear("pos_embed.2", F.gelu(linear("pos_embed.0", points[centers][None])))
    position = torch.cat([w["cls_pos"], position], dim=1)
    for block in range(2):
        name = f"blocks.blocks.{block}"
        x = x + position
        qkv = linear(f"{name}.attn.qkv", norm(f"{name}.norm1", x)).unflatten(2, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        scores = qkv[0] @ qkv[1].transpose(2, 3) / qkv.shape[-1] ** 0.5
        x = x + linear(f"{name}.attn.proj", (scores.softmax(3) @ qkv[2]).transpose(1, 2).flatten(2))
        x = x + linear(f"{name}.mlp.fc2", F.gelu(linear(f"{name}.mlp.fc1", norm(f"{name}.norm2", x))))
    x = norm("norm", x)[0]
    return torch.cat([x[0], x[1:].amax(0)]) @ w["pc_projection"]


def test_a_projection_to_another_clip_is_left_out_only_when_asked(tmp_path, caplog):
    path = saved(tmp_path / "ulip.pt", ulip_checkpoint(out_dim=40))
    model = PointBert(PointBertConfig(**SMALL))
    with pytest.raises(UserError, match="with out_dim: 40, not out_dim: 24: set the former .or `new_projection: true`"):
        load_weights(model, path)
    with caplog.at_level(logging.INFO):
        load_weights(model, path, new_projection=True)
    assert "has a projection to width 40, which is left out: the one to width 24 starts anew" in caplog.text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            ulip_checkpoint(depth=3, channels=6),
            "with depth: 3, colors: true, not depth: 2, colors: false: set the former",
        ),
        (ulip_checkpoint(width=36) | {}, "is a PointBERT with width: 36"),
        (point_bert_checkpoint(), "has no projection to CLIP's width: set `new_projection: true`"),
        (
            {"conv1.weight": torch.zeros(2), "fc.bias": torch.zeros(2)},
            r"not a PointBERT \(it holds conv1.weight, fc.bias",
        ),
        ({}, r"not a PointBERT \(it holds nothing"),
        (torch.zeros(3), r"not a PointBERT \(it holds nothing"),
        (
            {"cls_token": torch.zeros(1, 1, 48), "blocks.0.attn.qkv.bias": torch.zeros(3), "patch_embed.proj.bias": 0},
            "of another architecture than PointBERT, which has no blocks.0.attn.qkv.bias, patch_embed.proj.bias",
        ),
    ],
)
def test_another_architecture_is_one_sentence(tmp_path, content, sentence):
    path = saved(tmp_path / "other.pt", content)
    with pytest.raises(UserError, match=sentence) as raised:
        load_weights(PointBert(PointBertConfig(**SMALL)), path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_missing_and_misshapen_weights_are_named(tmp_path):
    model = PointBert(PointBertConfig(**SMALL))
    checkpoint = ulip_checkpoint()
    lost = checkpoint["state_dict"].pop("module.point_encoder.blocks.blocks.1.attn.proj.bias")
    with pytest.raises(UserError, match="lacks blocks.1.attention.out.bias and has nothing too many"):
        load_weights(model, saved(tmp_path / "a.pt", checkpoint))
    checkpoint["state_dict"]["module.point_encoder.blocks.blocks.1.attn.proj.bias"] = lost[:7]
    with pytest.raises(UserError, match=r"has blocks.1.attention.out.bias of shape \(7,\), not \(48,\)"):
        load_weights(model, saved(tmp_path / "a.pt", checkpoint))


def test_nothing_but_weights_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "boom"),)

    path = saved(tmp_path / "bomb.pt", ulip_checkpoint() | {"extra": Bomb()})
    with pytest.raises(UserError, match="holds the Python object posix.mkdir, which is not run"):
        load_weights(PointBert(PointBertConfig(**SMALL)), path)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("content", [b"", b"<html>sign in</html>", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_checkpoint_is_one_sentence(tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(UserError, match="x.pt cannot be read as a PyTorch checkpoint, as it is damaged"):
        load_weights(PointBert(PointBertConfig(**SMALL)), tmp_path / "x.pt")


def test_saved_and_loaded_encoders_are_the_same(tmp_path):
    model = random_model(PointBertConfig(**SMALL))
    recipe = {"mixture": {"end": 0.3}, "clip": "tiny", "steps": 400}
    save_encoder(tmp_path / "run" / "encoder.safetensors", model, recipe)
    loaded, about = load_encoder(tmp_path / "run" / "encoder.safetensors")
    assert about == recipe
    assert loaded.config == model.config
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(random_clouds()), model(random_clouds()))
    again = PointBert(PointBertConfig(**SMALL))
    load_weights(again, tmp_path / "run" / "encoder.safetensors")
    assert all(torch.equal(again.state_dict()[name], value) for name, value in model.state_dict().items())


def test_the_same_encoder_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_encoder(tmp_path / f"{name}.safetensors", random_model(PointBertConfig(**SMALL)), {"seed": 0, "a": 1})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert set(load_file(tmp_path / "a.safetensors")) == set(random_model(PointBertConfig(**SMALL)).state_dict())
    assert not list(tmp_path.glob(".*"))


def test_damaged_pairs_are_refused(tmp_path):
    path = tmp_path / "encoder.safetensors"
    with pytest.raises(UserError, match="encoder.json is missing"):
        load_encoder(path)
    save_encoder(path, random_model(PointBertConfig(**SMALL)), {"steps": 400})
    text = path.with_suffix(".json").read_text()
    path.with_suffix(".json").write_text(text.replace("400", "500"))
    with pytest.raises(UserError, match="was not saved together with encoder.json"):
        load_encoder(path)
    path.with_suffix(".json").write_text(text)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a readable safetensors file"):
        load_encoder(path)
    path.unlink()
    with pytest.raises(UserError, match="encoder.safetensors is missing"):
        load_encoder(path)
