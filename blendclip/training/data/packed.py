"""Random access to the packed clouds and features of a dataset and split, without reading them first.

Files are memory-mapped, and arrays are read-only views of them, so that processes share one copy of the data; a
`PackedSplit` that is sent to another process is opened there anew.

Letters in names: T triplets, D width of a feature, n points of a cloud.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import schemas, storage
from blendclip.errors import UserError
from blendclip.results import Results
from blendclip.training.data.packing import DIGEST

COLUMNS = tuple(field.name for field in schemas.PACKED_CLOUDS if not pa.types.is_list(field.type))
"""Columns of `PackedSplit.column`."""

_NULL = {"distance_m": np.nan, "visibility": 0}


class PackedSplit:
    """The T triplets of a dataset and split: all parts, in order, as one sequence."""

    def __init__(self, clouds: Sequence[Path], features: Sequence[Path]) -> None:
        """Open packed files of clouds and of features, part by part in the same order; see `open`.

        Raises:
            UserError: a file is missing or broken, or two of a part are not of the same triplets.
        """
        self.clouds, self.features = tuple(clouds), tuple(features)
        cloud_files = [_opened(path, "`blendclip pack-clouds`") for path in clouds]
        feature_files = [_opened(path, "`blendclip pack-features`") for path in features]
        for paths, files in zip(
            zip(clouds, features, strict=True), zip(cloud_files, feature_files, strict=True), strict=True
        ):
            _check_pair(paths, files)
        self._cloud_batches = [batch for file in cloud_files for batch in _batches(file)]
        features_by_part = [_batches(file) for file in feature_files]
        feature_batches = [batch for batches in features_by_part for batch in batches]
        self.width = _width(features, feature_files)
        """D; 0 where there is no triplet."""
        self.num_points: NDArray[np.int32] = _joined(self._cloud_batches, "num_points", np.int32)
        """(T,) points of each cloud."""
        sizes = [sum(batch.num_rows for batch in batches) for batches in features_by_part]
        first_of_part_T = np.repeat(np.cumsum(sizes) - sizes, sizes)
        self.instances: NDArray[np.int64] = first_of_part_T + _joined(feature_batches, "held_by", np.int32)
        """(T,) row of the first triplet of each triplet's instance, which identifies the instance."""
        self.num_images: NDArray[np.int32] = _joined(feature_batches, "num_images", np.int32)
        """(T,) length of `images` of each triplet."""
        self.num_texts: NDArray[np.int32] = _joined(feature_batches, "num_texts", np.int32)
        """(T,) length of `texts` of each triplet."""
        own_image_T, own_text_T = (_joined(feature_batches, name, np.int32) for name in ("own_image", "own_text"))
        self._images = _Runs.of(feature_batches, "images").within(self.instances, own_image_T, self.num_images)
        self._texts = _Runs.of(feature_batches, "texts").within(self.instances, own_text_T, self.num_texts)
        self._points = _Runs.of(self._cloud_batches, "points")
        self.in_metres = all(storage.in_metres(storage.options_in(file.schema)["triplets"]) for file in cloud_files)
        """Whether the unit of all clouds is the metre."""

    @classmethod
    def open(cls, results: Path, clip_name: str, dataset: str, split: str, parts: int | None = None) -> PackedSplit:
        """A split of a results folder.

        Args:
            results: the results folder.
            clip_name: folder name of the CLIP whose features are opened.
            dataset: name of the dataset.
            split: name of the split.
            parts: number of parts that the split must have; None takes all that are there.

        Raises:
            UserError: a file is missing, broken or left over, or two of a part are not of the same triplets.
        """
        files = Results(results)
        present = files.packed_parts(clip_name, dataset, split)
        count = max(map(len, present)) if parts is None else parts
        numbers = range(max(count, 1))
        wanted = (
            [files.packed_clouds(dataset, split, number) for number in numbers],
            [files.packed_features(clip_name, dataset, split, number) for number in numbers],
        )
        for there, expected in zip(present, wanted, strict=True):
            if extra := sorted(set(there) - set(expected)):
                raise UserError(f"{extra[0]} is not one of {count} parts: delete {extra[0].parent} and pack again")
        return cls(*wanted)

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedSplit, (self.clouds, self.features)

    def __len__(self) -> int:
        return len(self.num_points)

    def points(self, row: int) -> NDArray[np.float32]:
        """Points (n, 3) of a triplet's cloud in its box frame, neither normalised nor centred; a view of the file."""
        return self._points.run(row)

    def rgb(self, row: int) -> NDArray[np.uint8] | None:
        """Colours (n, 3) of a triplet's points, 0-255, `schemas.UNSEEN_GREY` where unseen; None without colours."""
        return self._rgb.get(row)

    def intensity(self, row: int) -> NDArray[np.float32] | None:
        """Intensities (n,) of a triplet's points, as the sensor gives them; None where it gives none."""
        return self._intensity.get(row)

    def time_lag_s(self, row: int) -> NDArray[np.float32] | None:
        """Seconds (n,) by which a triplet's points are older than its keyframe; None where they have no times."""
        return self._time_lag_s.get(row)

    def image(self, row: int) -> NDArray[np.float16]:
        """Feature (D,) of a triplet's own view, unit length; a view of the file."""
        return self._images.first(row)

    def text(self, row: int) -> NDArray[np.float16]:
        """Feature (D,) of a triplet's own caption, unit length; a view of the file."""
        return self._texts.first(row)

    def images(self, row: int) -> NDArray[np.float16]:
        """Features (k, D) of all views of a triplet's instance, unit length, its own first; a view of the file."""
        return self._images.run(row)

    def texts(self, row: int) -> NDArray[np.float16]:
        """Features (m, D) of all captions of a triplet's instance, unit length, its own first; a view of the file."""
        return self._texts.run(row)

    def column(self, name: str) -> list[Any] | NDArray[Any]:
        """One of `COLUMNS` for all triplets: a list of strings (None where null), or an array of numbers (T,).

        Where null, `distance_m` is NaN, and `visibility`, whose levels begin at 1, is 0.
        """
        assert name in COLUMNS, f"{name} is none of {COLUMNS}"
        kind = schemas.PACKED_CLOUDS.field(name).type
        chunks = pa.chunked_array([batch.column(name) for batch in self._cloud_batches], kind)
        if pa.types.is_string(kind):
            return chunks.to_pylist()
        return (chunks.fill_null(_NULL[name]) if name in _NULL else chunks).to_numpy()

    @cached_property
    def _rgb(self) -> _Runs:
        return _Runs.of(self._cloud_batches, "rgb")

    @cached_property
    def _intensity(self) -> _Runs:
        return _Runs.of(self._cloud_batches, "intensity")

    @cached_property
    def _time_lag_s(self) -> _Runs:
        return _Runs.of(self._cloud_batches, "time_lag_s")


