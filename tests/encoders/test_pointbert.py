import dataclasses

import pytest
import torch

from blendclip.encoders import pointbert
from blendclip.encoders.buckets import laid_end_to_end
from blendclip.encoders.clouds import Clouds, normalized
from blendclip.encoders.plan import PlanKind, kind_of, planned
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.encoders.varlen import attention_of_sequences
from blendclip.errors import UserError
from tests.encoders.naive import naive_features

LENGTHS = [700, 1, 31, 8, 1100, 48, 700, 2000]


def random_clouds(lengths=LENGTHS, colors=False, seed=0) -> Clouds:
    generator = torch.Generator().manual_seed(seed)
    points = [torch.randn(length, 3, generator=generator) for length in lengths]
    rgb = [torch.rand(length, 3, generator=generator) for length in lengths] if colors else None
    return normalized(Clouds.of(points, rgb))


def random_model(config, seed=0) -> PointBert:
    """With batch statistics and scales that matter, as after training."""
    torch.manual_seed(seed)
    model = PointBert(config).eval()
    for name, buffer in [*model.named_buffers(), *model.named_parameters()]:
        if "running_mean" in name or (name.endswith("bias") and buffer.is_floating_point()):
            torch.nn.init.normal_(buffer, std=0.2)
        elif "running_var" in name or (name.endswith("weight") and buffer.dim() == 1):
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
        elif name == "class_token":
            torch.nn.init.normal_(buffer)
    return model


def single(clouds: Clouds, number: int) -> Clouds:
    first = int(clouds.lengths[:number].sum())
    part = slice(first, first + int(clouds.lengths[number]))
    return Clouds.of([clouds.points[part]], None if clouds.rgb is None else [clouds.rgb[part]])


@pytest.mark.parametrize("colors", [False, True])
def test_equals_a_naive_double_precision_implementation(colors):
    model = random_model(PointBertConfig.preset("tiny", out_dim=24, colors=colors))
    clouds = random_clouds(colors=colors)
    with torch.no_grad():
        features = model(clouds)
    assert features.shape == (len(LENGTHS), 24)
    for number in range(len(LENGTHS)):
        alone = single(clouds, number)
        expected = naive_features(model.state_dict(), model.config, alone.points, alone.rgb)
        torch.testing.assert_close(features[number].double(), expected, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_base_equals_the_naive_one_with_a_whole_cad_cloud():
    model = random_model(PointBertConfig.preset("base"))
    clouds = random_clouds([8192, 300])
    with torch.no_grad():
        features = model(clouds)
    for number in range(2):
        expected = naive_features(model.state_dict(), model.config, single(clouds, number).points)
        torch.testing.assert_close(features[number].double(), expected, atol=1e-4, rtol=0)


def test_base_is_the_published_shape():
    config = PointBertConfig.preset("base")
    assert (config.depth, config.width, config.heads, config.encoder_width) == (12, 384, 6, 256)
    assert (config.patch_points, config.patches_per_point, config.max_patches) == (32, 0.0625, 512)


def test_features_do_not_depend_on_the_batch():
    model = random_model(PointBertConfig.preset("tiny"))
    clouds = random_clouds()
    with torch.no_grad():
        together = model(clouds)
        for number in range(len(LENGTHS)):
            torch.testing.assert_close(model(single(clouds, number))[0], together[number], atol=1e-5, rtol=0)
        order = torch.randperm(len(LENGTHS), generator=torch.Generator().manual_seed(3)).tolist()
        shuffled = [single(clouds, number).points for number in order]
        torch.testing.assert_close(model(Clouds.of(shuffled)), together[order], atol=1e-5, rtol=0)


def test_the_same_cloud_twice_gives_the_same_bits():
    model = random_model(PointBertConfig.preset("tiny"))
    with torch.no_grad():
        assert torch.equal(model(random_clouds()), model(random_clouds()))


@pytest.mark.parametrize("training", [False, True])
def test_bfloat16_is_near(training):
    model, clouds = random_model(PointBertConfig.preset("tiny", out_dim=24)).train(training), random_clouds()
    full = model(clouds)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(clouds)
    half.float().square().sum().backward()
    assert torch.cosine_similarity(full, half.float()).min() > 0.99
    assert all(parameter.grad.dtype == torch.float32 for parameter in model.parameters())


def one_by_one(query_TD, key_TD, value_TD, heads, sequences):
    """Attention within each sequence by itself, in place of the kernel that only GPUs have."""
    attended = []
    for rows in zip(
        *(whole.split((sequences.counts + 1).tolist()) for whole in (query_TD, key_TD, value_TD)), strict=True
    ):
        heads_HTE = [part.unflatten(1, (heads, -1)).transpose(0, 1) for part in rows]
        attended.append(torch.nn.functional.scaled_dot_product_attention(*heads_HTE).transpose(0, 1).flatten(1))
    return torch.cat(attended)


def test_sequences_end_to_end_give_what_buckets_give(monkeypatch):
    monkeypatch.setattr(pointbert, "attention_of_sequences", one_by_one)
    model, clouds = random_model(PointBertConfig.preset("tiny", out_dim=8, drop_path=0.3)), random_clouds()
    for module in model.modules():
        module.training = type(module).__name__ in ("Block", "PointBert")
    draws = torch.rand(len(LENGTHS), 4, 2, generator=torch.Generator().manual_seed(5))
    features, gradients = [], []
    for end_to_end in (False, True):
        model.zero_grad()
        features.append(model(clouds, draws, planned(LENGTHS, model.config, PlanKind("cpu", end_to_end))))
        features[-1].square().sum().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    torch.testing.assert_close(*features, atol=1e-5, rtol=0)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-4, rtol=1e-3, msg=name)


