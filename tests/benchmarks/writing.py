"""Benchmarks written to a temporary folder, for tests."""

from pathlib import Path

import pyarrow.parquet as pq

from blendclip import schemas, storage
from blendclip.benchmarks.writing import benchmark_options, write_benchmark
from blendclip.evaluation.prompts import read_classes

CLASSES = Path(__file__).parents[2] / "prompts" / "classes"


def classes_of(name):
    return list(read_classes(CLASSES / f"{name}.yaml"))


def write(output, format, classes, **given):
    """Rows and options of a benchmark."""
    options = benchmark_options(format, given)
    rows = write_benchmark("made", format, options, classes, output)
    table = pq.read_table(output)
    assert table.num_rows == rows and table.schema.equals(schemas.BENCHMARKS)
    assert not list(output.parent.glob(".*")), "nothing is left beside it"
    return table.to_pylist(), storage.options_of(output)
