"""The stage that embeds views and captions with a frozen CLIP.

One job does a dataset and split, since a large CLIP takes longer to load than a part takes to embed.

Letters in names: D the width of a feature.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import schemas, storage
from blendclip.encoders.clip import Clip, largest_batch
from blendclip.encoders.shards import ImageShard, Shard, ShardCache, TextShard, embed_shards, sha256_of_files
from blendclip.errors import UserError

log = logging.getLogger(__name__)
_BATCH_ON_CPU = 32
_BATCHES_IN_SHARD = 8
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Part:
    """Files of one part of a dataset and split."""

    views: Path
    """Parquet file of views."""
    captions: Path
    """Parquet file of captions of these views."""
    output: Path
    """Parquet file of their features, to be written."""


@dataclass(frozen=True)
class _Plan:
    """The shards of a job."""

    images: list[list[ImageShard]]
    """Shards of each part."""
    texts: list[TextShard]
    """Shards of the distinct captions of all parts."""
    index: dict[str, int]
    """Index of each distinct caption in the texts of all shards end to end."""


def parts_of(views: Sequence[Path], captions: Sequence[Path], output: Path) -> list[Part]:
    """The parts of a job: files of views and captions with the same name, which their features get too.

    Raises:
        UserError: names do not match.
    """
    by_name = {path.name: path for path in captions}
    names = [path.name for path in views]
    if len(set(names)) < len(names) or len(by_name) < len(captions) or set(names) != set(by_name):
        strange = sorted(set(names) ^ set(by_name)) or ["a name that comes twice"]
        raise UserError(f"views and captions do not match ({strange[0]}): give the files of the same parts")
    return [Part(path, by_name[path.name], output / path.name) for path in views]


def embed(parts: Sequence[Part], clip: Clip, cache: Path, workers: int = 1, batch_size: int | None = None) -> None:
    """Write the features of every image and every caption of some parts (schema `schemas.EMBEDDINGS`).

    A caption that comes more than once is embedded once. Finished shards are kept in the folder `cache`, from which the
    next run takes those whose input and weights have not changed. On a CPU it sets torch to one thread.

    Args:
        parts: of one dataset and split.
        clip: the model.
        cache: a folder for this model, dataset and split alone; what it no longer needs is deleted from it.
        workers: processes, each of which embeds with one thread; on a GPU they decode images ahead of it.
        batch_size: images or texts in a forward pass; by default 32, on a GPU what it has room for.

    Raises:
        UserError: input is missing or does not fit together, or an image is damaged.
    """
    if batch_size is None:
        batch_size = largest_batch(clip) if clip.device.type == "cuda" else _BATCH_ON_CPU
    plan = _plan(parts, _BATCHES_IN_SHARD * batch_size, workers)
    weights = clip.digest()
    kept = ShardCache(cache, weights)
    shards: list[Shard] = [*itertools.chain.from_iterable(plan.images), *plan.texts]
    todo = [shard for shard in shards if not kept.holds(shard)]
    log.info("%d shards, %d of them embedded before; batches of %d", len(shards), len(shards) - len(todo), batch_size)
    embed_shards(clip, todo, kept, batch_size, workers)
    counts = [_write(part, images, plan, kept, clip, weights) for part, images in zip(parts, plan.images, strict=True)]
    kept.forget_all_but(shards)
    log.info("%d of %d captions are longer than %d tokens and were cut", *np.sum(counts, axis=0), clip.context_length)


def _plan(parts: Sequence[Part], rows: int, workers: int) -> _Plan:
    """Shards of about `rows` images or texts, whose bounds depend on the input alone."""
    hashes = sha256_of_files([part.views for part in parts], workers)
    index: dict[str, int] = {}
    for part in parts:
        for text in storage.read_parquet(part.captions, ["caption"])["caption"].to_pylist():
            index.setdefault(text, len(index))
    texts = list(index)
    return _Plan(
        [_image_shards(part, sha, rows) for part, sha in zip(parts, hashes, strict=True)],
        [TextShard(n, tuple(texts[start : start + rows])) for n, start in enumerate(range(0, len(texts), rows))],
        index,
    )


def _image_shards(part: Part, sha: str, rows: int) -> list[ImageShard]:
    """The row groups of a part, gathered to shards of at least `rows` images; those without an image are left out."""
    file = storage.open_parquet(part.views)
    known: set[str] = set()
    shards: list[ImageShard] = []
    groups: list[int] = []
    count = 0
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, ["view_id", "image.path"])
        known.update(table["view_id"].to_pylist())
        if images := len(table) - table["image"].null_count:
            groups, count = [*groups, group], count + images
        if count and (count >= rows or group == file.num_row_groups - 1):
            shards.append(ImageShard(part.views, sha, tuple(groups), count))
            groups, count = [], 0
    if strange := set(storage.read_parquet(part.captions, ["view_id"])["view_id"].to_pylist()) - known:
        raise UserError(f"{part.captions} describes {min(strange)}, which {part.views} lacks: make the captions again")
    return shards


def _write(
    part: Part, images: list[ImageShard], plan: _Plan, kept: ShardCache, clip: Clip, weights: str
) -> tuple[int, int]:
    """Write a part from its finished shards; return how many captions were cut and how many there are."""
    captions = storage.read_parquet(part.captions, ["view_id", "caption"])
    texts_D, cut = _texts(captions["caption"].to_pylist(), plan, kept, clip.width)
    images_D = np.concatenate([_empty(clip.width), *(kept.read(shard)["feature"] for shard in images)])
    views = storage.read_parquet(part.views, ["dataset", "split", "view_id", "image.path"])
    tables = itertools.chain(_image_rows(views, images_D), _text_rows(captions, views, texts_D))
    options = {"clip": clip.name, "weights_sha256": weights, "precision": clip.precision, "cut_captions": cut}
    storage.write_parquet(part.output, schemas.EMBEDDINGS, tables, storage.metadata("embeddings", options))
    return cut, captions.num_rows


def _texts(captions: list[str], plan: _Plan, kept: ShardCache, width: int) -> tuple[NDArray[np.float16], int]:
    """(captions, D) features of captions, from the shards that hold them, and how many of them were cut."""
    rows = np.array([plan.index[text] for text in captions], np.int64)
    features_D, cut = np.empty((len(rows), width), np.float16), 0
    start = 0
    for shard in plan.texts:
        here = (start <= rows) & (rows < start + shard.count)
        if here.any():
            found = kept.read(shard)[rows[here] - start]
            features_D[here], cut = found["feature"], cut + int(found["cut"].sum())
        start += shard.count
    return features_D, cut


def _image_rows(views: pa.Table, features_D: NDArray[np.float16]) -> Iterator[pa.Table]:
    views = views.filter(views["image"].is_valid())
    assert views.num_rows == len(features_D)
    for start in range(0, views.num_rows, _ROWS_AT_ONCE):
        rows = views.slice(start, _ROWS_AT_ONCE)
        yield _rows(rows, "image", "view", None, features_D[start : start + _ROWS_AT_ONCE])


def _text_rows(captions: pa.Table, views: pa.Table, features_D: NDArray[np.float16]) -> Iterator[pa.Table]:
    for start in range(0, captions.num_rows, _ROWS_AT_ONCE):
        rows = captions.slice(start, _ROWS_AT_ONCE)
        for name in ("dataset", "split"):  # the same in all rows of a part
            rows = rows.append_column(name, pa.repeat(views[name][0], rows.num_rows))
        yield _rows(rows, "text", "caption", rows["caption"], features_D[start : start + _ROWS_AT_ONCE])


def _rows(who: pa.Table, kind: str, source: str, texts: Any, features_D: NDArray[np.float16]) -> pa.Table:
    """Rows of `schemas.EMBEDDINGS`; triplets share views, so that they belong to views and not to triplets."""
    count, width = features_D.shape
    nothing = pa.nulls(count, pa.string())
    ends = pa.array(np.arange(count + 1, dtype=np.int32) * width)
    columns = {
        "dataset": who["dataset"],
        "split": who["split"],
        "triplet_id": nothing,
        "view_id": who["view_id"],
        "kind": pa.repeat(kind, count),
        "source": pa.repeat(source, count),
        "text": nothing if texts is None else texts,
        "embedding": pa.ListArray.from_arrays(ends, pa.array(np.ascontiguousarray(features_D).ravel())),
    }
    return pa.table({name: columns[name] for name in schemas.EMBEDDINGS.names})


def _empty(width: int) -> NDArray[np.float16]:
    return np.empty((0, width), np.float16)
