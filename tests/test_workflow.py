"""The workflow as a user runs it."""

import hashlib
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
SUMMARIES = [f"results/summaries/triplets/small/{split}.json" for split in ("mini_train", "mini_val")]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "workflow" / "Snakefile")]


def command(folder, *arguments, cores=2):
    return [*SNAKEMAKE, "--directory", str(folder), "--cores", str(cores), *arguments, "--configfile", "config.yaml"]


def environment():
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(folder, *arguments, cores=2):
    """Run the workflow in a folder with its config.yaml, its jobs and commands printed; return exit status and text."""
    return as_a_user(folder, "--printshellcmds", *arguments, cores=cores)


def as_a_user(folder, *arguments, cores=2):
    """Run the workflow in a folder with its config.yaml; return exit status and what the screen shows."""
    done = subprocess.run(
        command(folder, *arguments, cores=cores),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def configure(folder, root, **changes):
    """Mine the small test city, which has small images, in three parts."""
    dataset = {"format": "nuscenes", "root": str(root), "version": "v1.0-mini", "splits": ["mini_train", "mini_val"]}
    config = {
        "mine": ["small"],
        "datasets": {"small": dataset | {"parts": 3}},
        "clouds": {"colors": True},
        "views": {"min_visibility": 2, "min_side_px": 12},
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config | changes))
    return folder


def digests(folder):
    """The hash of every file that the workflow declares."""
    stages = ("index", "clouds", "views", "captions", "triplets", "rejects", "summaries")
    paths = [path for stage in stages for path in (folder / "results" / stage).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def mined(city_root, tmp_path_factory):
    folder = configure(tmp_path_factory.mktemp("one"), city_root)
    status, printed = as_a_user(folder, "mine_triplets", cores=1)
    assert status == 0, printed
    return folder, printed


@pytest.mark.slow
def test_prints_the_summary_and_leaves_logs_and_timings(mined):
    folder, printed = mined
    assert "small/mini_train: 1 scenes" in printed and "small/mini_val: 1 scenes" in printed
    for stage in ("clouds", "views", "captions", "triplets"):
        for kind, suffix in (("logs", "log"), ("timings", "tsv")):
            assert len(list((folder / "results" / kind / stage).rglob(f"part-*.{suffix}"))) == 6
    status, printed = run(folder, "mine_triplets", "--dry-run")
    assert status == 0
    assert "gather_clouds" not in printed, "a finished run has nothing left to mine"


@pytest.mark.slow
def test_the_summary_stands_last_and_little_above_it(mined):
    folder, printed = mined
    above, first, summary = printed.partition("small/mini_train: 1 scenes\n")
    shown = subprocess.run(
        [sys.executable, "-m", "blendclip", "show", "small/mini_train", "small/mini_val"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert first + summary == shown.stdout
    others = ("index small/", "Using workflow specific profile")  # a bar while the index is written; Snakemake's first
    lines = [line for line in above.splitlines() if line and not line.startswith(others)]
    jobs = 29  # index; clouds, views, captions, triplets of 6 parts; a scene to inspect; 2 summaries; the target
    said = [re.fullmatch(rf"(\d+) of {jobs} steps \(\d+%\) done", line) for line in lines]
    assert all(said), lines
    tenths = [int(line[1]) * 10 // jobs for line in said]
    assert tenths == list(range(10)), "a line for each"
    (kept,) = (folder / ".snakemake" / "log").glob("*.snakemake.log")
    assert len(re.findall(r"^(?:local)?rule gather_clouds:$", kept.read_text(), re.M)) == 6, "the rest is in a file"


@pytest.mark.slow
def test_a_finished_folder_is_shown_where_nothing_can_be_written(mined):
    folder, printed = mined
    of_its_own = ["unshare", "--mount", "sh", "-e", "-c"]  # a mount that nobody else sees
    if subprocess.run([*of_its_own, "true"], capture_output=True).returncode:
        pytest.skip("mounting needs rights that are not given here")
    script = (
        "mount --bind results results; mount -o remount,bind,ro results; ! touch results/x 2>/dev/null; "
        + shlex.join(command(folder, "mine_triplets", cores=1))
    )
    before = sorted((folder / "results").rglob("*"))
    done = subprocess.run([*of_its_own, script], cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert printed.endswith(done.stdout[done.stdout.index("small/mini_train: 1 scenes\n") :])
    assert sorted((folder / "results").rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["clouds", "views", "captions", "triplets"])
def test_a_lost_part_of_a_finished_run_is_made_again(mined, stage):
    path = mined[0] / "results" / stage / "small" / "mini_val" / "part-00001.parquet"
    before = path.read_bytes()
    path.unlink()
    status, printed = run(mined[0], "mine_triplets")
    assert status == 0, printed
    assert path.read_bytes() == before


@pytest.mark.slow
def test_the_number_of_cores_does_not_change_a_byte(mined, city_root, tmp_path):
    folder = configure(tmp_path / "two", city_root)
    status, printed = run(folder, *SUMMARIES, cores=4)
    assert status == 0, printed
    assert digests(folder) == digests(mined[0])
    assert len(digests(folder)) == 2 + 6 * (4 + 1 + 4) + 2, "index, parts of tables, statistics and rejects, summaries"


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(mined, city_root, tmp_path):
    folder = configure(tmp_path / "killed", city_root)
    moment = random.Random(20)
    for files in (1, moment.randint(2, 20), moment.randint(21, 45)):
        process = subprocess.Popen(
            command(folder, *SUMMARIES),
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while len(list(folder.glob("results/*/small/*/part-*"))) < files:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.02)
        time.sleep(moment.uniform(0, 0.5))  # within whatever job is under way
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    status, printed = run(folder, *SUMMARIES)
    assert status == 0, printed
    assert digests(folder) == digests(mined[0])


@pytest.fixture
def generated(tmp_path):
    """A folder whose config generates a city of one scene."""
    city = {"format": "city", "splits": ["mini_val"], "parts": 1, "scenes": {"mini_train": 0, "mini_val": 1}}

    def write(**changes):
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({"mine": ["town"], "datasets": {"town": city | changes}}))
        return tmp_path

    return write


@pytest.mark.slow
def test_a_city_is_generated_again_after_a_kill_and_when_its_recipe_changes(generated):
    folder, recipe = generated(), "results/datasets/town/city.json"
    process = subprocess.Popen(
        command(folder, recipe), cwd=folder, env=environment(), start_new_session=True, stderr=subprocess.DEVNULL
    )
    while not list(folder.glob("results/datasets/.town.unfinished/samples/*/*")):
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    status, printed = run(folder, recipe)
    assert status == 0, printed
    first = (folder / "results/datasets/town/v1.0-mini/sample_annotation.json").read_bytes()
    status, printed = run(generated(seed=1), recipe)
    assert status == 0, printed
    assert (folder / "results/datasets/town/v1.0-mini/sample_annotation.json").read_bytes() != first
    assert sorted(path.name for path in (folder / "results/datasets").iterdir()) == ["town"]


@pytest.mark.slow
@pytest.mark.parametrize("key", ["max_fault_fraction", "max_disagree_fraction"])
def test_allowing_more_faults_mines_nothing_again(mined, key):
    status, printed = run(mined[0], "mine_triplets", "--dry-run", "--config", f"{key}=0.5")
    assert status == 0
    assert "gather_clouds" not in printed and "cut_views" not in printed and "caption_views" not in printed


@pytest.mark.slow
def test_places_may_have_spaces_in_their_names(city_root, tmp_path):
    (tmp_path / "my data").symlink_to(city_root)
    folder = configure(tmp_path / "my runs", tmp_path / "my data", results="my results")
    status, printed = run(folder, "mine_triplets")
    assert status == 0, printed
    assert (folder / "my results" / "summaries" / "triplets" / "small" / "mini_val.json").exists()


@pytest.mark.slow
def test_a_changed_rule_reruns_what_depends_on_it_and_no_more(mined):
    folder, _ = mined
    status, printed = run(folder, "mine_triplets", "--dry-run", "--config", "views={min_side_px: 20}")
    assert status == 0
    assert "cut_views" in printed and "join_triplets" in printed
    assert "gather_clouds" not in printed and "index_small" not in printed


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"clouds": {"sweps": 3}}, "`clouds.sweps` is no option: did you mean `sweeps`?"),
        ({"clouds": {"sweeps": 0}}, "`clouds.sweeps` is 0: it must be at least 1"),
        ({"mine": ["large"]}, "`mine` names large, which `datasets` does not describe"),
        (
            {"datasets": {"small": {"format": "nuscenes", "splits": ["val"], "parts": 1}}},
            "`datasets.small.version` is missing",
        ),
        ({"caption": {"backend": "oracle"}}, '`caption.backend` is "oracle": take one of'),
    ],
    ids=["unknown key", "out of range", "unknown dataset", "no root", "unknown backend"],
)
def test_a_wrong_config_stops_the_run_and_names_itself(tmp_path, city_root, changes, sentence):
    status, printed = run(configure(tmp_path, city_root, **changes), "mine_triplets", "--dry-run")
    assert status != 0
    assert sentence in printed


