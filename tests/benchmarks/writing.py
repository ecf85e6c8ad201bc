"""Benchmarks written to a temporary folder, for tests."""

from pathlib import Path

import pyarrow.parquet as pq

from blendclip import schemas, storage
from blendclip.benchmarks.writing import write_benchmark
from blendclip.datasets.formats import format_named
from blendclip.evaluation.prompts import read_classes
from blendclip.options import parse

CLASSES = Path(__file__).parents[2] / "prompts" / "classes"


def classes_of(name):
    return list(read_classes(CLASSES / f"{name}.yaml"))


def options_of(format, given):
    """Options of a format, as its class reads them."""
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    return parse(format_named(format, "benchmark").options_class(), plain, derived=True)


def write(output, format, classes, **given):
    """Rows and options of a benchmark."""
    options = options_of(format, given)
    rows = write_benchmark("made", format, options, classes, output)
    table = pq.read_table(output)
    assert table.num_rows == rows and table.schema.equals(schemas.BENCHMARKS)
    assert not list(output.parent.glob(".*")), "nothing is left beside it"
    return table.to_pylist(), storage.options_of(output)
