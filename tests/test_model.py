"""A model as a library: the same embeddings as evaluation, whatever clouds are handed over as."""

import logging
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import blendclip
from blendclip.benchmarks.table import TableOptions
from blendclip.benchmarks.writing import write_benchmark as write_table_benchmark
from blendclip.cli.main import main
from blendclip.encoders import checkpoints
from blendclip.encoders.clip import load_clip
from blendclip.errors import UserError
from blendclip.evaluation.benchmark import encoded_benchmark
from blendclip.evaluation.class_weights import ClassWeights, write_class_weights
from blendclip.evaluation.prompts import read_classes
from blendclip.prompts import prompts_folder
from tests.evaluation.test_benchmark import clouds as labelled_clouds
from tests.evaluation.test_benchmark import write_benchmark
from tests.models import TINY_CLIP_WIDTH, small_encoder, small_model
from tests.real import objects

NAMES = ["car", "excavator", "traffic cone"]


@pytest.fixture(scope="module")
def model():
    return small_model()


def cloud(count=50, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


def test_the_face_is_small_and_loads_nothing_by_itself():
    code = "import sys, blendclip; print(len(blendclip.__all__), 'numpy' in sys.modules, 'torch' in sys.modules)"
    printed = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert int(printed[0]) <= 10 and printed[1:] == ["False", "False"]
    assert all(getattr(blendclip, name).__doc__ for name in blendclip.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Modle'"):
        blendclip.Modle  # noqa: B018


def test_naming_needs_a_dozen_packages_and_a_known_clip_waits_for_its_first_text():
    code = "import sys, blendclip; blendclip.load; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    others = {"open_clip", "open3d", "trimesh", "laspy", "nuscenes", "truckscenes", "snakemake", "matplotlib", "pandas"}
    assert "torch" in loaded and not others & loaded


def test_embeddings_are_those_of_evaluation(model, tmp_path):
    rows = list(labelled_clouds())
    _, expected = encoded_benchmark(model.encoder, write_benchmark(tmp_path, rows), model.description.max_points)
    assert max(row["num_points"] for row in rows) > model.description.max_points
    found = model.encode([np.array(row["points"], np.float32) for row in rows])
    assert found.dtype == np.float32 and np.abs(found - expected).max() < 1e-5
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["nuscenes_frame", "dgp_drive", "sustech", "kitti_more"])
def test_classify_and_evaluate_agree_on_every_real_object(model, name, tmp_path):
    table = objects(name)
    recipe = {"clip": "tiny", "data": {"synthetic": ["made/train"], "max_points": model.description.max_points}}
    checkpoints.save_encoder(tmp_path / "runs" / "one" / "model.safetensors", model.encoder, recipe)
    classes, templates = (prompts_folder() / one for one in ("classes/nuscenes.yaml", "templates/point_cloud.yaml"))
    weights = tmp_path / "embeddings" / "tiny" / "classes" / "nuscenes.point_cloud.parquet"
    write_class_weights(weights, lambda texts: model.clip.embed_texts(texts).numpy(), classes, templates)
    benchmark = tmp_path / "evaluation" / "benchmarks" / f"{name}.parquet"
    write_table_benchmark(name, "table", TableOptions(path=table), list(read_classes(classes)), benchmark)
    asked = [f"--results={tmp_path}", "--run=one", f"--benchmark={name}", "--device=cpu"]
    assert main(["evaluate", *asked, "--classes=nuscenes", "--templates=point_cloud"]) == 0
    told = pq.read_table(tmp_path / "evaluation" / "runs" / "one" / name / "predictions.parquet").to_pylist()
    given = pq.read_table(table, columns=["points"])["points"].to_pylist()
    predictions = blendclip.load(tmp_path / "runs" / "one").classify(
        [np.array(points, np.float32) for points in given], "nuscenes"
    )
    assert len(predictions) == len(told) > 0
    assert predictions.names == [predictions.classes[row["top5"][0]] for row in told]
    for best, row in zip(predictions, told, strict=True):
        assert [name for name, _ in best] == [predictions.classes[place] for place in row["top5"]]
        assert np.allclose([score for _, score in best], row["top5_scores"], atol=1e-5)


def test_any_float_array_or_tensor_or_file_is_a_cloud(model, tmp_path):
    points = cloud().astype(np.float16).astype(np.float32)  # what float16 can hold
    np.save(tmp_path / "one.npy", points)
    with_intensity = np.concatenate([points, np.full((50, 2), 7, np.float32)], axis=1)
    given = [points, points.astype(np.float64), points.astype(np.float16), points.tolist(), with_intensity]
    given += [torch.from_numpy(points), torch.from_numpy(points).to(torch.float16), np.asfortranarray(points)]
    given += [tmp_path / "one.npy", str(tmp_path / "one.npy"), torch.from_numpy(points).double().requires_grad_()]
    embeddings = model.encode(given)
    assert np.abs(embeddings - model.encode([points])).max() < 1e-6
    assert np.abs(model.encode(np.stack([points, points])) - embeddings[:2]).max() < 1e-6


def test_points_that_are_not_finite_are_dropped_and_counted(model, caplog):
    points = cloud()
    broken = np.insert(points, [3, 20], [[np.nan, 0, 0], [0, np.inf, 0]], axis=0).astype(np.float32)
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(model.encode([broken]), model.encode([points]))
    assert "2 points are not finite" in caplog.text


def test_an_empty_box_is_of_no_class(model):
    embeddings = model.encode([None, cloud(), None])
    assert np.isnan(embeddings[[0, 2]]).all() and np.isfinite(embeddings[1]).all()
    assert np.array_equal(embeddings[1:2], model.encode([cloud()]))
    predictions = model.classify([None, cloud()], NAMES)
    assert predictions.names[0] is None and predictions.names[1] in NAMES
    assert np.isnan(predictions.scores[0]) and predictions[0] == []
    assert predictions.table["name"].null_count == predictions.table["score"].null_count == 1
    assert np.isnan(model.encode([None])).all()


def test_coordinates_of_the_globe_lose_no_digits(model):
    far = cloud().astype(np.float64) + [500_000.0, 5_400_000.0, 200.0]
    assert np.abs(model.encode([far]) - model.encode([cloud()])).max() < 1e-5


def test_clouds_are_turned_for_an_encoder_whose_up_is_y(model):
    points = cloud()
    turned = small_model(up="y").encode([points])
    # y up from z up: x right as it was or not, the axis that points up must be y and nothing may be mirrored.
    assert np.abs(turned - model.encode([points[:, [1, 2, 0]]])).max() < 1e-6


def test_colors_from_0_to_1_or_255_are_the_same():
    model, points = small_model(colors=True), cloud()
    shades = np.random.default_rng(1).integers(0, 256, (50, 3)).astype(np.float32)
    whole = model.encode([np.concatenate([points, shades], axis=1)])
    assert np.allclose(whole, model.encode([np.concatenate([points, shades / 255], axis=1)]), atol=1e-6)
    assert np.abs(whole - model.encode([np.concatenate([points, shades / 510], axis=1)])).max() > 1e-3


def test_classes_are_told_by_the_text_that_is_nearest(model):
    """Worked out from the CLIP's own features, a class and a template at a time."""
    words, patterns = {"thing": ["car", "truck"], "cone": ["traffic cone"]}, ["a {}", "the {} there"]
    clip = load_clip("tiny")
    expected = []
    for own in words.values():
        texts = [pattern.replace("{}", word) for word in own for pattern in patterns]
        features = torch.nn.functional.normalize(clip.embed_texts(texts), dim=1).mean(0)
        expected.append((features / features.norm()).numpy())
    weights = model.classifier(words, patterns)
    assert weights.names == ["thing", "cone"] and np.allclose(weights.weights_CD, expected, atol=1e-6)
    embeddings = model.encode([cloud(seed=seed) for seed in range(20)])
    scores = embeddings @ np.array(expected).T
    predictions = model.classify([cloud(seed=seed) for seed in range(20)], words, patterns)
    assert np.allclose(predictions.cosines_NC, scores, atol=1e-6)
    assert predictions.names == [["thing", "cone"][best] for best in scores.argmax(1)]
    assert np.allclose(predictions.scores, scores.max(1), atol=1e-6)


def test_names_come_as_list_dictionary_file_or_set_that_ships(model, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("classes:\n  car: [car]\n  digger: [excavator, digger]\n")
    ours = read_classes(prompts_folder() / "classes" / "nuscenes.yaml")
    assert model.classifier("nuscenes").names == list(ours)
    assert np.array_equal(model.classifier("nuscenes").weights_CD, model.classifier(ours).weights_CD)
    for source in (path, str(path)):
        assert np.array_equal(
            model.classifier(source).weights_CD,
            model.classifier({"car": "car", "digger": ["excavator", "digger"]}).weights_CD,
        )
    plain = model.classifier(NAMES, "plain").weights_CD
    assert np.array_equal(plain, model.classifier(NAMES, ["a {}"]).weights_CD)
    assert np.abs(plain - model.classifier(NAMES).weights_CD).max() > 1e-3


def test_weights_made_once_name_clouds_without_clip(model):
    weights = model.classifier(NAMES)
    without = small_model()
    without.description = None  # nothing to load a CLIP by
    predictions = without.named(model.encode([cloud()]), weights)
    assert predictions.names == model.classify([cloud()], NAMES).names
    assert model.classify([cloud()], weights).names == predictions.names


def test_top_is_how_many_classes_are_told(model):
    assert [len(model.classify([cloud()], "nuscenes", top=top)[0]) for top in (1, 3, 99)] == [1, 3, 10]
    table = model.classify([cloud()], "nuscenes", top=3).table
    scores = table["top_scores"][0].as_py()
    assert scores == sorted(scores, reverse=True) and len(table["top_names"][0]) == 3


def test_names_that_the_clip_cannot_tell_apart_warn(model, caplog):
    with caplog.at_level(logging.WARNING):
        model.classifier(["car", "truck"])
        assert not caplog.records
        model.classifier({"one": ["car"], "other": ["Car"], "third": ["tree"]})
    assert "one and other" in caplog.text and "third" not in caplog.text


def test_texts_and_images_have_the_features_of_the_clip(model, tmp_path):
    clip = load_clip("tiny")
    texts = clip.embed_texts(["a car"]).numpy()
    assert np.allclose(model.encode_text(["a car"]), texts / np.linalg.norm(texts), atol=1e-6)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    features = clip.embed_images(clip.prepared(Image.fromarray(pixels))[None]).numpy()
    for given in (pixels, Image.fromarray(pixels), tmp_path / "photo.png", str(tmp_path / "photo.png")):
        assert np.allclose(model.encode_image([given]), features / np.linalg.norm(features), atol=1e-6)


def test_the_same_cloud_has_the_same_embedding_every_time(model):
    clouds = [cloud(count, seed) for seed, count in enumerate((3, 900, 40, 250))]
    assert np.array_equal(model.encode(clouds), model.encode(clouds))
    assert np.abs(model.encode(clouds)[2] - model.encode([clouds[2]])[0]).max() < 1e-5


def test_a_foreign_checkpoint_says_whose_it_is_and_takes_a_clip(tmp_path, monkeypatch):
    (tmp_path / "ulip.pt").touch()
    made = small_encoder()
    monkeypatch.setattr("blendclip.encoders.model_folder.load_foreign", lambda path: (made, "ULIP"))
    model = blendclip.load(tmp_path / "ulip.pt", clip="tiny")
    assert model.description.up == "y" and model.description.origin == "ULIP"
    assert model.classify([cloud()], NAMES).names[0] in NAMES
    with pytest.raises(UserError, match=r"does not say which CLIP .* load it with clip="):
        blendclip.load(tmp_path / "ulip.pt").encode_text(["a car"])
    monkeypatch.setattr("blendclip.encoders.model_folder.load_foreign", lambda path: (made, "BlendCLIP"))
    assert blendclip.load(tmp_path / "ulip.pt").description.up == "z"
    assert blendclip.load(tmp_path / "ulip.pt", up="x").description.up == "x"


FIRST_CALLS = {
    "no clouds": (lambda m: m.encode([]), r"there is no cloud"),
    "one array": (lambda m: m.encode(cloud()), r"one array of shape \(50, 3\): give a list"),
    "one path": (lambda m: m.encode("car.pcd"), r"the single path 'car.pcd': give a list"),
    "missing file": (lambda m: m.encode(["nowhere.pcd"]), r"no file nowhere.pcd"),
    "unknown suffix": (lambda m: m.encode(["cloud.xyz"]), r"cloud.xyz is of no kind .* \.pcd"),
    "flat": (lambda m: m.encode([cloud(), cloud()[:, :2]]), r"cloud 1 has shape \(50, 2\)"),
    "ragged": (lambda m: m.encode([[[1.0, 2.0, 3.0], [1.0]]]), r"cloud 0 is no array"),
    "integers": (lambda m: m.encode([cloud().astype(int)]), r"cloud 0 has numbers of type int64"),
    "texts": (lambda m: m.encode([np.array([["a", "b", "c"]])]), r"cloud 0 has numbers of type <U1"),
    "no points": (lambda m: m.encode([cloud(), cloud(0)]), r"cloud 1 holds no finite point of 0"),
    "all NaN": (lambda m: m.encode([cloud() * np.nan]), r"cloud 0 holds no finite point of 50"),
    "no names": (lambda m: m.classify([cloud()], []), r"no names to choose from"),
    "a name twice": (lambda m: m.classify([cloud()], ["car", "car"]), r"name 'car' comes twice"),
    "a name of no text": (lambda m: m.classify([cloud()], ["car", ""]), r"class '' and its words"),
    "a name without words": (lambda m: m.classify([cloud()], {"car": []}), r"class 'car' and its words \[\]"),
    "unknown set": (lambda m: m.classify([cloud()], "nuscene"), r"no classes named 'nuscene' ship: .*nuscenes"),
    "missing YAML": (lambda m: m.classify([cloud()], "mine.yaml"), r"no file mine.yaml"),
    "unknown templates": (lambda m: m.classify([cloud()], NAMES, "many"), r"no templates named 'many' ship"),
    "no templates": (lambda m: m.classify([cloud()], NAMES, []), r"no template"),
    "a template without place": (lambda m: m.classify([cloud()], NAMES, ["a car"]), r"'a car' must be text that"),
    "top 0": (lambda m: m.classify([cloud()], NAMES, top=0), r"top is 0"),
    "weights of another": (
        lambda m: m.classify([cloud()], ClassWeights(["a"], np.ones((1, 5), np.float32))),
        r"weights have width 5 and the embeddings 128",
    ),
    "one text": (lambda m: m.encode_text("a car"), r"the single text 'a car'"),
    "no text": (lambda m: m.encode_text([]), r"no text"),
    "one image": (lambda m: m.encode_image("photo.jpg"), r"images is no list"),
    "no image": (lambda m: m.encode_image([]), r"images is no list, or empty"),
    "missing image": (lambda m: m.encode_image(["photo.jpg"]), r"no image photo.jpg"),
    "float image": (lambda m: m.encode_image([np.zeros((4, 4, 3))]), r"image 0 has shape .* float64"),
    "missing model": (lambda m: blendclip.load("nowhere"), r"no model nowhere: .* hf-hub:OWNER/NAME"),
    "no model": (lambda m: blendclip.load("tests"), r"tests is no model, as it holds no model.safetensors"),
    "name of no model": (lambda m: blendclip.load("hf-hub:mine"), r"'mine' is no name of a model"),
    "unknown CLIP": (lambda m: m._with("ViT-B17", None), r"'ViT-B17' names no CLIP"),
    "one sweep of two": (lambda m: blendclip.crop(cloud()[:, :2], [[0] * 7]), r"sweep has shape \(50, 2\)"),
    "boxes of eight": (lambda m: blendclip.crop(cloud(), np.ones((2, 8))), r"boxes have shape \(2, 8\)"),
    "a box of NaN": (lambda m: blendclip.crop(cloud(), [[0, 0, np.nan, 1, 1, 1, 0]]), r"box 0 is \[0.0, 0.0, nan"),
    "a box of no size": (lambda m: blendclip.crop(cloud(), [[0, 0, 0, 1, 0, 1, 0]]), r"box 0 is .* above 0"),
    "search in nothing": (lambda m: blendclip.search(np.empty((0, 8)), np.ones((1, 8))), r"embeddings have shape"),
    "search of another": (lambda m: blendclip.search(np.ones((2, 8)), np.ones((1, 9))), r"width 8 and the queries 9"),
    "search for none": (lambda m: blendclip.search(np.ones((2, 8)), np.ones((1, 8)), 0), r"k is 0"),
}


@pytest.mark.parametrize("name", FIRST_CALLS)
def test_a_wrong_first_call_is_told_in_one_sentence(model, name):
    call, sentence = FIRST_CALLS[name]
    with pytest.raises(UserError, match=sentence) as raised:
        call(model)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


def test_colors_that_are_missing_or_out_of_range(model):
    colored = small_model(colors=True)
    with pytest.raises(UserError, match=r"needs colors and cloud 0 has 3 columns: give \(N, 6\)"):
        colored.encode([cloud()])
    with pytest.raises(UserError, match="cloud 0 has colors outside of 0 to 255"):
        colored.encode([np.concatenate([cloud(), cloud()], axis=1)])


def test_a_clip_of_another_width_is_refused():
    with pytest.raises(UserError, match=f"tiny has width {TINY_CLIP_WIDTH} and the encoder 64"):
        small_model(out_dim=64).encode_text(["a car"])


@pytest.mark.slow
def test_a_clip_that_is_missing_offline_is_one_sentence(tmp_path):
    """In a process of its own, since the hub's library reads its environment once."""
    code = """
import blendclip
from tests.models import small_model
model = small_model()._with(("ViT-B-16", "datacomp_xl_s13b_b90k"), None)
model.encode([[[0.0, 1.0, 2.0]]])
try:
    model.encode_text(["a car"])
except blendclip.UserError as error:
    print(error)
"""
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": sys.path[0]}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 and "could not be downloaded" in done.stdout
