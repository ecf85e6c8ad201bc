"""Whole runs by their command: stopped, killed, shared between processes."""

import json
import os
import random
import re
import shlex
import signal
import subprocess
import time

import pytest
import torch
from safetensors.torch import load_file

from blendclip.encoders.weights import read_weights
from blendclip.training.metrics_log import read_metrics_log
from blendclip.training.stopping import StopRequest
from tests.training import toy


@pytest.fixture(scope="module")
def whole(results, tmp_path_factory):
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    status, printed = toy.train(toy.write_recipe(folder / "recipe.json"), results, folder / "run")
    assert status == 0, printed
    return folder / "run"


def checkpoints(output):
    """The checkpoints of a run, oldest first."""
    return sorted(output.glob("training/*/step-*.safetensors"))


def started(recipe, results, output, **options):
    command = toy.command(recipe, results, output, **options)
    return subprocess.Popen(command, env=toy.environment(), stderr=subprocess.PIPE, text=True)


def at_step(printed, wanted):
    """Read what a run prints until it has done so many steps."""
    for line in printed:
        if (found := re.match(r"step (\d+)/", line)) and int(found[1]) >= wanted:
            return
    raise AssertionError(f"the run ended before step {wanted}")


def assert_same_run(output, whole):
    """Same model byte for byte, same metrics log but for the clock, each step once."""
    assert (output / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (output / "model.json").read_bytes() == (whole / "model.json").read_bytes()
    entries = read_metrics_log(output / "log.jsonl")
    assert [entry["step"] for entry in entries if entry["kind"] == "train"] == list(range(1, 21))
    assert toy.timeless(entries) == toy.timeless(read_metrics_log(whole / "log.jsonl"))


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(results, whole, tmp_path):
    recipe, output, moment = toy.write_recipe(tmp_path / "recipe.json"), tmp_path / "run", random.Random(20)
    for first, last in ((1, 3), (5, 8), (9, 13)):
        step = moment.randint(first, last)
        process = started(recipe, results, output)
        at_step(process.stderr, step)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (output / "model.safetensors").exists()
        assert step <= 4 or checkpoints(output)
    status, printed = toy.train(recipe, results, output)
    assert status == 0, printed
    assert "going on from" in printed and "step-0000" in printed
    assert_same_run(output, whole)


@pytest.mark.slow
def test_a_run_told_to_stop_saves_and_goes_on_to_the_same_bytes(results, whole, tmp_path):
    recipe, output = toy.write_recipe(tmp_path / "recipe.json", checkpoint_every=1000), tmp_path / "run"
    process = started(recipe, results, output)
    at_step(process.stderr, 3)
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate()
    assert process.returncode == 143
    (saved,) = checkpoints(output)
    step = int(read_weights(saved, "mend it")[1]["step"])
    assert 3 <= step < 20 and saved.name == f"step-{step:09d}.safetensors"
    assert f"stopped after step {step}: run the same command to go on" in printed
    assert not (output / "model.safetensors").exists()
    status, printed = toy.train(recipe, results, output)
    assert status == 0 and f"step {step + 1}/20" in printed and f"step {step}/20" not in printed
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (output, whole))
    assert all(torch.equal(ours[name], value) for name, value in theirs.items()) and ours.keys() == theirs.keys()


@pytest.mark.slow
@pytest.mark.parametrize("signals", [[signal.SIGTERM] * 2, [signal.SIGUSR1]])
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_cancelled_job_saves_whatever_its_processes_get(results, tmp_path, signals, ranks):
    recipe = toy.write_recipe(tmp_path / "recipe.json", checkpoint_every=1000, epochs__count=40)
    output, log = tmp_path / "run", tmp_path / "logs" / "run.log" if ranks == 1 else None
    command = toy.command(recipe, results, output, "--workers", "1", log=log, ranks=ranks)
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", f"exec {shlex.join(command)}"],
        env=toy.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    at_step(process.stdout, 3)
    for number in signals:  # to all of them, as a cluster does
        os.killpg(process.pid, number)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == (143 if ranks == 1 else 1), printed
    (saved,) = checkpoints(output)
    step = int(read_weights(saved, "mend it")[1]["step"])
    assert f"stopped after step {step}: run the same command to go on" in printed
    assert log is None or log.read_text().endswith(printed), "the file has all that is on the screen"


