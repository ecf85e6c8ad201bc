"""Shards of the embedding work: images of some row groups, or some texts, and the file that keeps their features.

The features of a shard depend on the shard alone and are computed by one thread, so that they are the same bytes
whichever process computes them, and whatever was done before.

Letters in names: D the width of a feature.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import logging
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from blendclip import schemas, storage
from blendclip.encoders.clip import Clip
from blendclip.errors import UserError

log = logging.getLogger(__name__)
_LOADED_TOGETHER = 64  # images that a process hands over at a time; more would fill shared memory
_LOG_EVERY_S = 10.0
_CHECKSUM_BYTES = 4  # at the end of a file of the cache


@dataclass(frozen=True)
class ImageShard:
    """The images in some row groups of a file of views."""

    path: Path
    """File of views."""
    sha256: str
    """Hash of the file."""
    groups: tuple[int, ...]
    """Numbers of the row groups."""
    count: int
    """Images in them; views without one are left out."""

    @property
    def label(self) -> str:
        """Readable name, unique within a job."""
        return f"{self.path.stem}-images-{self.groups[0]:05d}"

    @property
    def content(self) -> Any:
        """What the features depend on besides the model, for JSON."""
        return ["images", self.sha256, self.groups]

    def batches(self, size: int) -> Iterator[list[tuple[str, bytes]]]:
        """View ids and JPEGs, at most `size` at a time."""
        file = storage.open_parquet(self.path)
        tables = (file.read_row_group(group, ["view_id", "image"]) for group in self.groups)
        rows = (row for table in tables for row in table.to_pylist() if row["image"] is not None)
        while batch := [(row["view_id"], row["image"]["bytes"]) for row in itertools.islice(rows, size)]:
            yield batch

    def prepare(self, clip: Clip, batch: list[tuple[str, bytes]]) -> _Prepared:
        """A batch, decoded, resized and cropped; or which of its images is damaged."""
        pixels = []
        for view_id, jpeg in batch:
            try:
                pixels.append(clip.prepared(Image.fromarray(simplejpeg.decode_jpeg(jpeg, "RGB", strict=True))))
            except ValueError as error:
                fault = f"the image of {view_id} in {self.path} is damaged ({error}): delete the file and run again"
                return _Prepared(torch.empty(0), torch.empty(0), fault)
        return _Prepared(torch.stack(pixels), torch.zeros(len(batch), dtype=torch.bool))

    def features(self, clip: Clip, inputs: Tensor) -> Tensor:
        """(B, D) float32 features of prepared images (B, H, W, 3)."""
        return clip.embed_images(inputs)


@dataclass(frozen=True)
class TextShard:
    """Some of the distinct texts of a job."""

    number: int
    """Number of the shard among those of texts."""
    texts: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of texts."""
        return len(self.texts)

    @property
    def label(self) -> str:
        """Readable name, unique within a job."""
        return f"texts-{self.number:05d}"

    @property
    def content(self) -> Any:
        """What the features depend on besides the model, for JSON."""
        return ["texts", self.texts]

    def batches(self, size: int) -> Iterator[list[str]]:
        """Texts, at most `size` at a time."""
        for start in range(0, self.count, size):
            yield list(self.texts[start : start + size])

    def prepare(self, clip: Clip, batch: list[str]) -> _Prepared:
        """A batch as tokens."""
        tokens = clip.tokenize(batch)
        return _Prepared(tokens, clip.cut(batch, tokens))

    def features(self, clip: Clip, inputs: Tensor) -> Tensor:
        """(B, D) float32 features of tokens (B, L)."""
        return clip.embed_tokens(inputs)


Shard = ImageShard | TextShard
"""A unit of the work of a job."""


@dataclass(frozen=True)
class _Prepared:
    """A batch of B inputs of the model, or what is wrong with it."""

    inputs: Tensor
    """(B, H, W, 3) uint8 pixels or (B, L) int64 tokens."""
    cut: Tensor
    """(B,) bool: texts that were truncated."""
    fault: str | None = None
    """Why there is no input, as a sentence."""


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "little")