def test_torch_takes_the_call_for_sequences_of_different_lengths():
    pytest.importorskip("torch.nn.attention.varlen")
    rows = torch.randn(9, 3 * 64, device="meta", requires_grad=True)
    sequences = laid_end_to_end([2, 1, 3]).moved(lambda tensor: tensor.to("meta")).spans
    attended = attention_of_sequences(*rows.chunk(3, dim=1), 4, sequences)
    assert attended.shape == (9, 64)
    attended.sum().backward()
    assert rows.grad.shape == rows.shape


def test_a_plan_made_before_changes_nothing():
    model, clouds = random_model(PointBertConfig.preset("tiny")), random_clouds()
    with torch.no_grad():
        plan = planned(LENGTHS, model.config, kind_of(model.config, torch.device("cpu")))
        assert torch.equal(model(clouds, plan=plan), model(clouds))


def test_coincident_points_give_finite_features_and_gradients():
    model = PointBert(PointBertConfig.preset("tiny", drop_path=0.3)).train()
    features = model(normalized(Clouds.of([torch.ones(1, 3), torch.ones(100, 3), torch.ones(20, 3)])))
    features.square().sum().backward()
    assert features.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_gradients_reach_every_weight():
    model = random_model(PointBertConfig.preset("tiny"))
    model(random_clouds()).square().sum().backward()
    still = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().max() > 1e-4]
    assert still == []


def test_gradients_are_those_of_each_cloud_alone():
    model, clouds = random_model(PointBertConfig.preset("tiny", out_dim=8)), random_clouds()
    model(clouds).square().sum().backward()
    together = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    for number in range(len(LENGTHS)):
        model(single(clouds, number)).square().sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, together[name], atol=1e-4, rtol=1e-3, msg=name)


def test_drop_path_skips_by_cloud_and_keeps_the_mean():
    config = PointBertConfig.preset("tiny", depth=2, drop_path=0.5)
    model, clouds = random_model(config), random_clouds([40, 300, 90])
    for module in model.modules():
        module.training = module.training or type(module).__name__ in ("Block", "PointBert")
    keep, skip = torch.ones(3, 2, 2), torch.ones(3, 2, 2)
    skip[1, 1] = 0
    with torch.no_grad():
        kept, skipped = model(clouds, keep), model(clouds, skip)
        model.blocks[1].attention.out.weight.mul_(2), model.blocks[1].attention.out.bias.mul_(2)
        model.blocks[1].mlp[2].weight.mul_(2), model.blocks[1].mlp[2].bias.mul_(2)
        torch.testing.assert_close(model.eval()(clouds), kept)  # what is kept counts 1 / (1 - 0.5) as much
    assert torch.equal(skipped[[0, 2]], kept[[0, 2]])
    assert not torch.allclose(skipped[1], kept[1], atol=1e-3)


def test_drop_path_draws_from_torch_in_training_alone():
    model = random_model(PointBertConfig.preset("tiny", drop_path=0.5))
    clouds = random_clouds([40, 300, 90])
    with torch.no_grad():
        assert torch.equal(model(clouds), model(clouds))
        model.train()
        draws = []
        for seed in (0, 0, 1):
            torch.manual_seed(seed)
            draws.append(model(clouds))
    assert torch.equal(draws[0], draws[1])
    assert not torch.allclose(draws[0], draws[2], atol=1e-3)


def test_colors_are_needed_where_they_were_asked_for():
    with pytest.raises(UserError, match="coloured clouds and these have no colours"):
        PointBert(PointBertConfig.preset("tiny", colors=True))(random_clouds([40]))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"heads": 5}, "width 128 of the point encoder is not a multiple of its heads, 5"),
        ({"depth": 0}, "`depth` is 0: it must be at least 1"),
        ({"encoder_width": 63}, "encoder_width 63 of the point encoder is odd"),
        ({"patches_per_point": 1.5}, "`patches_per_point` is 1.5"),
        ({"drop_path": 1.0}, "`drop_path` is 1.0"),
        ({"deepth": 3}, "a point encoder has no 'deepth'"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        PointBertConfig.preset("tiny", **changes)


def test_an_unknown_preset_is_refused():
    with pytest.raises(UserError, match="no point encoder 'huge': choose one of tiny, base"):
        PointBertConfig.preset("huge")


def test_presets_can_be_written_as_json():
    config = PointBertConfig.preset("tiny", out_dim=64)
    assert PointBertConfig(**dataclasses.asdict(config)) == config
