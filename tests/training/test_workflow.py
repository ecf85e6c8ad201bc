"""Training in the workflow, from packed files that are there."""

import os
import shutil
import signal
import subprocess

import pytest
import yaml

from blendclip.training.metrics_log import read_metrics_log
from tests.test_workflow import command, environment, run
from tests.training import toy

ROAD = {"format": "nuscenes", "root": "/nowhere", "version": "v1.0-mini", "splits": ["train", "val"], "parts": 1}
CAD = {"format": "meshes", "root": "/nowhere", "splits": ["train"], "parts": 1}
RUNS = {"synthetic_only": {"mixture": {"schedule": "none"}}, "curriculum": {}}


def configure(folder, runs=RUNS, **changes):
    recipe = toy.recipe_of(epochs__count=2, validation=[{"split": "road/val", "classes": "city", "templates": "plain"}])
    del recipe["clip"]
    config = {"mine": ["road"], "cad": ["cad"], "datasets": {"road": ROAD, "cad": CAD}, "clip": {"model": "tiny"}}
    config |= {"recipe": recipe | changes, "runs": runs, "train": list(runs)}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture
def place(results, tmp_path):
    for part in ("packed", "embeddings/tiny/classes"):
        shutil.copytree(results / part, tmp_path / "results" / part)
    classes = tmp_path / "results" / "embeddings" / "tiny" / "classes"
    (classes / "toys.plain.parquet").rename(classes / "city.plain.parquet")
    return tmp_path


@pytest.mark.slow
def test_runs_are_trained_compared_and_only_changed_ones_trained_again(place):
    status, printed = run(configure(place), "train_curriculum")
    assert status == 0, printed
    table = [line.split() for line in printed.splitlines() if line.startswith(("zero-shot", *RUNS))]
    for name in RUNS:
        folder = place / "results" / "runs" / name
        top1 = read_metrics_log(folder / "log.jsonl")[-1]["road/val/top1"]
        assert [name, f"{top1:.1%}"] in table and (folder / "model.safetensors").exists()
    assert "step 10/10" in printed, "what a run tells is on the terminal"
    shares = [
        [
            entry["real_share"]
            for entry in read_metrics_log(place / "results/runs" / name / "log.jsonl")
            if "loss" in entry
        ]
        for name in RUNS
    ]
    assert shares[0] == [0.0] * 10 and shares[1][-1] == 0.5

    status, printed = run(configure(place), "train_curriculum", "--dry-run")
    assert status == 0 and "train_run" not in printed, printed

    changed = RUNS | {"curriculum": {"seed": 1}}
    status, printed = run(configure(place, changed), "train_curriculum")
    assert status == 0, printed
    assert "run=curriculum" in printed and "run=synthetic_only" not in printed
    assert len(list((place / "results/runs/curriculum/training").iterdir())) == 2

    status, printed = run(configure(place, log_every=5), "train_curriculum")
    assert status == 0, printed
    assert "step 1/10" not in printed and "step 5/10" not in printed, "back to the run before, told otherwise"


@pytest.mark.slow
def test_a_cancelled_workflow_leaves_a_checkpoint_and_goes_on(place):
    configure(place, {"curriculum": {}}, epochs={"count": 60}, checkpoint_every=10000)
    process = subprocess.Popen(
        command(place, "train_curriculum"),
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if line.startswith("step 3/"):
            break
    for _ in range(2):  # to all processes: Snakemake, shell, training
        os.killpg(process.pid, signal.SIGTERM)
    printed, _ = process.communicate(timeout=600)
    assert process.returncode != 0 and "stopped after step" in printed, printed
    assert len(list(place.glob("results/runs/curriculum/training/*/step-*.safetensors"))) == 1
    assert "stopped after step" in (place / "results/logs/runs/curriculum.log").read_text()
    status, printed = run(place, "train_curriculum")
    assert status == 0 and "going on from" in printed, printed


@pytest.mark.parametrize(
    ("runs", "changes", "sentence"),
    [
        (RUNS | {"wrong": {"data": {"sinthetic": ["cad/train"]}}}, {}, "sinthetic"),
        (RUNS | {"wrong": {"data": {"real": ["road/test"]}}}, {}, "run wrong reads road/test, which is no split"),
        (RUNS, {"batch_size": "eight"}, "batch_size"),
    ],
)
def test_a_wrong_recipe_is_told_before_anything_runs(tmp_path, runs, changes, sentence):
    status, printed = run(configure(tmp_path, runs, **changes), "train_curriculum", "--dry-run")
    assert status != 0 and sentence in printed, printed
