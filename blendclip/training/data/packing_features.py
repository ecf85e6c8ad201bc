"""Packing: the CLIP features of one part of triplets as an Arrow file for random access through memory mapping.

Many triplets share an instance. The features of all its views and captions are stored once, in the row of its first
triplet, which holds them for the others; every triplet says which row that is, and which of the features are its own.
The first features are repeated after the last, as far as a range needs that begins at any triplet's own feature and
holds all of them: so all features, a triplet's own first, are read without a copy.

Letters in names: T triplets, E rows of embeddings, K rows of embeddings that triplets hold, with repeats, D width of a
feature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from blendclip import schemas, storage
from blendclip.errors import UserError
from blendclip.training.data.packing import DIGEST, triplets_digest

_VIEW_KEY = ("instance_token", "channel", "timestamp_us")
_OF_TRIPLET = ["triplet_id", "dataset", "split", *_VIEW_KEY, "view_time_gap_us", "caption"]
_OF_EMBEDDING = ["dataset", "split", "triplet_id", "view_id", "kind", "text"]
_KINDS = ("image", "text")
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class FeatureSources:
    """The files of one part that packed features are made of."""

    triplets: Path
    """Parquet file of triplets."""
    views: Path
    """Parquet file of views."""
    captions: Path
    """Parquet file of captions."""
    embeddings: Path
    """Parquet file of the features of these views and captions."""


@dataclass(frozen=True)
class _Part:
    """The content of a part, without clouds, images and features."""

    sources: FeatureSources
    triplets: pa.Table
    """T rows with the columns `_OF_TRIPLET`."""
    embeddings: pa.Table
    """E rows with the columns `_OF_EMBEDDING`."""
    own_view_T: list[str]
    """view_id of each triplet's view."""
    held_by_T: NDArray[np.int32]
    """First triplet of each triplet's instance."""
    held_by_E: NDArray[np.int64]
    """First triplet of the instance of each embedding; -1 where the instance has no triplet."""


@dataclass(frozen=True)
class _Links:
    """The embeddings of one kind that the triplets of a part hold."""

    rows_K: NDArray[np.int64]
    """Rows of embeddings, ordered by the triplet that holds them, with repeats."""
    lengths_T: NDArray[np.int64]
    """Number of embeddings that each triplet holds, with repeats."""
    own_T: NDArray[np.int32]
    """Index of each triplet's own embedding among those of its instance."""
    counts_T: NDArray[np.int32]
    """Number of embeddings of each triplet's instance."""


def pack_features(sources: FeatureSources, output: Path, features_per_batch: int = 25_000) -> int:
    """Write the features of a part (schema `schemas.packed_features`), of unit length; return its number of triplets.

    An embedding belongs to the instance of its view or, where it names no view, of its triplet. A triplet's own are the
    image of its view and the text of that view's caption; where texts name triplets, the first that is the triplet's
    caption, else the first of all. Embeddings of instances without a triplet are left out.

    Args:
        sources: files of the part.
        output: Arrow file to write.
        features_per_batch: features that end a record batch, which bounds memory.

    Raises:
        UserError: a file is missing, files do not belong together, a triplet has no image or no text, or a feature has
            no direction.
    """
    part = _read_part(sources)
    links = {kind: _linked(part, kind) for kind in _KINDS}
    vectors_ED = _vectors(sources.embeddings)
    schema = schemas.packed_features(vectors_ED.shape[1])
    about = storage.metadata("packed", {"embeddings": storage.options_of(sources.embeddings)})
    about[DIGEST] = triplets_digest(part.triplets)
    with storage.arrow_writer(output, schema, about) as write:
        for rows in _batches(links["image"].lengths_T + links["text"].lengths_T, features_per_batch):
            columns = {"triplet_id": part.triplets["triplet_id"][rows], "held_by": part.held_by_T[rows]}
            columns |= {f"own_{kind}": links[kind].own_T[rows] for kind in _KINDS}
            columns |= {f"num_{kind}s": links[kind].counts_T[rows] for kind in _KINDS}
            columns |= {f"{kind}s": _unit_lists(part, links[kind], rows, vectors_ED, schema) for kind in _KINDS}
            write(pa.table(columns))
    return part.triplets.num_rows


