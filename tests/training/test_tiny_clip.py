"""The tiny CLIP learns, the same each time, and the one that is shipped is what its recipe says."""

import io
import json
import logging
import socket
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from blendclip.encoders.clip_names import TINY_FOLDER as TINY
from blendclip.errors import UserError
from blendclip.training.tiny_clip import (
    TinyRecipe,
    contrastive_loss,
    new_model,
    save_tiny_clip,
    tiny_learning_rate,
    train_tiny_clip,
)
from blendclip.training.tiny_data import (
    augmented_images,
    batch_of,
    mirrored,
    read_training_views,
    sampling_weights,
    squared,
)
from tests.toy_views import CLASSES, write_toy

TEMPLATES = ["a {}", "one {} on grey"]
NAMES = {name: name for name in CLASSES}
SMALL = {
    "embed_dim": 32,
    "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 64, "image_size": 32},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A toy's views; meanwhile torch runs on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    results = tmp_path_factory.mktemp("toy")
    write_toy(results, "train", 3)
    yield read_training_views(results, [("toy", "train")], NAMES, CLASSES, 112)
    torch.set_num_threads(threads)


def test_views_without_caption_are_left_out(toy):
    assert toy.counts == {"toy/train": 3 * 3 * 3 * 2 + 1}
    assert toy.images_V3SS.shape == (55, 3, 112, 112) and toy.images_V3SS.dtype == torch.uint8
    assert np.bincount(toy.classes_V + 1).tolist() == [1, 18, 18, 18]
    assert len(set(toy.instances_V.tolist())) == 28 and np.bincount(toy.groups_V).tolist() == [18, 18, 18, 1]


def test_a_split_without_captions_or_views_is_told(tmp_path):
    write_toy(tmp_path, "train", 1)
    with pytest.raises(UserError, match="views/toy/test holds no part-.*: run the stage that writes it first"):
        read_training_views(tmp_path, [("toy", "test")], NAMES, CLASSES, 32)
    (tmp_path / "captions/toy/train/part-00000.parquet").unlink()
    with pytest.raises(UserError, match="part-00000.parquet is missing"):
        read_training_views(tmp_path, [("toy", "train")], NAMES, CLASSES, 32)


@pytest.mark.parametrize("size", [(90, 40), (31, 77), (64, 64)])
def test_images_are_prepared_as_open_clip_does_it(size):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    config = PreprocessCfg(size=48, mean=(0, 0, 0), std=(1, 1, 1), resize_mode="longest", fill_color=128)
    expected = image_transform_v2(config, is_train=False)(Image.open(buffer))
    assert squared(buffer.getvalue(), 48) / 255 == pytest.approx(expected.permute(1, 2, 0).numpy(), abs=1e-6)


def test_mirrored_captions_say_the_other_side():
    assert mirrored("Left side view of a red bus, its right wheels up.") == (
        "Right side view of a red bus, its left wheels up."
    )
    assert mirrored("An upright piano with a leftover cloth.") == "An upright piano with a leftover cloth."


def test_groups_are_drawn_by_the_root_of_their_size():
    weights = sampling_weights(np.array([0] * 16 + [1] * 4))
    assert weights[:16].sum() == pytest.approx(4 / 6) and weights[16:].sum() == pytest.approx(2 / 6)


def test_a_batch_is_a_function_of_seed_and_step(toy):
    first, again, other = (batch_of(toy, CLASSES, TEMPLATES, 32, 0.5, 0.1, seed) for seed in ((3, 7), (3, 7), (3, 8)))
    assert first.texts == again.texts and (first.views_B == again.views_B).all()
    assert (first.flipped_B == again.flipped_B).all() and torch.equal(first.right_BB, again.right_BB)
    assert first.texts != other.texts


def test_what_is_right_and_unsure_in_a_batch(toy):
    batch = batch_of(toy, CLASSES, TEMPLATES, 64, 0.5, 0.0, (0, 0))
    words = {word: name for name, group in CLASSES.items() for word in group}
    prompts = {template.replace("{}", word): name for template in TEMPLATES for word, name in words.items()}
    names = [*CLASSES, None]
    for row, view in enumerate(batch.views_B):
        for column, text in enumerate(batch.texts):
            name = names[toy.classes_V[view]]
            right = text == toy.captions[view] or (name is not None and prompts.get(text) == name)
            assert batch.right_BB[row, column] == right
            same = toy.instances_V[view] == toy.instances_V[batch.views_B[column]]
            assert batch.unsure_BB[row, column] == (same and not right)
    assert 16 < sum(text in prompts for text in batch.texts) < 48


def test_left_out_words_spare_the_class(toy):
    batch = batch_of(toy, CLASSES, ["one {} on grey"], 64, 1.0, 1.0, (0, 0))
    words = [word for group in CLASSES.values() for word in group]
    assert {text for text in batch.texts if text.startswith("unknown")} == {
        f"unknown {w} unknown unknown" for w in words
    }


def test_augmentation_mirrors_where_told_and_keeps_the_range():
    half = torch.zeros(8, 3, 64, 64, dtype=torch.uint8)
    half[..., 32:] = 255
    flipped = np.arange(8) % 2 == 1
    moved = augmented_images(half, flipped, 48, (0, 0))
    assert moved.shape == (8, 3, 48, 48) and moved.min() >= 0 and moved.max() <= 1
    brighter_right = moved[..., 28:40].mean(dim=(1, 2, 3)) > moved[..., 8:20].mean(dim=(1, 2, 3))
    assert (brighter_right.numpy() != flipped).all()
    assert torch.equal(moved, augmented_images(half, flipped, 48, (0, 0)))


def test_the_loss_is_what_a_loop_says():
    rng = np.random.default_rng(2)
    images, texts = (torch.nn.functional.normalize(torch.tensor(rng.normal(size=(5, 4))), dim=1) for _ in range(2))
    right = torch.eye(5, dtype=torch.bool)
    right[0, 3] = right[2, 1] = right[2, 4] = True
    unsure = torch.zeros(5, 5, dtype=torch.bool)
    unsure[1, 0] = unsure[4, 2] = True
    logits = 7.0 * images @ texts.T
    losses = []
    for matrix, good, out in ((logits, right, unsure), (logits.T, right.T, unsure.T)):
        for row in range(5):
            total = sum(np.exp(matrix[row, c].item()) for c in range(5) if not out[row, c])
            shares = [np.log(np.exp(matrix[row, c].item()) / total) for c in range(5) if good[row, c]]
            losses.append(-np.mean(shares))
    found = contrastive_loss(images, texts, torch.tensor(7.0, dtype=torch.float64), right, unsure)
    assert found.item() == pytest.approx((np.mean(losses[:5]) + np.mean(losses[5:])) / 2)


def test_the_rate_rises_then_falls():
    recipe = TinyRecipe(learning_rate=1.0, warmup=0.2)
    expected = [(0.0, 0.01), (0.1, 0.51), (0.2, 1.0), (0.6, 0.5), (1.0, 0.0)]
    assert [tiny_learning_rate(progress, recipe) for progress, _ in expected] == pytest.approx(
        [rate for _, rate in expected]
    )


def test_training_is_the_same_each_time_and_depends_on_the_seed(toy):
    torch.manual_seed(int(torch.randint(1000, ()).item()))  # whatever ran before
    recipes = [TinyRecipe(seed=seed, steps=3, batch=16, architecture=SMALL) for seed in (0, 0, 1)]
    trained = [train_tiny_clip(recipe, toy, CLASSES, TEMPLATES).state_dict() for recipe in recipes]
    first, again, other = trained
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["text_projection"], other["text_projection"])