class ShardCache:
    """Features of finished shards: a file for each, named after all that they depend on."""

    def __init__(self, folder: Path, weights: str) -> None:
        """Keep features of the CLIP with digest `weights` in `folder`."""
        self._folder = folder
        self._weights = [weights, schemas.STAGE_VERSIONS["embeddings"]]

    def path(self, shard: Shard) -> Path:
        """The file of a shard, which need not exist."""
        digest = hashlib.sha256(json.dumps([self._weights, shard.content]).encode()).hexdigest()
        return self._folder / f"{shard.label}-{digest[:32]}.npy"

    def write(self, shard: Shard, features: NDArray[np.float16], cut: NDArray[np.bool_]) -> None:
        """Keep the (count, D) features of a finished shard, and (count,) which of its texts were truncated."""
        rows = np.empty(len(features), [("feature", np.float16, features.shape[1:]), ("cut", np.bool_)])
        rows["feature"], rows["cut"] = features, cut
        content = io.BytesIO()
        np.save(content, rows)
        with storage.replacing(self.path(shard)) as temporary:
            temporary.write_bytes(content.getvalue() + _checksum(content.getvalue()))

    def holds(self, shard: Shard) -> bool:
        """Whether there is a file of a shard, as it was written; one that is not is made anew."""
        try:
            content = self.path(shard).read_bytes()
        except FileNotFoundError:
            return False
        return content[-_CHECKSUM_BYTES:] == _checksum(content[:-_CHECKSUM_BYTES])

    def read(self, shard: Shard) -> NDArray[Any]:
        """(count,) rows of `feature` (D,) and `cut` of a finished shard, mapped from its file."""
        rows = np.load(self.path(shard), mmap_mode="r")
        assert len(rows) == shard.count
        return rows

    def forget_all_but(self, shards: Iterable[Shard]) -> None:
        """Delete all files but those of `shards`: runs with other input or weights left them behind."""
        wanted = {self.path(shard) for shard in shards}
        for path in self._folder.glob("*"):
            if path not in wanted:
                path.unlink()


