"""Trackers, without a network: what their packages wrote is read without our code."""

import json
import sqlite3
import struct
import sys
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from blendclip.errors import UserError
from blendclip.training.metrics_log import MetricsLog, read_metrics_log
from blendclip.training.run import train
from blendclip.training.trackers import TrackedRun
from tests.training import toy

pytestmark = pytest.mark.usefixtures("one_thread")
RECIPE = {"clip": "tiny", "encoder": {"width": 32}}


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Both services without a network; the database of MLflow."""
    for name in ("WANDB_PROJECT", "WANDB_API_KEY", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    database = tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    yield database
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # it reads the environment once


def interrupted_and_resumed(folder, *names):
    """A run of 6 steps: killed after 4, taken up from 2, each step's loss ten times its number."""
    folder.mkdir()
    for first, last in ((1, 4), (3, 6)):
        with MetricsLog(TrackedRun("curriculum", folder, RECIPE, first - 1, 6), names) as metrics_log:
            for step in range(first, last + 1):
                metrics_log.add(step, "train", {"loss": 10.0 * step})
            metrics_log.add(last, "validation", {"road/val/top1": 0.25})
    return folder


def wandb_records(path):
    """The records of a file that Weights & Biases wrote offline: a log in the format of LevelDB, behind 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content = path.read_bytes()
    at, data, records = 7, b"", []
    while at < len(content):
        if (left := 2**15 - at % 2**15) < 7:
            at += left  # no header fits into the rest of a block
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        data += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the end of one
            records.append(Record.FromString(data))
            data = b""
    return records


def wandb_history(records):
    """The rows of numbers among records, without what the package adds."""
    rows = []
    for record in records:
        if record.WhichOneof("record_type") == "history":
            row = {(one.key or "/".join(one.nested_key)): json.loads(one.value_json) for one in record.history.item}
            rows.append({key: value for key, value in row.items() if not key.startswith("_")})
    return rows


def finished_records(path):
    """The records of a run that was ended; the process that writes them may be a little behind."""
    for _ in range(100):
        records = wandb_records(path)
        if any(record.WhichOneof("record_type") == "exit" for record in records):
            return records
        time.sleep(0.1)
    raise AssertionError(f"{path} has no end: {[record.WhichOneof('record_type') for record in records]}")


def test_weights_and_biases_goes_on_with_the_same_run(offline, tmp_path):
    pytest.importorskip("wandb")
    folder = interrupted_and_resumed(tmp_path / "run", "wandb")
    first, second = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))
    known = json.loads((folder / "trackers.json").read_text())["wandb"]
    assert first.name == second.name == f"run-{known}.wandb"
    validation = {"validation/road/val/top1": 0.25}
    for path, steps in ((first, (1, 2, 3, 4)), (second, (3, 4, 5, 6))):
        records = finished_records(path)
        losses = [{"step": step, "train/loss": 10.0 * step} for step in steps]
        assert wandb_history(records) == [*losses, {"step": steps[-1]} | validation]
        (run,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
        assert (run.run_id, run.project, run.display_name) == (known, "blendclip", "curriculum")
        assert {one.key: json.loads(one.value_json) for one in run.config.update}.items() >= RECIPE.items()
        (code,) = [record.exit.exit_code for record in records if record.WhichOneof("record_type") == "exit"]
        assert code == (path == first), "a run that was stopped is not a finished one"


def test_mlflow_goes_on_with_the_same_run(offline, tmp_path):
    pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    interrupted_and_resumed(tmp_path / "run", "mlflow")
    with sqlite3.connect(offline) as database:
        metrics = set(database.execute("select key, step, value from metrics"))
        ((run, name, status),) = database.execute("select run_uuid, name, status from runs").fetchall()
        params = set(database.execute("select key, value from params"))
        experiments = {name for (name,) in database.execute("select name from experiments")}
    losses = {("train/loss", step, 10.0 * step) for step in range(1, 7)}
    assert metrics == losses | {("validation/road/val/top1", step, 0.25) for step in (4, 6)}
    assert (name, status) == ("curriculum", "FINISHED") and "blendclip" in experiments
    assert params == {("clip", "tiny"), ("encoder.width", "32")}
    assert json.loads((tmp_path / "run" / "trackers.json").read_text()) == {"mlflow": run}


def test_tensorboard_takes_back_what_came_after_the_step_of_the_checkpoint(tmp_path):
    folder = interrupted_and_resumed(tmp_path / "run", "tensorboard")
    board = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [(one.step, one.value) for one in board.Scalars("train/loss")] == [(n, 10.0 * n) for n in range(1, 7)]
    assert not (folder / "trackers.json").exists()


def test_a_recipe_names_its_trackers_and_changing_them_trains_nothing_again(offline, results, tmp_path, capsys):
    pytest.importorskip("wandb")
    quick = {"epochs__count": 1, "epochs__warmup": 0.0}
    assert train(toy.toy_recipe(**quick, trackers=["wandb"]), results, tmp_path / "run")
    (folder,) = (tmp_path / "run" / "training").iterdir()
    (written,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    entries = read_metrics_log(folder / "log.jsonl")
    rows = wandb_history(wandb_records(written))
    assert rows == [
        {"step": one["step"]} | {f"{one['kind']}/{k}": v for k, v in one.items() if k not in ("step", "kind")}
        for one in entries
    ]
    assert not (folder / "tensorboard").exists()
    capsys.readouterr()
    assert train(toy.toy_recipe(**quick, trackers=[]), results, tmp_path / "run")
    assert "  train  " not in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run" / "training").iterdir()] == [folder.name]
    assert len(list((folder / "wandb").glob("offline-run-*"))) == 1


@pytest.mark.parametrize(
    ("tracker", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb"), ("mlflow", "mlflow")]
)
def test_a_package_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, tracker, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError) as told:
        MetricsLog(TrackedRun("run", tmp_path, RECIPE, 0, 6), [tracker])
    assert str(told.value) == (
        f"`trackers` of the recipe names {tracker}, which is not installed: `pip install {tracker}`, or take it out"
    )


def test_without_an_account_weights_and_biases_says_what_to_do(offline, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("HOME", str(tmp_path))  # no login is kept there
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(UserError, match="run `wandb login`, or set WANDB_MODE=offline"):
        MetricsLog(TrackedRun("run", tmp_path, RECIPE, 0, 6), ["wandb"])


def test_a_store_that_mlflow_cannot_open_is_one_sentence(offline, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nosuch://me:secret@store")
    with pytest.raises(UserError, match="MLflow does not start at nosuch://store .* set MLFLOW_TRACKING_URI") as told:
        MetricsLog(TrackedRun("run", tmp_path, RECIPE, 0, 6), ["mlflow"])
    assert "\n" not in str(told.value) and "secret" not in str(told.value)