@pytest.mark.slow
def test_a_wrong_root_is_one_clear_sentence_on_the_terminal(tmp_path):
    status, printed = as_a_user(configure(tmp_path, tmp_path / "nowhere"), "mine_triplets")
    assert status != 0
    assert "Error in rule index_small:" in printed and "Logfile results/logs/index/small.log:" in printed
    assert "Complete log(s): " in printed
    assert f"blendclip index: there is no folder {tmp_path / 'nowhere'}: set `root`" in printed
    assert "Traceback" not in printed


def test_every_rule_that_writes_something_has_a_log():
    rules = [path.read_text() for path in (REPOSITORY / "workflow").rglob("*") if path.suffix == ".smk"]
    bodies = [body for text in rules for body in re.split(r"^ *rule\b", text, flags=re.M)[1:]]
    assert len(bodies) > 20
    for body in bodies:
        assert re.search(r"^ *output:", body, re.M) and re.search(r"^ *log:\n", body, re.M), body


def test_the_plan_of_a_big_dataset_is_known_before_its_data_is_read(tmp_path):
    dataset = {"format": "nuscenes", "root": "/data/nuscenes", "version": "v1.0-trainval", "splits": ["train", "val"]}
    folder = configure(tmp_path, ".", mine=["nuscenes"], datasets={"nuscenes": dataset | {"parts": 64}})
    status, printed = run(folder, "mine_triplets", "--dry-run", "--quiet", "rules")
    assert status == 0
    assert re.search(r"gather_clouds +128\b", printed)


def test_datasets_and_places_can_be_given_on_the_command_line(tmp_path):
    dataset = "datasets={mine: {format: nuscenes, root: /data/x, version: v1.0-mini, splits: [mini_val], parts: 5}}"
    folder = configure(tmp_path, ".")
    status, printed = run(folder, "mine_triplets", "--dry-run", "--config", "mine=[mine]", "results=there", dataset)
    assert status == 0
    assert re.search(r"gather_clouds +5\b", printed)
    assert "there/summaries/triplets/mine/mini_val.json" in printed
