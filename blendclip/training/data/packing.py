"""Packing: the clouds of one part of triplets as an Arrow file for random access through memory mapping.

Colours become what the encoder takes: 0-255, grey for a point that no camera sees. Nothing else is changed.

Letters in names: N points of all clouds of a table together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from blendclip import schemas, storage
from blendclip.errors import UserError

DIGEST = "triplets"
"""Metadata key of packed files: the digest of the triplets, equal in files that belong together."""

_PER_POINT = ("points", "rgb", "intensity", "time_lag_s")
_ROWS_AT_ONCE = 64


def pack_clouds(triplets: Path, output: Path, points_per_batch: int = 2_000_000) -> int:
    """Write the clouds of a part (schema `schemas.PACKED_CLOUDS`); return their number.

    Args:
        triplets: Parquet file of the part.
        output: Arrow file to write.
        points_per_batch: points that end a record batch, which bounds memory and keeps offsets within int32.

    Raises:
        UserError: the triplets are missing, or a cloud has not one value of a column for each of its points.
    """
    about = storage.metadata("packed", {"triplets": storage.options_of(triplets)})
    about[DIGEST] = triplets_digest(storage.read_parquet(triplets, ["triplet_id", "caption"]))
    rows = 0
    with storage.arrow_writer(output, schemas.PACKED_CLOUDS, about) as write:
        for table in _gathered(_read(triplets), points_per_batch):
            write(table)
            rows += table.num_rows
    return rows


def triplets_digest(triplets: pa.Table) -> str:
    """A digest of the ids and captions of triplets, in order."""
    digest = hashlib.sha256()
    for name in ("triplet_id", "caption"):
        digest.update("\0".join(triplets[name].to_pylist()).encode())
    return digest.hexdigest()[:16]


def _read(triplets: Path) -> Iterator[pa.Table]:
    """The triplets, some rows at a time, with `schemas.PACKED_CLOUDS`."""
    file = storage.open_parquet(triplets)
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=schemas.PACKED_CLOUDS.names):
        table = pa.Table.from_batches([batch])
        _check_lengths(table, triplets)
        rgb = table["rgb"].combine_chunks()
        columns = {name: table[name] for name in table.column_names} | {"rgb": _seen_or_grey(rgb)}
        yield pa.table({name: columns[name] for name in schemas.PACKED_CLOUDS.names}, schemas.PACKED_CLOUDS)


def _check_lengths(table: pa.Table, triplets: Path) -> None:
    """Raise a UserError unless each cloud has points, and one value of each column for each of them, or null."""
    for name in _PER_POINT:
        lengths = pc.list_value_length(table[name])
        if name != "points":
            lengths = pc.coalesce(lengths, table["num_points"])
        fits = pc.and_(pc.equal(lengths, table["num_points"]), pc.greater(lengths, 0))
        wrong = np.flatnonzero(~pc.fill_null(fits, False).to_numpy())
        if wrong.size:
            who, count = (table[key][int(wrong[0])].as_py() for key in ("triplet_id", "num_points"))
            raise UserError(
                f"{triplets} has {lengths[int(wrong[0])].as_py()} `{name}` for the {count} points of {who}: delete it "
                "and run its stage again"
            )


def _seen_or_grey(rgb: pa.ListArray) -> pa.ListArray:
    """Colours of clouds, grey for points that are null, and null for clouds that are null."""
    colour_N = rgb.flatten()
    rgb_N3 = np.full((len(colour_N), 3), schemas.UNSEEN_GREY, np.uint8)
    rgb_N3[colour_N.is_valid().to_numpy(zero_copy_only=False)] = colour_N.flatten().to_numpy().reshape(-1, 3)
    lengths = pc.fill_null(pc.list_value_length(rgb), 0).to_numpy()
    return storage.ragged(rgb_N3, lengths, schemas.PACKED_CLOUDS.field("rgb").type, rgb.is_null())


def _gathered(tables: Iterable[pa.Table], points: int) -> Iterator[pa.Table]:
    """Tables, concatenated until they have at least `points` points."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += pc.sum(table["num_points"]).as_py()
        if count >= points:
            yield pa.concat_tables(waiting)
            waiting, count = [], 0
    if waiting:
        yield pa.concat_tables(waiting)
