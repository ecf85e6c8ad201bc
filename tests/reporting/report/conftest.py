"""Results that several test modules report on."""

import pytest

from tests.reporting.report import toy
from tests.reporting.report.toy import FIRST, NAMES, SECOND


@pytest.fixture
def results(tmp_path):
    """Two runs on a benchmark of three classes."""
    folder = tmp_path / "results"
    for run, confusion in (("first", FIRST), ("second", SECOND)):
        toy.write_metrics(folder, toy.metrics_of(run, "street", confusion, NAMES, drives=True))
        toy.write_run(folder, run)
    return folder