def test_the_loss_falls_and_unseen_words_mean_the_same(toy, caplog):
    recipe = TinyRecipe(steps=41, batch=32, architecture=SMALL)
    with caplog.at_level(logging.INFO, "blendclip.training.tiny_clip"):
        model = train_tiny_clip(recipe, toy, CLASSES, TEMPLATES)
    losses = [record.args[2] for record in caplog.records if record.name == "blendclip.training.tiny_clip"]
    assert len(losses) == 3 and losses[-1] < 0.8 * losses[0]
    from open_clip import SimpleTokenizer

    words = SimpleTokenizer(context_length=16)(["a zebra", "a unknown", "a kiwi", "a disc"])
    zebra, unknown, kiwi, disc = model.encode_text(words)
    assert torch.equal(zebra, unknown) and torch.equal(zebra, kiwi) and not torch.equal(zebra, disc)


def test_what_is_saved_loads_through_open_clip(tmp_path, toy):
    import open_clip

    model = new_model(TinyRecipe()).eval()
    save_tiny_clip(model, TinyRecipe(), tmp_path)
    loaded, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], (value.half() if value.ndim > 1 else value).to(value.dtype)), name


def test_the_shipped_model_loads_without_a_network_and_is_what_its_recipe_says(monkeypatch):
    import open_clip

    def no_network(*_args, **_kwargs):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "socket", no_network)
    monkeypatch.setattr(socket, "create_connection", no_network)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{TINY}", require_pretrained=True)
    tokens = open_clip.get_tokenizer(f"local-dir:{TINY}")(["a car", "a cow"])
    with torch.inference_mode():
        picture = transform(Image.new("RGB", (50, 90), (200, 30, 30)))[None]
        assert model.encode_image(picture).shape == (1, 128) and model.encode_text(tokens).shape == (2, 128)
    recipe = json.loads((TINY / "recipe.json").read_text())
    assert recipe["recipe"] == json.loads(json.dumps(asdict(TinyRecipe())))
    config = json.loads((TINY / "open_clip_config.json").read_text())
    assert config["model_cfg"] == recipe["recipe"]["architecture"]
    weights = TINY / "open_clip_model.safetensors"
    assert sum(path.stat().st_size for path in TINY.iterdir()) <= 10_000_000
    with safe_open(weights, "pt") as file:
        assert {str(file.get_tensor(name).dtype) for name in file.keys() if file.get_tensor(name).ndim > 1} == {  # noqa: SIM118
            "torch.float16"
        }
    held_out = {"shapes/test", "city/mini_val", "citytruck/mini_val"}
    assert set(recipe["test"]["numbers"]) == held_out | {"all"} and not held_out & set(recipe["trained_on"])
    assert recipe["test"]["numbers"]["all"]["top1"] >= 0.7
