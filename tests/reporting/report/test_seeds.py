"""Runs that differ in their seed alone are one row, with the spread of its seeds."""

import csv

import pytest

from blendclip.evaluation.bootstrap import Estimate
from blendclip.reporting.report import tables
from blendclip.reporting.report.evaluations import read_evaluations
from blendclip.reporting.report.origins import Origins
from blendclip.reporting.report.seeds import over_seeds, seed_groups
from blendclip.reporting.report.table import as_csv, as_markdown, as_plain_text
from blendclip.reporting.report.write_report import write_report
from tests.reporting.report import toy

NAMES = ["car", "bus", "cone"]
#          car  bus  cone            of 10, 4, 6 clouds: 12, 16 and 8 of 20
FIRST = [[8, 2, 0], [3, 1, 0], [1, 2, 3]]
SECOND = [[10, 0, 0], [2, 2, 0], [1, 1, 4]]
ALONE = [[8, 2, 0], [4, 0, 0], [3, 3, 0]]
RUNS = ["synthetic_only", "curriculum-0", "curriculum-3"]


@pytest.fixture
def results(tmp_path):
    """A run of two seeds and one of a single seed, on a benchmark of three classes."""
    folder = tmp_path / "results"
    for run, confusion in zip(RUNS, (ALONE, FIRST, SECOND), strict=True):
        toy.write_metrics(folder, toy.metrics_of(run, "street", confusion, NAMES, drives=True, rare=["cone"]))
        toy.write_run(folder, run, seed=int(run.partition("-")[2] or 0), schedule="linear" if "-" in run else "none")
    return folder


def test_a_run_of_two_seeds_is_one_row_with_mean_and_spread(results):
    found = read_evaluations(results, RUNS, ["street"])
    table = tables.headline(found, Origins(), ["street"])
    assert [row.values[0] for row in table.rows] == [
        "synthetic_only",
        "curriculum (2 seeds)",
        "always the most frequent class",
    ]
    top1 = table.rows[1].values[2]
    assert top1.value == pytest.approx((12 + 16) / 2 / 20) and top1.of_seeds == (12 / 20, 16 / 20)
    ends = [toy.interval(right, 20) for right in (12, 16)]
    assert top1.low == pytest.approx((ends[0]["low"] + ends[1]["low"]) / 2)
    assert table.rows[0].values[2].value == 8 / 20 and (0, 2) in table.below, "8 of 20 are less than 10 of 20"
    (line,) = [line for line in as_markdown(table).splitlines() if line.startswith("| curriculum (2 seeds)")]
    assert "; seeds 60.0 to 80.0)" in line
    assert "of several seeds the mean" in as_plain_text(table).replace("\n", " ")
    rows = {row["run"]: row for row in csv.DictReader(as_csv(table).splitlines())}
    group = "street (20 clouds) top-1"
    ends = [float(rows["curriculum (2 seeds)"][f"{group} {end} seed"]) for end in ("lowest", "highest")]
    assert ends == [12 / 20, 16 / 20] and rows["synthetic_only"][f"{group} lowest seed"] == ""


def test_each_seed_is_told_and_pairs_are_compared_by_their_means(results):
    found = read_evaluations(results, RUNS, ["street"])
    rows = [row.values for row in tables.each_seed(found).rows]
    assert [(row[0], row[1], row[3].value) for row in rows] == [
        ("curriculum-0", "0", 12 / 20),
        ("curriculum-3", "3", 16 / 20),
    ]
    top1, mean_class = (row.values for row in tables.differences(found, "street").rows)
    assert top1[:3] == ("synthetic_only", "curriculum (2 seeds)", "top-1")
    assert top1[3:5] == (8 / 20, pytest.approx(14 / 20)) and top1[5].value == pytest.approx(6 / 20)
    means = [(8 / 10 + 1 / 4 + 3 / 6) / 3, (1 + 2 / 4 + 4 / 6) / 3, (8 / 10 + 0 + 0) / 3]
    assert mean_class[5].value == pytest.approx((means[0] + means[1]) / 2 - means[2])
    rare = tables.frequent_and_rare(found).rows[1].values[2]
    assert rare.of_seeds == (3 / 6, 4 / 6)
    assert not tables.each_seed(read_evaluations(results, RUNS[:2], ["street"])).rows


def test_other_recipes_the_same_seed_and_other_names_make_no_group_of_their_own(results):
    toy.write_metrics(results, toy.metrics_of("again", "street", FIRST, NAMES))
    toy.write_run(results, "again", seed=0)
    toy.write_metrics(results, toy.metrics_of("other", "street", FIRST, NAMES))
    toy.write_run(results, "other", seed=4)
    found = read_evaluations(results, [*RUNS, "again", "other"], ["street"])
    assert seed_groups(found) == {
        "synthetic_only": ["synthetic_only"],
        "curriculum-0 (3 seeds)": ["curriculum-0", "curriculum-3", "other"],
        "again": ["again"],
    }


def test_one_accuracy_is_its_own_mean():
    one = Estimate(0.5, 0.4, 0.6)
    assert over_seeds([one]) is one


def test_the_page_shows_the_spread_and_the_gallery_opens_on_the_best_run(results):
    asked = []
    gallery = lambda *given: asked.append(given) or "<p>gallery</p>"  # noqa: E731
    page = write_report(results, RUNS, ["street"], results / "report", results / "tables", gallery=gallery).read_text()
    assert "<small>seeds 60.0 to 80.0</small>" in page and "Accuracy with each seed, a table of 2 rows" in page
    ((_, runs, benchmarks, _),) = asked
    assert runs == ["curriculum-0", "synthetic_only"] and benchmarks == ["street"]