def test_a_second_interrupt_ends_at_once_unless_a_launcher_passed_it_on(monkeypatch):
    clock = iter([0.0, 0.5, 1.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with StopRequest() as stop:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
            assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_finished_run_stays_as_it_is(results, whole, tmp_path):
    recipe = toy.write_recipe(tmp_path / "recipe.json")
    before = {path: path.read_bytes() for path in (whole / "model.safetensors", whole / "model.json")}
    entries = toy.timeless(read_metrics_log(whole / "log.jsonl"))
    status, printed = toy.train(recipe, results, whole)
    assert status == 0 and "step 1/20" not in printed
    assert before == {path: path.read_bytes() for path in before}
    assert toy.timeless(read_metrics_log(whole / "log.jsonl")) == entries
    assert len(checkpoints(whole)) == 2, "the last two are kept"


@pytest.mark.slow
def test_reading_ahead_changes_nothing_and_survives_a_signal_to_all(results, whole, tmp_path):
    recipe, output = toy.write_recipe(tmp_path / "recipe.json"), tmp_path / "run"
    command = toy.command(recipe, results, output, "--workers", "2")
    process = subprocess.Popen(
        command, env=toy.environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    at_step(process.stderr, 2)
    subprocess.run(["kill", "-TERM", "--", f"-{process.pid}"], check=True)  # as a cluster does
    _, printed = process.communicate()
    assert process.returncode == 143, printed
    status, printed = toy.train(recipe, results, output, "--workers", "2")
    assert status == 0, printed
    assert_same_run(output, whole)


@pytest.mark.slow
@pytest.mark.parametrize("drop_path", [0.0, 0.2])
def test_two_processes_train_as_one(results, tmp_path, drop_path):
    recipe = toy.write_recipe(tmp_path / "recipe.json", encoder__drop_path=drop_path)
    for name, ranks in (("one", 1), ("two", 2)):
        status, printed = toy.train(recipe, results, tmp_path / name, ranks=ranks)
        assert status == 0, printed
    one, two = (read_metrics_log(tmp_path / name / "log.jsonl") for name in ("one", "two"))
    assert [(entry["step"], entry["kind"]) for entry in one] == [(entry["step"], entry["kind"]) for entry in two]
    losses = [[entry["loss"] for entry in entries if "loss" in entry] for entries in (one, two)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4) and len(losses[0]) == 20
    assert len(list((tmp_path / "two").rglob("log.jsonl"))) == 2, "one while it trains, one for good"
    assert len(list((tmp_path / "two").rglob("events.out*"))) == 1
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    # Whatever is added before a batch norm is taken off again: those biases have no gradient but rounding.
    idle = re.compile(r"patch_encoder\.(local\.out\.bias|\w+\.(linear\.bias|norm\.running_mean))")
    for name, value in weights[0].items():
        if idle.fullmatch(name):
            continue
        torch.testing.assert_close(
            weights[1][name], value, atol=2e-4, rtol=1e-3, msg=lambda m, name=name: f"{name}: {m}"
        )


@pytest.mark.slow
def test_several_processes_told_to_stop_go_on_as_one(results, whole, tmp_path):
    recipe, output = toy.write_recipe(tmp_path / "recipe.json"), tmp_path / "run"
    process = started(recipe, results, output, ranks=2)
    at_step(process.stderr, 6)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode != 0
    assert checkpoints(output) and not (output / "model.safetensors").exists()
    status, printed = toy.train(recipe, results, output)
    assert status == 0 and "going on from" in printed
    entries = [read_metrics_log(folder / "log.jsonl") for folder in (output, whole)]
    losses = [[entry["loss"] for entry in read if entry["kind"] == "train"] for read in entries]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


@pytest.mark.slow
def test_it_learns_to_recognise_what_it_never_saw(results, tmp_path):
    changes = {"epochs__count": 40, "log_every": 50, "checkpoint_every": 1000, "optimization__learning_rate": 2e-3}
    recipe = toy.write_recipe(
        tmp_path / "recipe.json", batch_size=16, **{"epochs": {"coverage": 1.0, "rule": "distinct"}} | changes
    )
    status, printed = toy.train(recipe, results, tmp_path / "run")
    assert status == 0, printed
    last = read_metrics_log(tmp_path / "run" / "log.jsonl")[-1]
    assert last["kind"] == "validation" and last["road/val/most_frequent"] == 0.25
    assert last["road/val/top1"] > 0.6 and last["road/val/mean_class"] > 0.6 and last["road/val/top5"] == 1
    about = json.loads((tmp_path / "run" / "model.json").read_text())
    assert about["encoder"]["out_dim"] == toy.WIDTH and about["recipe"]["epochs"]["count"] == 40