def _read_part(sources: FeatureSources) -> _Part:
    """The content of a part; raises a UserError unless its files belong together."""
    triplets = storage.read_parquet(sources.triplets, _OF_TRIPLET)
    views = storage.read_parquet(sources.views, ["view_id", *_VIEW_KEY])
    captions = storage.read_parquet(sources.captions, ["view_id", "caption"])
    embeddings = storage.read_parquet(sources.embeddings, _OF_EMBEDDING)
    own_view_T = _own_views(sources, triplets, views)
    _check_captions(sources, triplets, captions, own_view_T)
    _check_origin(sources, triplets, views, embeddings)
    _check_complete(sources, views, captions, embeddings)
    first: dict[str, int] = {}
    held_by_T = [first.setdefault(token, row) for row, token in enumerate(triplets["instance_token"].to_pylist())]
    holder_of_view = [first.get(token, -1) for token in views["instance_token"].to_pylist()]
    held_by_E = np.where(
        pc.is_valid(embeddings["view_id"]).to_numpy(),
        _looked_up(embeddings["view_id"], views["view_id"], holder_of_view),
        _looked_up(embeddings["triplet_id"], triplets["triplet_id"], held_by_T),
    )
    return _Part(sources, triplets, embeddings, own_view_T, np.array(held_by_T, np.int32), held_by_E)


def _looked_up(names: pa.ChunkedArray, known: pa.ChunkedArray, values: list[int]) -> NDArray[np.int64]:
    """For each name the value at its index in `known`; -1 where it is null."""
    index = pc.fill_null(pc.index_in(names, value_set=known, skip_nulls=True), -1).to_numpy()
    return np.array([*values, -1], np.int64)[index]


def _own_views(sources: FeatureSources, triplets: pa.Table, views: pa.Table) -> list[str]:
    """The view_id of each triplet's view, found by instance, channel and time."""
    view_of = dict(zip(_zipped(views, *_VIEW_KEY), views["view_id"].to_pylist(), strict=True))
    assert len(view_of) == views.num_rows, "a channel shows an instance once at a time"
    own = []
    for who, token, channel, time_us, gap_us in _zipped(triplets, "triplet_id", *_VIEW_KEY, "view_time_gap_us"):
        view = view_of.get((token, channel, time_us + gap_us))
        if view is None:
            raise UserError(f"{sources.views} lacks the view of {who}: run the stage that writes triplets again")
        own.append(view)
    return own


def _check_captions(sources: FeatureSources, triplets: pa.Table, captions: pa.Table, own_view_T: list[str]) -> None:
    """Raise a UserError unless each triplet has the caption of its view, where the part has captions of views."""
    caption_of = dict(_zipped(captions, "view_id", "caption"))
    for (who, text), view in zip(_zipped(triplets, "triplet_id", "caption"), own_view_T, strict=True):
        if caption_of and caption_of.get(view) != text:
            raise UserError(
                f"{sources.captions} has another caption for {who} than {sources.triplets}: run the stage that writes "
                "triplets again"
            )


def _check_origin(sources: FeatureSources, triplets: pa.Table, views: pa.Table, embeddings: pa.Table) -> None:
    """Raise a UserError unless embeddings are of the triplets' dataset and split, and of known views or triplets."""
    for name in ("dataset", "split"):
        strange = set(embeddings[name].unique().to_pylist()) - set(triplets[name].unique().to_pylist())
        if triplets.num_rows and strange:
            raise UserError(
                f"{sources.embeddings} is of {name} {min(strange)}, {sources.triplets} is not: give files of one part"
            )
    known = {"view_id": set(views["view_id"].to_pylist()), "triplet_id": set(triplets["triplet_id"].to_pylist())}
    for view, triplet in _zipped(embeddings, "view_id", "triplet_id"):
        if triplet not in known["triplet_id"] if view is None else view not in known["view_id"]:
            what = f"has a feature of {view or triplet}, which is not in the part"
            raise _stale(sources, what)


def _check_complete(sources: FeatureSources, views: pa.Table, captions: pa.Table, embeddings: pa.Table) -> None:
    """Raise a UserError unless embeddings that name views are one of each view and one of each present caption."""
    found: dict[str, dict[str, str | None]] = {kind: {} for kind in _KINDS}
    for view, kind, text in _zipped(embeddings, "view_id", "kind", "text"):
        if view is not None and view in found[kind]:
            raise _stale(sources, f"has two features of the {kind} of {view}")
        if view is not None:
            found[kind][view] = text
    missing = [view for (view,) in _zipped(views, "view_id") if view not in found["image"]]
    if found["image"] and missing:
        raise _stale(sources, f"has no feature of view {missing[0]}")
    for view, caption in _zipped(captions, "view_id", "caption"):
        if found["text"].get(view) != caption:
            raise _stale(sources, f"has no feature of the caption of {view} as it is now")


def _stale(sources: FeatureSources, what: str) -> UserError:
    return UserError(f"{sources.embeddings} {what}: run the stage that writes embeddings again")


