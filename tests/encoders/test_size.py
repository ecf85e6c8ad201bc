"""An encoder that is told how large a cloud is: what it is told, by whom, and what comes of not knowing."""

import json
import math

import numpy as np
import onnxruntime
import pytest
import torch

from blendclip.encoders.checkpoints import load_encoder, save_encoder
from blendclip.encoders.clouds import Clouds, normalized
from blendclip.encoders.export import export_onnx
from blendclip.encoders.numpy_grouping import encoder_inputs
from blendclip.encoders.numpy_grouping import size as size_by_numpy
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.errors import UserError
from tests.models import small_encoder, small_model

# About the mean (1, 2, 3): two points 3 m to the sides, two 4 m up and down, two 5 m ahead and behind.
CROSS = torch.tensor([[1, 5, 3], [1, -1, 3], [1, 2, 7], [1, 2, -1], [6, 2, 3], [-4, 2, 3]], dtype=torch.float32)
RADIUS_M, HEIGHT_M, FLAT_RADIUS_M = 5, 8, 5
TALL = CROSS * torch.tensor([0.2, 0.2, 1.0])


def scattered(count, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32))


def test_sizes_are_radius_height_and_radius_from_above():
    clouds = normalized(Clouds.of([CROSS, TALL, CROSS], in_metres=[True, True, False]))
    expected = [[RADIUS_M, HEIGHT_M, FLAT_RADIUS_M], [4, HEIGHT_M, 1]]
    np.testing.assert_allclose(clouds.size[:2].exp(), expected, rtol=1e-5)
    assert clouds.size[2].isnan().all()


def test_a_single_point_is_a_centimetre_large():
    clouds = normalized(Clouds.of([torch.full((1, 3), 7.0)], in_metres=[True]))
    np.testing.assert_allclose(clouds.size.exp(), [[0.01] * 3], rtol=1e-5)


def test_sizes_by_numpy_are_the_same():
    for count in (1, 2, 50):
        cloud = scattered(count) * torch.tensor([3.0, 1.0, 0.3]) + 20
        np.testing.assert_allclose(
            size_by_numpy(cloud.numpy()), normalized(Clouds.of([cloud], in_metres=[True])).size[0], atol=1e-5
        )


def test_nobody_measures_where_nobody_asks():
    assert normalized(Clouds.of([CROSS])).size is None


def test_the_embedding_of_a_cloud_depends_on_its_size_where_it_is_known_and_nowhere_else():
    model = small_model(size=True)
    cloud = scattered(60).numpy()
    metres, larger = model.encode([cloud]), model.encode([10 * cloud])
    assert np.abs(metres - larger).max() > 1e-3
    np.testing.assert_allclose(model.encode([1000 * cloud], unit_m=0.001), metres, atol=1e-5)
    unknown = model.encode([cloud], unit_m=None)
    np.testing.assert_allclose(model.encode([10 * cloud], unit_m=None), unknown, atol=1e-5)
    assert np.abs(unknown - metres).max() > 1e-3


def test_not_to_know_is_not_to_be_a_metre_large():
    encoder = small_encoder(size=True)
    metre, unknown = (encoder.class_tokens(1, torch.full((1, 3), value)) for value in (0.0, torch.nan))
    assert (metre - unknown).abs().max() > 1e-3


def test_an_encoder_without_it_does_not_ask():
    model, cloud = small_model(), scattered(60).numpy()
    np.testing.assert_allclose(model.encode([10 * cloud], unit_m=None), model.encode([cloud]), atol=1e-5)


@pytest.mark.parametrize("unit_m", [0, -1, math.nan, math.inf])
def test_a_unit_that_is_none_is_refused(unit_m):
    with pytest.raises(UserError, match=r"unit_m is .*: give metres in a unit of the clouds"):
        small_model(size=True).encode([scattered(5).numpy()], unit_m=unit_m)


def test_known_and_unknown_sizes_in_one_batch_are_those_of_each_alone():
    encoder = small_encoder(size=True)
    clouds, known = [scattered(count, count) for count in (3, 40, 200)], [True, False, True]
    together = encoder(normalized(Clouds.of(clouds, in_metres=known)))
    alone = [
        encoder(normalized(Clouds.of([cloud], in_metres=[told]))) for cloud, told in zip(clouds, known, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)
    untold = encoder(normalized(Clouds.of(clouds[1:2])))
    torch.testing.assert_close(untold, alone[1], atol=1e-5, rtol=1e-5)


def test_an_encoder_with_it_begins_with_the_weights_of_one_without():
    pairs = []
    for size in (False, True):
        torch.manual_seed(3)
        pairs.append(PointBert(PointBertConfig.preset("tiny", size=size)).state_dict())
    without, with_size = pairs
    assert {name for name in with_size if name not in without} == {
        f"size.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    }
    assert all(torch.equal(tensor, with_size[name]) for name, tensor in without.items())


def test_gradients_reach_what_is_told_and_none_of_them_is_nan():
    encoder = small_encoder(size=True).train()
    encoder(normalized(Clouds.of([CROSS, TALL], in_metres=[True, False]))).sum().backward()
    gradients = [weight.grad for weight in encoder.size.parameters()]
    assert all(gradient.isfinite().all() for gradient in gradients) and any(gradient.any() for gradient in gradients)


def test_it_is_saved_and_weights_without_it_are_not_taken_for_it(tmp_path):
    encoder, other = small_encoder(size=True), small_encoder()
    save_encoder(tmp_path / "model.safetensors", encoder, {}, {})
    loaded, _ = load_encoder(tmp_path / "model.safetensors")
    assert loaded.config.size
    cloud = normalized(Clouds.of([CROSS], in_metres=[True]))
    assert torch.equal(loaded.eval()(cloud), encoder(cloud))
    save_encoder(tmp_path / "other.safetensors", other, {}, {})
    about = json.loads((tmp_path / "other.json").read_text())
    assert about["encoder"]["size"] is False


@pytest.mark.parametrize("in_metres", [True, False])
def test_an_exported_encoder_takes_it_as_an_input(tmp_path, in_metres):
    encoder = small_encoder(size=True)
    export_onnx(encoder, tmp_path / "encoder.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "encoder.onnx"), providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["blendclip"])
    assert about["encoder"]["size"] is True
    clouds = [scattered(count, count) for count in (1, 30, 300)]
    inputs = encoder_inputs([cloud.numpy() for cloud in clouds], **about["grouping"], in_metres=in_metres)
    (found,) = session.run(None, inputs)
    expected = encoder(normalized(Clouds.of(clouds, in_metres=[in_metres] * 3)))
    np.testing.assert_allclose(found, torch.nn.functional.normalize(expected, dim=1).detach(), atol=1e-5)