def sha256_of_files(paths: Sequence[Path], threads: int) -> list[str]:
    """SHA-256 of each file, in order.

    Raises:
        UserError: a file is missing.
    """

    def sha256(path: Path) -> str:
        with storage.existing(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(max(1, threads)) as pool:
        return list(pool.map(sha256, paths))


def embed_shards(clip: Clip, shards: Sequence[Shard], cache: ShardCache, batch_size: int, workers: int = 1) -> None:
    """Embed shards and keep their features in the cache.

    Args:
        clip: the model; on a CPU torch is set to one thread.
        shards: what to embed.
        cache: where features go.
        batch_size: images or texts in a forward pass.
        workers: processes; on a CPU each embeds, on a GPU they decode images ahead of it.

    Raises:
        UserError: an image is damaged, a feature is not finite, or a process died.
    """
    if clip.device.type == "cpu":
        torch.set_num_threads(1)  # with more, features would depend on how many there are
    progress = _ProgressLog(sum(shard.count for shard in shards))
    if clip.device.type != "cpu" or workers <= 1 or len(shards) <= 1:
        loaders = 0 if clip.device.type == "cpu" else workers
        for shard in embed_in_turn(clip, shards, cache, batch_size, loaders):
            progress.step(shard)
        return
    # Forked processes share the weights; they inherit no thread, since none was started.
    job = (clip, cache, batch_size)
    with ProcessPoolExecutor(min(workers, len(shards)), get_context("fork"), _start_worker, job) as pool:
        try:
            for shard in pool.map(_embed_one, shards):
                progress.step(shard)
        except BrokenProcessPool:
            raise UserError("a worker died, perhaps for lack of memory: run again with fewer --workers") from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def embed_in_turn(
    clip: Clip, shards: Sequence[Shard], cache: ShardCache, batch_size: int, loaders: int
) -> Iterator[Shard]:
    """Embed shards one after another; yield each once it is in the cache.

    Args:
        clip: the model.
        shards: what to embed.
        cache: where features go.
        batch_size: images or texts in a forward pass.
        loaders: processes that prepare input ahead; 0 prepares it in this one.

    Raises:
        UserError: an image is damaged, or a feature is not finite.
    """
    together = min(batch_size, _LOADED_TOGETHER)
    loader = DataLoader(
        _PreparedBatches(clip, shards),
        batch_size=None,
        sampler=_ShardBatches(shards, together),
        num_workers=loaders,
        pin_memory=clip.device.type == "cuda",
        collate_fn=_as_it_is,
        prefetch_factor=4 if loaders else None,
    )
    for number, batches in itertools.groupby(loader, key=lambda loaded: loaded[0]):
        shard = shards[number]
        features, cut = _embedded(clip, shard, (batch[1:] for batch in batches), max(1, batch_size // together))
        cache.write(shard, features, cut)
        yield shard


def _embedded(
    clip: Clip, shard: Shard, batches: Iterator[tuple[Tensor, Tensor, str | None]], joined: int
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """(count, D) features of a shard, `joined` of its prepared batches at a time, and (count,) which were cut."""
    features: list[Tensor] = []
    cuts: list[Tensor] = []
    while loaded := list(itertools.islice(batches, joined)):
        inputs, cut, faults = zip(*loaded, strict=True)
        if any(faults):
            raise UserError(next(filter(None, faults)))
        on_device = torch.cat([batch.to(clip.device, non_blocking=True) for batch in inputs])
        features.append(shard.features(clip, on_device).half())
        cuts.extend(cut)
    rows = torch.cat(features).cpu()
    if not rows.isfinite().all():
        raise UserError(
            f"{clip.name} gives features of {shard.label} that are not finite in float16: check its weights"
        )
    return rows.numpy(), torch.cat(cuts).numpy()


class _ShardBatches:
    """What is to be loaded, as pairs of a shard's number and a batch."""

    def __init__(self, shards: Sequence[Shard], size: int) -> None:
        self._shards, self._size = shards, size

    def __iter__(self) -> Iterator[tuple[int, list]]:
        for number, shard in enumerate(self._shards):
            for batch in shard.batches(self._size):
                yield number, batch


class _PreparedBatches(Dataset):
    """Turns what `_ShardBatches` yields into input of the model.

    Where another process does it, an exception would reach this one as a long traceback; so faults are returned.
    """

    def __init__(self, clip: Clip, shards: Sequence[Shard]) -> None:
        self._clip, self._shards = clip, shards

    def __getitem__(self, named: tuple[int, list]) -> tuple[int, Tensor, Tensor, str | None]:
        number, batch = named
        prepared = self._shards[number].prepare(self._clip, batch)
        return number, prepared.inputs, prepared.cut, prepared.fault


class _ProgressLog:
    """Logs now and then how far the work is."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._start = self._logged = time.monotonic()

    def step(self, shard: Shard) -> None:
        """Count a finished shard."""
        self._done += shard.count
        now = time.monotonic()
        if now - self._logged >= _LOG_EVERY_S or self._done == self._total:
            self._logged = now
            per_s = self._done / max(now - self._start, 1e-9)
            log.info("%d of %d images and captions, %.1f per second", self._done, self._total, per_s)


_worker: tuple[Clip, ShardCache, int]


def _start_worker(clip: Clip, cache: ShardCache, batch_size: int) -> None:
    global _worker
    _worker = (clip, cache, batch_size)
    torch.set_num_threads(1)


def _embed_one(shard: Shard) -> Shard:
    clip, cache, batch_size = _worker
    (done,) = embed_in_turn(clip, [shard], cache, batch_size, 0)
    return done


def _as_it_is(loaded: Any) -> Any:
    return loaded
