"""The commands that train and test a CLIP, on a toy dataset."""

import json

import pytest
import torch

from blendclip.cli.main import main
from blendclip.encoders.clip import load_clip
from blendclip.errors import UserError
from blendclip.evaluation.image_text import evaluate_image_text
from blendclip.evaluation.prompts import merged_classes
from tests.toy_views import CLASSES, COLOURS, write_prompts, write_toy

SHAPES = {"disc": (0, 2), "ball": (0, 2), "square": (1, 2), "box": (1, 2), "bar": (2, 2), "stick": (2, 2)}
AXES = SHAPES | {"red": (3, 1), "green": (4, 1), "blue": (5, 1), "black": (6, 1)}


class Knowing:
    """A stand-in that knows shape and colour of a toy's pictures, by their order, and takes bars for squares."""

    def __init__(self):
        self.place = -1

    def prepared(self, image):
        self.place += 1
        return torch.full((1, 1, 3), self.place % 20, dtype=torch.uint8)

    def embed_images(self, pixels_BHW3):
        shapes, colours = ["disc", "square", "square"], list(COLOURS)
        texts = []
        for place in pixels_BHW3[:, 0, 0, 0].tolist():
            last = ["a black thing", "a red disc"][place - 18] if place >= 18 else None
            texts.append(last or f"a {colours[place // 2 % 3]} {shapes[place // 6]}")
        return self.embed_texts(texts)

    def embed_texts(self, texts):
        rows = torch.zeros(len(texts), 7)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().strip(".").split():
                axis, weight = AXES.get(word, (0, 0))
                row[axis] += weight
        return rows


def test_numbers_of_a_stand_in_by_hand(tmp_path):
    write_toy(tmp_path, "test", 1)  # 18 views, one of no class, one without a caption
    numbers = evaluate_image_text(Knowing(), tmp_path, [("toy", "test")], merged_classes([CLASSES]), ["a {}"])
    assert list(numbers) == ["toy/test"]
    of = numbers["toy/test"]
    assert of["views"] == 20 and of["labelled"] == 19
    assert of["top1"] == pytest.approx(13 / 19) and of["mean_class"] == pytest.approx(2 / 3)
    # 19 captioned pictures: all but the 6 bars find their text first. Bars find all squares, and equally far discs of
    # their colour, which makes 4 wrong texts.
    assert (of["image_to_text@1"], of["image_to_text@5"]) == (pytest.approx(13 / 19), 1.0)
    # 10 texts: green disc, blue disc and the black thing find theirs first. The picture without a caption looks like a
    # red disc; squares tie with 2 bars of their colour; bars come after 2 squares and 2 discs, red ones after 3 discs.
    assert of["texts"] == 10
    assert (of["text_to_image@1"], of["text_to_image@5"]) == (pytest.approx(0.3), pytest.approx(0.9))


def test_all_is_of_all_pictures_together(tmp_path):
    for split in ("test", "more"):
        write_toy(tmp_path, split, 1)
    splits = [("toy", "test"), ("toy", "more")]
    numbers = evaluate_image_text(Knowing(), tmp_path, splits, merged_classes([CLASSES]), ["a {}"])
    assert list(numbers) == ["toy/test", "toy/more", "all"]
    assert numbers["all"]["views"] == 40 and numbers["all"]["top1"] == pytest.approx(13 / 19)


def test_unknown_classes_and_models_are_told(tmp_path):
    write_toy(tmp_path, "test", 1)
    with pytest.raises(UserError, match="no view of toy/test has one of the classes"):
        evaluate_image_text(Knowing(), tmp_path, [("toy", "test")], merged_classes([{"cow": ["box"]}]), ["a {}"])
    with pytest.raises(UserError, match="/none lacks open_clip_config.json or weights"):
        load_clip("local-dir:/none")
    with pytest.raises(UserError, match="there is no file .*none.safetensors"):
        load_clip("ViT-B-16", str(tmp_path / "none.safetensors"))


def test_train_and_test_by_command(tmp_path, capsys):
    write_toy(tmp_path, "train", 4)
    write_toy(tmp_path, "test", 2)
    classes, templates = map(str, write_prompts(tmp_path))
    prompts = ["--classes", classes, "--templates", templates, "--threads", "1"]
    model = tmp_path / "model"
    train = ["train-tiny-clip", "--results", str(tmp_path), "--output", str(model), "--splits", "toy/train", *prompts]
    held_out = ["--held-out", "toy/test", "--test-templates", templates]
    threads = torch.get_num_threads()
    try:
        assert main([*train, *held_out, "--steps", "2", "--seed", "1"]) == 0
        trained = capsys.readouterr().out
        test = ["evaluate-clip", "--results", str(tmp_path), "--splits", "toy/test", "--model", f"local-dir:{model}"]
        assert main([*test, *prompts]) == 0
        assert capsys.readouterr().out == trained
        assert main([*train, "--held-out", "toy/train"]) == 1
        assert "toy/train would be trained and tested on" in capsys.readouterr().err
        assert main([*test, *prompts, "--splits", "toy"]) == 1
        assert "'toy' names no split: write dataset/split" in capsys.readouterr().err
    finally:
        torch.set_num_threads(threads)
    recipe = json.loads((model / "recipe.json").read_text())
    assert recipe["recipe"]["seed"] == 1 and recipe["recipe"]["steps"] == 2
    assert recipe["trained_on"] == {"toy/train": 73}
    numbers = recipe["test"]["numbers"]["toy/test"]
    assert f"{100 * numbers['top1']:.1f}" in trained
    assert "among 3 classes" in trained