def split_summary(split: PackedSplit) -> str:
    """A line on what a split holds: counts, and the size of its files."""
    holders = split.instances == np.arange(len(split))
    clouds_mb, features_mb = (
        sum(path.stat().st_size for path in paths) / 1e6 for paths in (split.clouds, split.features)
    )
    return (
        f"{len(split):,} triplets of {holders.sum():,} instances, {split.num_points.sum(dtype=np.int64):,} points in "
        f"{clouds_mb:,.1f} MB; {split.num_images[holders].sum():,} images and {split.num_texts[holders].sum():,} texts "
        f"of width {split.width} in {features_mb:,.1f} MB"
    )


class _Runs:
    """For each row a range of one of several arrays, which are views of files."""

    __slots__ = ("_batch", "_start", "_stop", "_values")

    def __init__(self, values: Sequence[NDArray], batch: NDArray, start: NDArray, stop: NDArray) -> None:
        """Row i is `values[batch[i]][start[i] : stop[i]]`."""
        self._values = values
        # A memoryview gives a Python integer several times faster than an array gives its own.
        self._batch, self._start, self._stop = batch.data, start.data, stop.data

    @classmethod
    def of(cls, batches: Sequence[pa.RecordBatch], name: str) -> _Runs:
        """The rows of a column of lists."""
        lists = [batch.column(name) for batch in batches]
        ends = [np.zeros(1, np.int32), *(column.offsets.to_numpy() for column in lists)]
        batch = np.repeat(np.arange(len(lists)), [len(column) for column in lists])
        starts, stops = (np.concatenate([run[cut] for run in ends]) for cut in (slice(-1), slice(1, None)))
        return cls([_array(column.values) for column in lists], batch, starts, stops)

    def within(self, rows_T: NDArray, skipped_T: NDArray, counts_T: NDArray) -> _Runs:
        """For triplet t, row `rows_T[t]` from value `skipped_T[t]` on, `counts_T[t]` values long."""
        start = np.asarray(self._start)[rows_T] + skipped_T
        return _Runs(self._values, np.asarray(self._batch)[rows_T], start, start + counts_T)

    def run(self, row: int) -> NDArray:
        """All values of a row; no `__getitem__`, since Python calls a plain method faster."""
        return self._values[self._batch[row]][self._start[row] : self._stop[row]]

    def first(self, row: int) -> NDArray:
        """The first value of a row."""
        return self._values[self._batch[row]][self._start[row]]

    def get(self, row: int) -> NDArray | None:
        """All values of a row; None where the column is null, since lists are never empty."""
        values = self.run(row)
        return values if len(values) else None


