"""The report on models that were not trained here: beside the runs, marked, and nothing said that nobody knows."""

import pytest

from blendclip.reporting.report import tables
from blendclip.reporting.report.evaluations import read_evaluations
from blendclip.reporting.report.origins import Origins
from blendclip.reporting.report.write_report import write_report
from tests.reporting.report import toy
from tests.reporting.report.test_report import FIRST, NAMES, SECOND


@pytest.fixture
def results(tmp_path):
    """A run on a benchmark of three classes, in a results folder."""
    toy.write_metrics(tmp_path, toy.metrics_of("first", "street", FIRST, NAMES, drives=True))
    toy.write_run(tmp_path, "first")
    return tmp_path


def measured_as_it_is(results, name, confusion, **keys):
    """Metrics of a model of others, which has no run."""
    about = {"origin": "ULIP-2", "up": "y", "clip": "ViT-bigG-14_laion2b_s39b_b160k"}
    metrics = toy.metrics_of(name, "street", confusion, NAMES, drives=True)
    toy.write_metrics(results, metrics | {"model": about | keys})


def test_models_that_were_not_trained_here_stand_beside_the_runs_and_say_whose_they_are(results):
    measured_as_it_is(results, "ulip2", [[10, 0, 0], [0, 4, 0], [2, 0, 4]])
    toy.write_run(results, "as_given", epochs={"count": 0}, initial_weights="w.pt")
    (results / "runs" / "as_given" / "log.jsonl").write_text("")
    toy.write_metrics(results, toy.metrics_of("as_given", "street", FIRST, NAMES, drives=True))
    names = ["first", "ulip2", "as_given"]
    found = read_evaluations(results, names, ["street"])
    table = tables.headline(found, Origins(), found.benchmarks)
    titles = [row.values[0] for row in table.rows]
    assert titles[:-1] == ["first", "ulip2 (of ULIP-2, not trained here)", "as_given (not trained)"]
    assert table.rows[1].values[2].value == 18 / 20 and (1, 2) in table.marked
    assert "ulip2: y up, aligned to ViT-bigG-14_laion2b_s39b_b160k" in table.note
    page = write_report(results, names, ["street"], results / "report", results / "tables").read_text()
    assert "Here 1 trained run and 2 models not trained here name the clouds" in page
    assert "ulip2 (of ULIP-2, not trained here)" in (results / "tables" / "per_class_street.csv").read_text()
    (training,) = [line for line in page.splitlines() if "Four panels" in line][:1]
    assert "first" in training and "ulip2" not in training


def test_nobody_knows_what_a_model_of_others_learned_of_held_out_classes(results):
    measured_as_it_is(results, "ulip2", FIRST)
    toy.write_run(results, "second")
    toy.write_metrics(results, toy.metrics_of("second", "street", SECOND, NAMES, held_out=["bus", "cone"]))
    table = tables.held_out(read_evaluations(results, ["first", "second", "ulip2"], ["street"]))
    assert [row.values[2:4] for row in table.rows] == [
        ("second", "no"),
        ("first", "yes"),
        ("ulip2 (of ULIP-2, not trained here)", "not known"),
    ]
    assert table.rows[2].values[4:6] == (10, (1 + 3) / 10)


def test_a_report_of_models_alone_has_no_training(results):
    measured_as_it_is(results, "ulip2", FIRST)
    page = write_report(results, ["ulip2"], ["street"], results / "report", results / "tables").read_text()
    assert "Here 1 model not trained here names the clouds" in page and 'id="training"' not in page
    assert not (results / "report" / "figures" / "training.svg").exists()