def _zipped(table: pa.Table, *names: str) -> Iterator[tuple]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def _linked(part: _Part, kind: str) -> _Links:
    """The embeddings of one kind that triplets hold, and which are each triplet's own."""
    is_kind = pc.equal(part.embeddings["kind"], kind).to_numpy()
    held = np.flatnonzero(is_kind & (part.held_by_E >= 0))
    rows_K = held[np.argsort(part.held_by_E[held], kind="stable")]
    counts_T = np.bincount(part.held_by_E[rows_K], minlength=part.triplets.num_rows)
    starts_T = np.cumsum(counts_T) - counts_T
    index_E = np.empty(part.embeddings.num_rows, np.int64)
    index_E[rows_K] = np.arange(len(rows_K))
    own_T = index_E[_own_rows(part, kind, rows_K)] - starts_T[part.held_by_T]
    # A range that begins at own feature o of n and holds all n ends o after the last: so many are repeated.
    repeats_T = np.zeros_like(counts_T)
    np.maximum.at(repeats_T, part.held_by_T, own_T)
    lengths_T = counts_T + repeats_T
    within_K = np.arange(lengths_T.sum()) - np.repeat(np.cumsum(lengths_T) - lengths_T, lengths_T)
    rows_K = rows_K[np.repeat(starts_T, lengths_T) + within_K % np.repeat(counts_T, lengths_T)]
    return _Links(rows_K, lengths_T, own_T.astype(np.int32), counts_T[part.held_by_T].astype(np.int32))


def _own_rows(part: _Part, kind: str, rows_K: NDArray[np.int64]) -> list[int]:
    """The row of the embedding of each triplet's own view or caption."""
    row_of: dict[tuple[str, ...], int] = {}
    of_kind = _zipped(part.embeddings.take(rows_K), "view_id", "triplet_id", "text")
    for row, (view, triplet, text) in zip(rows_K.tolist(), of_kind, strict=True):
        for key in (("view", view), ("caption", triplet, (text or "").strip()), ("triplet", triplet)):
            row_of.setdefault(key, row)
    own = []
    for (who, caption), view in zip(_zipped(part.triplets, "triplet_id", "caption"), part.own_view_T, strict=True):
        keys = (("view", view), ("caption", who, caption), ("triplet", who))
        row = next((row_of[key] for key in keys if key in row_of), None)
        if row is None:
            raise _stale(part.sources, f"has no {kind} feature of triplet {who}")
        own.append(row)
    return own


def _vectors(embeddings: Path) -> NDArray[np.float16]:
    """(E, D) all features of a file, as they are; (0, 0) for a file without any."""
    file = storage.open_parquet(embeddings)
    vectors_ED, start = np.zeros((0, 0), np.float16), 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["embedding"]):
        found = pc.unique(pc.fill_null(pc.list_value_length(batch["embedding"]), 0)).to_pylist()
        widths = sorted({*found, vectors_ED.shape[1] if start else found[0]})
        if len(widths) > 1 or not widths[0]:
            raise UserError(f"{embeddings} has features of widths {widths}: run the stage that writes embeddings again")
        if not start:
            vectors_ED = np.empty((file.metadata.num_rows, *widths), np.float16)
        vectors_ED[start : start + len(batch)] = batch["embedding"].flatten().to_numpy().reshape(len(batch), -1)
        start += len(batch)
    return vectors_ED


def _batches(lengths_T: NDArray[np.int64], most: int) -> Iterator[slice]:
    """Slices of triplets for record batches: a slice ends where the sum of lengths passes a multiple of `most`."""
    run_T = (np.cumsum(lengths_T) - lengths_T) // most
    ends = [*(np.flatnonzero(np.diff(run_T)) + 1).tolist(), len(lengths_T)]
    yield from (slice(start, end) for start, end in zip([0, *ends], ends, strict=False) if end > start)


def _unit_lists(part: _Part, links: _Links, rows: slice, vectors_ED: NDArray, schema: pa.Schema) -> pa.ListArray:
    """The features that some triplets hold, as lists of unit vectors."""
    before, count = links.lengths_T[: rows.start].sum(), links.lengths_T[rows].sum()
    rows_K = links.rows_K[before : before + count]
    vectors_KD = vectors_ED[rows_K].astype(np.float32)
    lengths_K = np.linalg.norm(vectors_KD, axis=1)
    wrong = np.flatnonzero(~(np.isfinite(lengths_K) & (lengths_K > 0)))
    if wrong.size:
        row = part.embeddings.slice(rows_K[wrong[0]], 1).to_pylist()[0]
        raise _stale(
            part.sources, f"has a {row['kind']} feature of {row['view_id'] or row['triplet_id']} without direction"
        )
    units_KD = (vectors_KD / lengths_K[:, None]).astype(np.float16)
    return storage.ragged(units_KD, links.lengths_T[rows], schema.field("images").type)
