"""The first tables of the report: what runs reach on benchmarks, real, generated, frequent and rare."""

import csv
import json

import pytest

from blendclip.reporting.report import tables
from blendclip.reporting.report.evaluations import read_evaluations
from blendclip.reporting.report.origins import Origins
from blendclip.reporting.report.table import as_markdown
from blendclip.reporting.report.write_report import headline_text, write_report
from blendclip.results import Results
from tests.reporting.report import toy
from tests.reporting.report.toy import FIRST, NAMES, SECOND


def headline(found):
    """The first table, with nothing known of where the data comes from."""
    return tables.headline(found, Origins(), found.benchmarks)


def test_numbers_are_those_of_the_metrics(results):
    table = headline(read_evaluations(results, ["first", "second"], ["street"]))
    (line,) = [line for line in as_markdown(table).splitlines() if line.startswith("| first")]
    half = 1.96 * (0.6 * 0.4 / 20) ** 0.5
    mean = (8 / 10 + 1 / 4 + 3 / 6) / 3
    assert line == (
        f"| first | {100 * mean:.1f} ({ends(mean)}) "
        f"| 60.0 ({100 * (0.6 - half):.1f} to {100 * (0.6 + half):.1f}) "
        f"| {100 * (12 + 40) / 60:.1f} ({ends((12 + 40) / 60)}) |"
    )
    assert "20 clouds of 5 objects in 3 classes" in table.note
    assert table.rows[2].values == ("always the most frequent class", pytest.approx(1 / 3), 10 / 20, None)


def ends(share):
    """The made-up interval of 20 clouds."""
    half = 1.96 * (share * (1 - share) / 20) ** 0.5
    return f"{100 * max(share - half, 0):.1f} to {100 * min(share + half, 1):.1f}"


def test_frequent_and_rare_classes_are_told_apart(results):
    for run, confusion in (("first", FIRST), ("second", SECOND)):
        toy.write_metrics(results, toy.metrics_of(run, "fine", confusion, NAMES, rare=["bus", "cone"]))
    table = tables.frequent_and_rare(read_evaluations(results, ["first", "second"], ["street", "fine"]))
    assert [column.full_title for column in table.columns[1:]] == [
        "fine, mean class frequent (1 classes, 10 clouds)",
        "fine, mean class rare (2 classes, 10 clouds)",
    ]
    first, second, always = (row.values for row in table.rows)
    assert [cell.value for cell in first[1:]] == [pytest.approx(8 / 10), pytest.approx((1 / 4 + 3 / 6) / 2)]
    assert [cell.value for cell in second[1:]] == [pytest.approx(1), pytest.approx((2 / 4 + 0) / 2)]
    assert always[1:] == (1.0, 0.0), "it names all of the commonest class, which is the only frequent one"
    assert not tables.frequent_and_rare(read_evaluations(results, ["first"], ["street"])).rows


def test_classes_are_called_by_their_words(results):
    toy.write_metrics(results, toy.metrics_of("first", "things", FIRST, ["car", "city.bus", "traffic_cone"]))
    path = Results(results).metrics("first", "things")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"titles": ["car", "bus", "traffic cone"]}))
    table = tables.per_class(read_evaluations(results, ["first"], ["things"]), "things")
    assert [row.values[0] for row in table.rows] == ["car", "bus", "traffic cone"]


def test_runs_below_the_most_frequent_class_are_marked(results):
    toy.write_metrics(results, toy.metrics_of("third", "street", [[4, 6, 0], [3, 1, 0], [3, 0, 3]], NAMES))
    toy.write_run(results, "third")
    table = headline(read_evaluations(results, ["first", "third"], ["street"]))
    assert table.below == {(1, 2)}, "8 of 20 are less than 10 of 20; 0.38 in the mean over classes is more than a third"
    assert "| 40.0 ↓ (" in as_markdown(table) and "always naming the most frequent class" in table.note
    assert "60.0 ↓" not in as_markdown(table)


def test_a_mean_over_classes_below_that_of_one_class_always_is_marked(results):
    toy.write_metrics(results, toy.metrics_of("third", "street", [[10, 0, 0], [4, 0, 0], [6, 0, 0]], NAMES))
    toy.write_metrics(results, toy.metrics_of("fourth", "street", [[9, 1, 0], [4, 0, 0], [6, 0, 0]], NAMES))
    for run in ("third", "fourth"):
        toy.write_run(results, run)
    table = headline(read_evaluations(results, ["third", "fourth"], ["street"]))
    assert table.below == {(1, 1), (1, 2)}, "the third names all of them car, and is as good as that"


def test_real_benchmarks_come_first_and_in_a_table_of_their_own(results):
    for run, confusion in (("first", FIRST), ("second", SECOND)):
        for benchmark in ("town", "toys"):
            toy.write_metrics(results, toy.metrics_of(run, benchmark, confusion, NAMES, drives=True))
    origins = Origins(generated=("town", "city"), real=("street",))
    given = (["first", "second"], ["town", "toys", "street"])
    page = write_report(results, *given, results / "report", results / "tables", origins).read_text()
    titles = ("Zero-shot accuracy of each run on real recordings", "on other benchmarks", "on generated data")
    places = [page.index(title) for title in titles]
    places += [page.index(f'<h2 id="benchmark-{name}">') for name in ("street", "toys", "town")]
    assert places == sorted(places)
    chip = '<span class="label real">real recordings</span>'
    assert page.count(chip) == 3 and f"Benchmark street {chip}</h2>" in page, "at the top, in the table, at its section"
    best = "On street, first names 51.7% right in the mean over classes and 60.0% of all 20 clouds"
    assert f"{best}; always the most frequent class: 33.3% and 50.0%." in page
    for name, benchmark in (("headline", "street"), ("headline_others", "toys"), ("headline_generated", "town")):
        rows = list(csv.DictReader((results / "tables" / f"{name}.csv").read_text().splitlines()))
        assert {key.split()[0] for key in rows[0]} - {"run"} == {benchmark}
    text = headline_text(results, *given, origins)
    assert text.index("street (20 clouds)") < text.index("toys (20 clouds)") < text.index("town (20 clouds)")
    (command,) = [line for line in page.splitlines() if "blendclip report" in line]
    assert "--generated town city --real street" in command
