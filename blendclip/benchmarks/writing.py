"""Write the labelled clouds of any source as one Parquet, with the classes to choose from."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from blendclip import schemas, storage
from blendclip.benchmarks.clouds import BenchmarkReader, LabeledCloud
from blendclip.benchmarks.names import listed, paired
from blendclip.benchmarks.rows import benchmark_rows
from blendclip.datasets.formats import format_named
from blendclip.errors import UserError
from blendclip.options import Options

log = logging.getLogger(__name__)

_POINTS_AT_ONCE = 640_000  # in a row group
_CLOUDS_AT_ONCE = 1024


def open_source(format: str, options: Options) -> BenchmarkReader:
    """The reader of a format; `options` are of the format's class.

    Raises:
        UserError: there is no such format, or options do not fit what is on the disk.
    """
    source: BenchmarkReader = format_named(format, "benchmark").open()(options)
    return source


def write_benchmark(name: str, format: str, options: Options, classes: Sequence[str], output: Path) -> int:
    """Write the clouds of a source that have one of the classes (schema `schemas.BENCHMARKS`); return their number.

    Memory holds a row group. The clouds wait beside `output` until what was left out, which the file says, is known.

    Args:
        name: the benchmark's. options: of the format's class. classes: names in the order of their labels.

    Raises:
        UserError: files are missing or broken, labels and names do not agree, an id stands twice, or no cloud is left.
    """
    source = open_source(format, options)
    left_out: Counter[str] = Counter()
    label_of: dict[str | None, int] = {one: label for label, one in enumerate(classes)}
    spool = output.with_name(f".{output.name}.spool")
    try:
        clouds = 0
        with storage.arrow_writer(spool, schemas.BENCHMARKS, {}) as write:
            for batch in _batched(_checked(source, classes, left_out)):
                write(benchmark_rows(batch, label_of))
                clouds += len(batch)
        if not clouds:
            raise UserError(_nothing(source, classes, left_out))
        about = {
            "benchmark": name,
            "format": format,
            "classes": list(classes),
            "left_out": dict(sorted(left_out.items())),
            "in_metres": getattr(source, "in_metres", False),  # a reader from outside may not say it
        }
        about["options"] = {key: value for key, value in asdict(options).items() if not isinstance(value, Path)}
        storage.write_parquet(output, schemas.BENCHMARKS, _spooled(spool), storage.metadata("benchmarks", about))
    finally:
        spool.unlink(missing_ok=True)
    log.info("%s: %d clouds, left out: %s", name, clouds, about["left_out"] or "none")
    return clouds


def _checked(source: BenchmarkReader, classes: Sequence[str], left_out: Counter[str]) -> Iterator[LabeledCloud]:
    """The clouds of the classes, named as these are, without points that are not finite."""
    names = source.names()
    class_of = {one: one for one in classes} if names is None else paired(names, classes, source.where)
    seen: set[str] = set()
    objects: dict[str, tuple[str | None, str | None]] = {}
    dropped = 0
    for cloud in source.clouds(left_out):
        if cloud.cloud_id in seen:
            raise UserError(f"{source.where} has two clouds {cloud.cloud_id!r}: give each an id of its own")
        seen.add(cloud.cloud_id)
        finite = np.isfinite(cloud.points).all(axis=1)
        if cloud.class_name not in class_of:
            left_out["no class" if cloud.class_name is None else f"class {cloud.class_name}"] += 1
        elif not finite.any():
            left_out["no finite point"] += 1
        else:
            dropped += int((~finite).sum())
            made = replace(_only(cloud, finite), class_name=class_of[cloud.class_name])
            _check_object(made, objects, source.where)
            yield made
    if dropped:
        log.warning("%s has %d points that are NaN or inf: they were dropped", source.where, dropped)


def _check_object(cloud: LabeledCloud, objects: dict[str, tuple[str | None, str | None]], where: str) -> None:
    """See that the clouds of an instance are of one class and scene; `objects` grows."""
    if cloud.instance_token is None:
        return
    found = (cloud.class_name, cloud.scene)
    known = objects.setdefault(cloud.instance_token, found)
    if known != found:
        raise UserError(
            f"{where} has an instance {cloud.instance_token!r} that is a {known[0]} in scene {known[1]} and "
            f"a {found[0]} in scene {found[1]}: give each object a token of its own"
        )


def _only(cloud: LabeledCloud, finite: np.ndarray) -> LabeledCloud:
    if finite.all():
        return cloud
    return replace(cloud, points=cloud.points[finite], rgb=None if cloud.rgb is None else cloud.rgb[finite])


def _batched(clouds: Iterator[LabeledCloud]) -> Iterator[list[LabeledCloud]]:
    batch, points = [], 0
    for cloud in clouds:
        batch.append(cloud)
        points += len(cloud.points)
        if points >= _POINTS_AT_ONCE or len(batch) == _CLOUDS_AT_ONCE:
            yield batch
            batch, points = [], 0
    if batch:
        yield batch


def _spooled(spool: Path) -> Iterator[pa.Table]:
    with pa.memory_map(str(spool)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(number)])


def _nothing(source: BenchmarkReader, classes: Sequence[str], left_out: Counter[str]) -> str:
    reasons = ", ".join(f"{count} for {reason}" for reason, count in sorted(left_out.items())) or "it is empty"
    return (
        f"{source.where} has no cloud of the classes {listed(classes)}; clouds were left out ({reasons}): name the "
        "source or the file of prompts/classes that is meant"
    )
