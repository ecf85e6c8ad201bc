"""The parts of training, and what goes wrong in it, in this process."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from blendclip.cli.main import main
from blendclip.encoders.checkpoints import save_encoder
from blendclip.encoders.model_folder import OURS, read_model
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.errors import UserError
from blendclip.evaluation.class_weights import read_class_weights
from blendclip.evaluation.encoding import encode_clouds
from blendclip.training import loop
from blendclip.training.comparison import runs_table
from blendclip.training.data.packed import PackedSplit
from blendclip.training.distributed import Group
from blendclip.training.loop import Aligner, Training, length_of
from blendclip.training.loss import Alignment
from blendclip.training.measurements import NEVER, FirstBroken, StepNumbers
from blendclip.training.metrics_log import MetricsLog, read_metrics_log
from blendclip.training.optimization import adamw, learning_rate
from blendclip.training.recipe import Optimization
from blendclip.training.run import train
from blendclip.training.state import fingerprint, states
from blendclip.training.trackers import TrackedRun
from tests.training import toy

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"depth": 2, "width": 32, "heads": 2, "encoder_width": 16, "max_patches": 8, "out_dim": toy.WIDTH}


@pytest.mark.parametrize("log_every", [1, 1000])
def test_a_loss_that_is_no_number_stops_the_run_and_tells_its_samples(results, tmp_path, monkeypatch, log_every):
    steps = iter(range(100))
    whole = loop.align

    def broken(*arguments):
        good = whole(*arguments)
        factor = float("nan") if next(steps) == 6 else 1.0
        return Alignment(good.loss * factor, good.text_loss, good.image_loss, good.text_accuracy, good.image_accuracy)

    monkeypatch.setattr(loop, "align", broken)
    with pytest.raises(UserError, match="loss or gradient of step 6 is not a finite number") as told:
        train(toy.toy_recipe(log_every=log_every), results, tmp_path)
    assert next(steps) == (7 if log_every == 1 else 8), "noticed when something is logged or saved"
    (folder,) = (tmp_path / "training").iterdir()
    named = folder / "broken-step-000000006.rank-0.json"
    assert str(named) in str(told.value)
    monkeypatch.undo()
    splits = [PackedSplit.open(results, "tiny", name, "train") for name in ("cad", "road")]
    training = Training(toy.toy_recipe(encoder__out_dim=toy.WIDTH), splits, Group(0, 1, torch.device("cpu")))
    assert json.loads(named.read_text())["triplet_ids"] == training.batches[6].ids
    assert [path.name for path in states(folder)] == ["step-000000004.safetensors"]
    assert not (tmp_path / "model.safetensors").exists()


def test_a_learning_rate_out_of_all_bounds_is_told(results, tmp_path):
    recipe = toy.toy_recipe(optimization={"learning_rate": 1e30, "final_learning_rate": 0.0}, epochs__warmup=0.0)
    with pytest.raises(UserError, match="lower optimization.learning_rate"):
        train(recipe, results, tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data__synthetic": ["cad/test"]}, "packed/cad/test/part-00000.arrow is missing: run `blendclip pack-clouds`"),
        ({"clip": "other"}, "packed/other/cad/train/part-00000.arrow is missing: run `blendclip pack-features`"),
        ({"data__real": []}, "the mixture asks for real samples but no real dataset is given"),
        ({"data__excluded_classes": list(toy.CLASSES)}, "cad/train has no rows left to train on"),
        ({"data__excluded_classes": ["Ball"]}, "excluded_classes names 'Ball'"),
        ({"batch_size": 9, "micro_batches": 2}, "batch_size 9 cannot be shared out evenly"),
        ({"initial_weights": "nowhere.safetensors"}, "nowhere.safetensors is missing"),
        (
            {"validation": [{"split": "road/val", "classes": "nuscenes", "templates": "plain"}]},
            "nuscenes.plain.parquet is missing",
        ),
    ],
)
def test_what_is_missing_or_does_not_fit_is_told(results, tmp_path, capsys, changes, sentence):
    recipe = toy.write_recipe(tmp_path / "recipe.json", **changes)
    paths = {"recipe": recipe, "results": results, "output": tmp_path / "run"}
    assert main(["train", *(str(text) for name, path in paths.items() for text in (f"--{name}", path))]) == 1
    told = capsys.readouterr().err
    assert sentence in told and "Traceback" not in told
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("there", "asked", "sentence"),
    [
        (0, 1, "--gpus is 1, but torch finds no GPU: leave it out to train on the CPU"),
        (2, 8, "--gpus is 8, but torch finds 2: ask for as many"),
    ],
)
def test_more_gpus_than_there_are_is_one_sentence(results, tmp_path, monkeypatch, capsys, there, asked, sentence):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    recipe = toy.write_recipe(tmp_path / "recipe.json")
    paths = ["--recipe", recipe, "--results", results, "--output", tmp_path / "run"]
    assert main(["train", *map(str, paths), "--gpus", str(asked)]) == 1
    assert capsys.readouterr().err == f"blendclip train: {sentence}\n"
    assert not (tmp_path / "run").exists()


def test_held_out_clouds_without_a_class_to_choose_are_told(results, tmp_path, monkeypatch):
    monkeypatch.setattr("blendclip.training.run.read_class_weights", _strangers)
    with pytest.raises(UserError, match="no cloud of road/val has a class of prompts/classes/toys.yaml"):
        train(toy.toy_recipe(), results, tmp_path)


def _strangers(path):
    from blendclip.evaluation.class_weights import ClassWeights

    return ClassWeights(["horse"], np.eye(1, toy.WIDTH, dtype=np.float32))


def test_initial_weights(results, tmp_path):
    quick = {
        "epochs__count": 1,
        "epochs__warmup": 0.0,
        "optimization": {"learning_rate": 1e-12, "final_learning_rate": 0.0},
    }
    other = PointBert(PointBertConfig(**SMALL | {"width": 64}))
    save_encoder(tmp_path / "other.safetensors", other, {})
    with pytest.raises(UserError, match=r"other\.safetensors"):
        train(toy.toy_recipe(initial_weights=str(tmp_path / "other.safetensors")), results, tmp_path / "a")
    given = PointBert(PointBertConfig(**SMALL))
    save_encoder(tmp_path / "given.safetensors", given, {})
    recipe = toy.toy_recipe(initial_weights=str(tmp_path / "given.safetensors"), **quick)
    assert train(recipe, results, tmp_path / "b")
    from safetensors.torch import load_file

    trained = load_file(tmp_path / "b" / "model.safetensors")
    for name, parameter in given.named_parameters():
        torch.testing.assert_close(trained[name], parameter.detach(), atol=1e-6, rtol=0)


SEEN = {"elsewhere/train": {"domain": "real", "triplets": 7, "instances": 3}}


def test_a_run_of_no_epoch_is_the_weights_that_it_starts_from(results, tmp_path, capsys):
    given = PointBert(PointBertConfig(**SMALL))
    save_encoder(tmp_path / "given.safetensors", given, {}, {"origin": "BlendCLIP", "data": SEEN})
    recipe = toy.toy_recipe(initial_weights=str(tmp_path / "given.safetensors"), epochs__count=0)
    assert train(recipe, results, tmp_path / "run")
    encoder, about = read_model(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(value, encoder.state_dict()[name]) for name, value in given.state_dict().items())
    assert about.data == SEEN and about.recipe["epochs"]["count"] == 0 and about.origin == "BlendCLIP"
    (entry,) = read_metrics_log(tmp_path / "run" / "log.jsonl")
    assert (entry["kind"], entry["step"]) == ("validation", 0)
    split = PackedSplit.open(results, "tiny", "road", "val")
    features = encode_clouds(given, lambda row: (split.points(row), None), split.num_points, 96, in_metres=False)
    weights = read_class_weights(results / "embeddings/tiny/classes/toys.plain.parquet")
    right = (features @ weights.weights_CD.T).argmax(1) == weights.labels(list(split.column("class_name")))
    assert entry["road/val/top1"] == pytest.approx(right.mean())
    assert "road/val" in runs_table([tmp_path / "run"])
    assert train(replace(recipe, validation=()), results, tmp_path / "unwatched")
    assert read_metrics_log(tmp_path / "unwatched" / "log.jsonl") == []
    assert runs_table([tmp_path / "unwatched"]).splitlines()[1].strip() == "unwatched"


def test_weights_of_other_axes_are_not_measured_as_if_they_were_z_up(results, tmp_path):
    save_encoder(tmp_path / "given.safetensors", PointBert(PointBertConfig(**SMALL)), {}, {"up": "y"})
    recipe = toy.toy_recipe(initial_weights=str(tmp_path / "given.safetensors"), epochs__count=0)
    with pytest.raises(
        UserError, match="was trained with y up, and clouds of runs are z up: measure it as it is under"
    ):
        train(recipe, results, tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert train(replace(recipe, epochs=replace(recipe.epochs, count=1, warmup=0.0)), results, tmp_path / "trained")
    about = read_model(tmp_path / "trained" / "model.safetensors")[1]
    assert (about.up, about.origin) == ("z", OURS)


def test_another_recipe_or_other_data_train_anew_and_watching_otherwise_does_not(results, tmp_path, capsys):
    quick = {"epochs__count": 1, "epochs__warmup": 0.0}
    assert train(toy.toy_recipe(**quick), results, tmp_path / "run")
    model = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert len(list((tmp_path / "run" / "training").iterdir())) == 1
    capsys.readouterr()
    watched = {"log_every": 3, "validation": [toy.RECIPE["validation"][0] | {"max_clouds": 8}]}
    assert train(toy.toy_recipe(**quick, **watched), results, tmp_path / "run")
    printed = capsys.readouterr().err
    assert "train" not in printed and "validation  road/val/top1" in printed, "measured anew, trained not"
    entries = read_metrics_log(tmp_path / "run" / "log.jsonl")
    assert [entry["kind"] for entry in entries].count("validation") == 1
    assert train(toy.toy_recipe(**quick, seed=1), results, tmp_path / "run")
    assert "step 1/5" in capsys.readouterr().err and len(list((tmp_path / "run" / "training").iterdir())) == 2
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != model
    assert train(toy.toy_recipe(**quick), results, tmp_path / "run")
    assert "  train  " not in capsys.readouterr().err, "the old one is still there"


def test_fingerprints_see_recipe_and_data(results, tmp_path):
    recipe = toy.toy_recipe()
    cad, road = (PackedSplit.open(results, "tiny", name, "train") for name in ("cad", "road"))
    ours = fingerprint(recipe.decisive(), [cad, road])
    assert ours == fingerprint(recipe.decisive(), [cad, road]) and len(ours) == 12
    copy = toy.make(tmp_path / "copy")
    same = [PackedSplit.open(copy, "tiny", name, "train") for name in ("cad", "road")]
    assert fingerprint(recipe.decisive(), same) == ours, "the same data elsewhere"
    assert fingerprint(toy.toy_recipe(seed=1).decisive(), [cad, road]) != ours
    assert fingerprint(recipe.decisive(), [cad]) != ours
    tables = toy._objects()
    tables.rows["triplets"][20]["points"][0][0] += 1e-3
    tables.write(tmp_path / "moved")
    toy.pack(tmp_path / "moved", "cad", "train")
    moved = PackedSplit.open(tmp_path / "moved", "tiny", "cad", "train")
    assert fingerprint(recipe.decisive(), [moved, road]) != ours


def test_a_checkpoint_of_another_recipe_or_a_broken_one_is_told(results, tmp_path):
    splits = [PackedSplit.open(results, "tiny", name, "train") for name in ("cad", "road")]

    def training(**changes):
        return Training(toy.toy_recipe(encoder__out_dim=toy.WIDTH, **changes), splits, Group(0, 1, torch.device("cpu")))

    training().save(tmp_path)
    training(log_every=7).resume(tmp_path)
    with pytest.raises(UserError, match=r"another recipe \(differs in data.max_points, seed\)"):
        training(seed=1, data__max_points=50).resume(tmp_path)
    (path,) = states(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"step-000000000.safetensors is not a readable safetensors file .*: delete it"):
        training().resume(tmp_path)


def test_the_first_broken_step_is_kept_and_numbers_of_micro_batches_are_averaged():
    broken = FirstBroken(torch.device("cpu"))
    broken.note(3, torch.tensor(1.0))
    assert broken.read() == NEVER
    for step, number in ((4, float("inf")), (5, float("nan")), (6, 1.0)):
        broken.note(step, torch.tensor(number))
    assert broken.read() == 4
    parts = [{"loss": torch.tensor(value), "scale": torch.tensor(14.0)} for value in (1.0, 2.0)]
    numbers = StepNumbers(parts, torch.tensor(0.5), {"learning_rate": 0.1}).read()
    assert numbers == {"loss": 1.5, "scale": 14.0, "learning_rate": 0.1, "gradient_norm": 0.5}


def test_steps_of_a_run():
    recipe = toy.toy_recipe(epochs={"count": 3, "coverage": 0.8, "rule": "coupon_collector", "warmup": 0.5})
    length = length_of(recipe, {"cad/train": 40, "road/train": 1000})
    assert (length.epoch, length.warmup, length.total) == (9, 4, 27), "40 ln 5 = 64.4, of CAD objects alone"
    assert length_of(toy.toy_recipe(data__synthetic=[]), {"road/train": 20}).epoch == 3


def test_learning_rate_by_hand():
    options = Optimization(learning_rate=1.0, final_learning_rate=0.1)
    rates = [learning_rate(step, 9, 4, options) for step in range(9)]
    root = 0.45 * 2**-0.5
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 0.55 + root, 0.55, 0.55 - root, 0.1])
    assert learning_rate(0, 1, 0, options) == 1.0
    assert [learning_rate(step, 3, 0, options) for step in range(3)] == pytest.approx([1.0, 0.55, 0.1])


def test_norms_biases_tokens_and_the_scale_do_not_decay():
    model = Aligner(PointBert(PointBertConfig(**SMALL)))
    optimizer = adamw(model, Optimization(weight_decay=0.3))
    decay = {id(one): group["weight_decay"] for group in optimizer.param_groups for one in group["params"]}
    plain = {name for name, parameter in model.named_parameters() if decay[id(parameter)] == 0}
    norms = {
        f"{name}.{end}" for name, m in model.named_modules() if "Norm" in type(m).__name__ for end in ("weight", "bias")
    }
    biases = {name for name, _ in model.named_parameters() if name.endswith(".bias")}
    tokens = {"encoder.class_token", "encoder.class_position", "temperature.log_scale"}
    assert plain == norms | biases | tokens
    assert set(decay.values()) == {0.0, 0.3} and len(decay) == len(list(model.parameters()))


def test_a_resumed_metrics_log_drops_what_came_after_and_a_torn_line(tmp_path):
    with MetricsLog(TrackedRun("toy", tmp_path, {}, 0, 10)) as metrics_log:
        for step in range(1, 8):
            metrics_log.add(step, "train", {"loss": float(step)})
        metrics_log.add(7, "validation", {"top1": 0.5})
    with metrics_log.path.open("a") as file:
        file.write('{"step": 8, "ki')
    assert [entry["step"] for entry in read_metrics_log(metrics_log.path)] == [*range(1, 8), 7]
    with MetricsLog(TrackedRun("toy", tmp_path, {}, 5, 10)) as metrics_log:
        metrics_log.add(6, "train", {"loss": 60.0})
    entries = read_metrics_log(metrics_log.path)
    assert [(entry["step"], entry["loss"]) for entry in entries] == [(n, float(n)) for n in range(1, 6)] + [(6, 60.0)]
    assert read_metrics_log(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    "line", [b"{", b"\xff\xfe", b"[1]", b"{}", b'{"step": "3", "kind": "train"}', b"[" * 100_000, b""]
)
def test_a_damaged_line_of_a_metrics_log_stops_no_run(tmp_path, caplog, line):
    with MetricsLog(TrackedRun("toy", tmp_path, {}, 0, 10)) as metrics_log:
        metrics_log.add(1, "train", {"loss": 1.0})
    with metrics_log.path.open("ab") as file:
        file.write(line + b"\n")
    with MetricsLog(TrackedRun("toy", tmp_path, {}, 1, 10)) as metrics_log:
        metrics_log.add(2, "train", {"loss": 2.0})
    assert f"{metrics_log.path} has 1 damaged lines, which are left out" in caplog.text
    assert [entry["loss"] for entry in read_metrics_log(metrics_log.path)] == [1.0, 2.0]


def test_a_cloud_has_the_same_feature_alone_and_among_others_in_any_order(results):
    torch.manual_seed(0)
    encoder = PointBert(PointBertConfig(**SMALL)).train()
    split = PackedSplit.open(results, "tiny", "road", "val")
    order = np.random.default_rng(0).permutation(len(split))

    def encoded(rows):
        return encode_clouds(
            encoder, lambda number: (split.points(rows[number]), None), split.num_points[rows], 64, in_metres=False
        )

    together = encoded(np.arange(len(split)))
    assert encoder.training and together.shape == (len(split), toy.WIDTH)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoded(order), together[order], atol=1e-5)
    for row in (0, 7, 23):
        np.testing.assert_allclose(encoded(np.array([row]))[0], together[row], atol=1e-5)
    assert encoded(np.arange(0)).shape == (0, toy.WIDTH)


def test_the_table_of_runs(tmp_path):
    for name, entries in {
        "one": [("validation", {"a/val/top1": 0.1}), ("validation", {"a/val/top1": 0.25, "a/val/top5": 1.0})],
        "another": [("train", {"loss": 1.0}), ("validation", {"a/val/top1": 0.5, "b/val/top1": 0.125})],
    }.items():
        lines = [json.dumps({"step": 1, "kind": kind, **values}) + "\n" for kind, values in entries]
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.jsonl").write_text("".join(lines))
    lines = [line.split() for line in runs_table([tmp_path / "one", tmp_path / "another"]).splitlines()]
    assert lines == [["zero-shot", "top-1", "a/val", "b/val"], ["one", "25.0%", "-"], ["another", "50.0%", "12.5%"]]
    with pytest.raises(UserError, match="train the run to its end first"):
        runs_table([tmp_path / "none"])
