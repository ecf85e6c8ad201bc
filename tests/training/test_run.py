import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from blendclip.encoders.checkpoints import load_encoder
from blendclip.encoders.clouds import Clouds, normalized
from blendclip.errors import UserError
from blendclip.training import loop
from blendclip.training.journal import read_journal
from blendclip.training.recipe import as_recipe
from blendclip.training.run import train
from tests.training.toyruns import CLASSES, cloud, recipe, write_recipe, write_results, write_split

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return write_results(tmp_path_factory.mktemp("results"))


def command(results, output, **changes):
    path = write_recipe(output / "recipe.json", **changes)
    arguments = ["--recipe", path, "--results", results, "--output", output, "--threads", "1"]
    return ["-m", "blendclip", "train", *map(str, arguments)]


def run(results, output, launcher=(), **changes):
    done = subprocess.run(
        [sys.executable, *launcher, *command(results, output, **changes)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def steps_logged(output):
    journals = [read_journal(path) for path in (output / "training").glob("*/log.jsonl")]
    return [entry["step"] for journal in journals for entry in journal if entry["kind"] == "train"]


def signalled(results, output, number, at_step):
    """Start a run, send it a signal once it has logged a step; its exit status."""
    process = subprocess.Popen([sys.executable, *command(results, output)], env=ENVIRONMENT, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not any(step >= at_step for step in steps_logged(output)):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate()
    return process.returncode


@pytest.fixture(scope="module")
def uninterrupted(results, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole")
    run(results, output)
    return output


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)])
def test_a_stopped_run_goes_on_to_the_same_weights(results, uninterrupted, tmp_path, number, status):
    assert signalled(results, tmp_path, number, at_step=7) == status
    assert not (tmp_path / "model.safetensors").exists()
    said = run(results, tmp_path)
    assert "going on from" in said
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / name).read_bytes() == (uninterrupted / name).read_bytes()
    assert [e["step"] for e in read_journal(tmp_path / "log.jsonl") if e["kind"] == "train"] == list(range(1, 26))


@pytest.mark.slow
@pytest.mark.parametrize("drop_path", [0.0, 0.3])
def test_two_processes_train_to_what_one_does(results, tmp_path, drop_path):
    encoder = recipe()["encoder"] | {"drop_path": drop_path}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    run(results, tmp_path / "one", encoder=encoder)
    run(results, tmp_path / "two", launcher, encoder=encoder)
    losses = [
        [entry["loss"] for entry in read_journal(tmp_path / name / "log.jsonl") if entry["kind"] == "train"]
        for name in ("one", "two")
    ]
    assert len(losses[0]) == len(losses[1]) == 25
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-4)
    # Not weight by weight: a bias before a norm has no gradient but rounding, which Adam makes as large as any other.
    seen = normalized(
        Clouds.of([torch.from_numpy(cloud(name, 60, np.random.default_rng(9))).float() for name in CLASSES])
    )
    one, two = (load_encoder(tmp_path / name / "model.safetensors")[0](seen) for name in ("one", "two"))
    assert torch.nn.functional.cosine_similarity(one, two).min() > 0.9999


def test_it_learns_what_it_is_shown(results, tmp_path):
    # Four classes as frequent: chance is 25 %.
    content = recipe(epochs={"count": 30, "rule": "distinct", "coverage": 1.0, "warmup": 1}, checkpoint_every=1000)
    torch.set_num_threads(1)
    assert train(as_recipe(content), results, tmp_path)
    journal = read_journal(tmp_path / "log.jsonl")
    assert journal[-1]["kind"] == "validation" and journal[-1]["road/val/most_frequent"] == 0.25
    assert journal[-1]["road/val/top1"] > 0.6
    assert journal[-2]["loss"] < journal[0]["loss"]
    about = json.loads((tmp_path / "model.json").read_text())
    assert about["recipe"]["epochs"]["count"] == 30 and about["encoder"]["out_dim"] == 16