def _array(values: pa.Array) -> NDArray:
    """Numbers (m,), or lists of fixed size (m, size), as an array over the same memory."""
    if pa.types.is_fixed_size_list(values.type):
        return values.flatten().to_numpy().reshape(len(values), values.type.list_size)
    return values.to_numpy()


def _joined(batches: Sequence[pa.RecordBatch], name: str, kind: type) -> NDArray:
    """(T,) a column of numbers of all batches."""
    return np.concatenate([np.zeros(0, kind), *(batch.column(name).to_numpy() for batch in batches)])


def _batches(file: pa.ipc.RecordBatchFileReader) -> list[pa.RecordBatch]:
    return [file.get_batch(number) for number in range(file.num_record_batches)]


def _opened(path: Path, maker: str) -> pa.ipc.RecordBatchFileReader:
    """A packed file that the command `maker` writes."""
    if not path.is_file():
        raise UserError(f"{path} is missing: run {maker} for it, or `snakemake pack`")
    try:
        return pa.ipc.open_file(pa.memory_map(str(path)))
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is not a readable Arrow file ({error}): delete it and pack again") from None


def _check_pair(paths: tuple[Path, Path], files: tuple[pa.ipc.RecordBatchFileReader, ...]) -> None:
    """Raise a UserError unless the two files of a part are of this version, and of the same triplets."""
    images = files[1].schema.field("images") if "images" in files[1].schema.names else None
    width = images.type.value_type.list_size if images else 0
    for path, file, schema in zip(paths, files, (schemas.PACKED_CLOUDS, schemas.packed_features(width)), strict=True):
        if not file.schema.equals(schema):
            raise UserError(f"{path} was packed by another version: delete it and pack again")
    clouds, features = (file.schema.metadata[DIGEST.encode()] for file in files)
    if clouds != features:
        raise UserError(f"{paths[0]} and {paths[1]} are not of the same triplets: pack both again")


def _width(paths: Sequence[Path], files: Sequence[pa.ipc.RecordBatchFileReader]) -> int:
    widths = [file.schema.field("images").type.value_type.list_size for file in files]
    known = sorted({width for width in widths if width})  # a part without a triplet has none
    if len(known) > 1:
        raise UserError(f"{paths[0].parent} has features of widths {known}: delete it and pack again")
    return known[0] if known else 0
