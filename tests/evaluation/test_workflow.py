"""Evaluation and report in the workflow, on paper: what is planned, and what is told before anything runs."""

import re

import pytest
import yaml

from tests.test_workflow import run

ROAD = {"format": "nuscenes", "root": "/nowhere", "version": "v1.0-mini", "splits": ["train", "val"], "parts": 2}
CAD = {"format": "meshes", "root": "/nowhere", "splits": ["train"], "parts": 1}
MADE = {"format": "mined", "split": "road/val", "classes": "nuscenes", "templates": "point_cloud"}


def configure(folder, **changes):
    config = {
        "mine": ["road"],
        "cad": ["cad"],
        "datasets": {"road": ROAD, "cad": CAD},
        "recipe": {"data": {"synthetic": ["cad/train"], "real": ["road/train"]}, "validation": []},
        "train": ["curriculum"],
        "evaluate": ["road"],
        "benchmarks": {"road": MADE},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config | changes))
    return folder


def commands(printed, name):
    return [line for line in printed.splitlines() if re.search(rf"blendclip (--log \S+ )?{name} ", line)]


def test_each_run_meets_each_benchmark_once(tmp_path):
    benchmarks = {"road": MADE, "mine": {"format": "table", "path": "c.csv", "classes": "city", "templates": "plain"}}
    folder = configure(
        tmp_path, train=["curriculum", "synthetic_only"], evaluate=["road", "mine"], benchmarks=benchmarks
    )
    status, printed = run(folder, "report", "--dry-run")
    assert status == 0, printed
    assert len(commands(printed, "benchmark")) == 2 and len(commands(printed, "evaluate")) == 4
    (made,) = [line for line in commands(printed, "benchmark") if "--name road" in line]
    assert "--format mined" in made and '{"by": "class", "split": "road/val"}' in made
    (made,) = [line for line in commands(printed, "benchmark") if "--name mine" in line]
    assert "--format table" in made and '{"path": "c.csv", "unit_m": 1.0, "up": "z"}' in made
    (written,) = commands(printed, "report")
    assert "--runs curriculum synthetic_only --benchmarks road mine --real road --splits" in written, (
        "it is a recording"
    )
    assert "--splits road/train road/val cad/train --output" in written


def test_the_sweep_trains_and_measures_its_own_runs(tmp_path):
    status, printed = run(configure(tmp_path, sweep=["synthetic_only", "ratio_5"]), "sweep_ratios", "--dry-run")
    assert status == 0, printed
    assert [("run=ratio_5" in printed, "run=curriculum" in printed)] == [(True, False)]
    assert len(commands(printed, "train")) == 2 and len(commands(printed, "evaluate")) == 2


def test_a_run_of_two_seeds_is_trained_and_measured_with_each(tmp_path):
    benchmarks = {"road": MADE | {"by": "category", "classes": "nuscenes_categories", "real": False}}
    folder = configure(tmp_path, runs={"curriculum": {"seeds": [0, 5]}}, benchmarks=benchmarks)
    status, printed = run(folder, "report", "--dry-run")
    assert status == 0, printed
    assert len(commands(printed, "train")) == 2 == len(commands(printed, "evaluate"))
    (written,) = commands(printed, "report")
    assert "--runs curriculum-0 curriculum-5 --benchmarks road " in written and "--real" not in written
    (made,) = commands(printed, "benchmark")
    assert '"by": "category"' in made and "nuscenes_categories.yaml" in made


BIG = {"model": "ViT-bigG-14", "pretrained": "laion2b_s39b_b160k"}


def test_models_are_measured_beside_the_runs_by_the_text_weights_of_their_own_clip(tmp_path):
    (tmp_path / "ulip2.pt").touch()
    (tmp_path / "mine").mkdir()
    for name in ("model.safetensors", "model.json"):
        (tmp_path / "mine" / name).touch()
    models = {"ulip2": {"path": "ulip2.pt", "clip": BIG}, "mine": {"path": "mine", "up": "x"}}
    status, printed = run(configure(tmp_path, models=models), "report", "--dry-run")
    assert status == 0, printed
    assert len(commands(printed, "train")) == 1 and len(commands(printed, "benchmark")) == 1
    of_models = [line for line in commands(printed, "evaluate") if "--model=" in line]
    assert len(commands(printed, "evaluate")) == 3 and len(of_models) == 2
    (ulip2,) = [line for line in of_models if "--run ulip2" in line]
    assert "--model=ulip2.pt --clip=ViT-bigG-14_laion2b_s39b_b160k" in ulip2
    assert "--up" not in ulip2 and "--triplets" not in ulip2, "the packed features are of another CLIP"
    (mine,) = [line for line in of_models if "--run mine" in line]
    assert "--triplets=road/val --model=mine --clip=tiny --up=x" in mine
    embedded = commands(printed, "embed-classes")
    assert len(embedded) == 2 and sum("ViT-bigG-14" in line for line in embedded) == 1
    (written,) = commands(printed, "report")
    assert "--runs curriculum mine ulip2 --benchmarks road" in written


def test_a_report_leaves_a_folder_to_share_of_each_run_with_the_numbers_of_its_benchmarks(tmp_path):
    status, printed = run(configure(tmp_path, sweep=["static"]), "report", "--dry-run")
    assert status == 0, printed
    (shared,) = commands(printed, "model")
    assert shared.removeprefix("Shell command: ") == (
        "blendclip model results/runs/curriculum/model.safetensors --metrics "
        "results/evaluation/runs/curriculum/road/metrics.json --output results/models/curriculum "
        "> results/logs/models/curriculum.log 2>&1"
    )
    status, printed = run(tmp_path, "sweep_ratios", "--dry-run")
    assert status == 0 and not commands(printed, "model"), printed


def test_any_run_that_is_described_can_be_asked_for(tmp_path):
    folder = configure(tmp_path)
    status, printed = run(folder, "results/evaluation/runs/static/road/metrics.json", "--dry-run")
    assert status == 0 and len(commands(printed, "train")) == 1, printed
    status, printed = run(folder, "results/evaluation/runs/statik/road/metrics.json", "--dry-run")
    assert status != 0 and "statik is no run: `runs` does not describe it" in printed, printed


def test_a_sweep_of_no_runs_is_told(tmp_path):
    status, printed = run(configure(tmp_path, sweep=[]), "sweep_ratios", "--dry-run")
    assert status != 0 and "`sweep` lists no run" in printed, printed


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"evaluate": ["rood"]}, "`evaluate` names rood, which `benchmarks` does not describe"),
        ({"benchmarks": {"road": MADE | {"split": "road/test"}}}, "which is no split of a dataset under `mine`"),
        ({"benchmarks": {"road": MADE | {"format": "cad"}}}, "which is no split of a dataset under `cad`"),
        ({"benchmarks": {"road": MADE | {"path": "x"}}}, "`benchmarks.road.path` is no option"),
        (
            {"benchmarks": {"road": {"format": "table", "classes": "city", "templates": "plain"}}},
            "`benchmarks.road.path` is missing",
        ),
        ({"benchmarks": {"road": MADE | {"clases": "x"}}}, "did you mean `classes`?"),
        ({"models": {"theirs": {"path": "theirs.pt"}}}, "`models.theirs.path` names theirs.pt, which is not there"),
        ({"models": {"static": {"path": "theirs.pt"}}}, "`models` and `runs` both describe static"),
    ],
)
def test_a_wrong_benchmark_or_model_is_told_before_anything_runs(tmp_path, changes, sentence):
    status, printed = run(configure(tmp_path, **changes), "report", "--dry-run")
    assert status != 0 and sentence in printed, printed