def test_a_loss_that_is_no_number_stops_the_run(results, tmp_path, monkeypatch):
    align, calls = loop.align, []

    def broken(*args):
        calls.append(args)
        aligned = align(*args)
        if len(calls) == 6:
            aligned.loss.data.fill_(torch.nan)
        return aligned

    monkeypatch.setattr(loop, "align", broken)
    with pytest.raises(UserError, match="step 5 .*/broken-step-000000005.rank-0.json"):
        train(as_recipe(recipe()), results, tmp_path)
    listed = json.loads(next((tmp_path / "training").glob("*/broken-step-000000005.rank-0.json")).read_text())
    assert len(listed["triplet_ids"]) == 8 and all(i.split("/")[0] in ("cad", "road") for i in listed["triplet_ids"])
    assert not (tmp_path / "model.safetensors").exists()
    assert [path.name for path in (tmp_path / "training").glob("*/step-*")] == ["step-000000003.safetensors"]


def test_a_changed_recipe_starts_anew_and_the_old_one_goes_on(results, tmp_path):
    short = {"count": 1, "rule": "distinct", "coverage": 1.0, "warmup": 0}
    assert train(as_recipe(recipe(epochs=short)), results, tmp_path)
    first = (tmp_path / "model.safetensors").read_bytes()
    assert train(as_recipe(recipe(epochs=short, seed=1)), results, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() != first
    assert train(as_recipe(recipe(epochs=short)), results, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == first


def test_what_is_only_watched_trains_nothing_again(results, tmp_path):
    short = {"epochs": {"count": 1, "rule": "distinct", "coverage": 1.0, "warmup": 0}}
    assert train(as_recipe(recipe(**short, validation=[])), results, tmp_path)
    first = load_file(tmp_path / "model.safetensors")
    assert [entry["kind"] for entry in read_journal(tmp_path / "log.jsonl")] == ["train"] * 5
    assert train(as_recipe(recipe(**short)), results, tmp_path)
    assert [entry["kind"] for entry in read_journal(tmp_path / "log.jsonl")] == ["train"] * 5 + ["validation"]
    torch.testing.assert_close(load_file(tmp_path / "model.safetensors"), first, rtol=0, atol=0)


def test_a_run_on_other_data_starts_anew(tmp_path):
    results = write_results(tmp_path / "results")
    short = recipe(epochs={"count": 1, "rule": "distinct", "coverage": 1.0, "warmup": 0})
    assert train(as_recipe(short), results, tmp_path)
    first = (tmp_path / "model.safetensors").read_bytes()
    write_split(results, "cad", "train", per_class=10, points=300, views=3, lidar=False, seed=7)
    assert train(as_recipe(short), results, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() != first


WRONG = [
    ({"data": {"synthetic": ["cad/none"]}}, "packed/cad/none/part-00000.arrow is missing: run"),
    ({"mixture": {"max_real_ratio": 1.5}}, "mixture.max_real_ratio is 1.5"),
    ({"batch_sise": 8}, "batch_sise"),
    ({"batch_size": "many"}, "batch_size"),
    ({"data": {"synthetic": ["cad/train"]}}, "asks for real samples but no real dataset"),
    ({"data": {"synthetic": ["cad/train"], "real": ["road/train"], "excluded_classes": ["dog"]}}, "'dog'"),
    (
        {"data": {"synthetic": ["cad/train"], "excluded_classes": ["ball", "rod", "plate", "box"]}},
        "cad/train has no rows left",
    ),
    ({"encoder": {"preset": "huge"}}, "encoder.preset is 'huge'"),
    ({"micro_batches": 3}, "batch_size 8 cannot be shared out evenly"),
    ({"initial_weights": "none.safetensors"}, "none"),
    (
        {"validation": [{"split": "road/val", "classes": "other", "templates": "plain"}]},
        "other.plain.parquet is missing",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_what_is_wrong_is_told_in_a_sentence(results, tmp_path, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        train(as_recipe(recipe(**changes)), results, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
