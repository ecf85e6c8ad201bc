"""Pieces of the embedding work: pictures of some row groups, or some texts, to the file that keeps their features.

The features of a piece depend on the piece alone and are computed by one thread, so that they are the same bytes
whichever process computes them, and whatever was done before.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import time
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

_LOG = logging.getLogger(__name__)
_LOADED_TOGETHER = 64  # pictures that a process hands over at a time; more would fill shared memory
_SAY_EVERY_S = 10.0


@dataclass(frozen=True)
class Pictures:
    """The pictures in some row groups of a file of views."""

    path: Path
    sha256: str
    """Of the file."""
    groups: tuple[int, ...]
    count: int

    @property
    def label(self) -> str:
        """Readable, and unlike that of any other piece of the job."""
        return f"{self.path.stem}-images-{self.groups[0]:05d}"

    @property
    def content(self) -> Any:
        """What the features depend on."""
        return ["images", self.sha256, self.groups]

    def batches(self, size: int) -> Iterator[list[tuple[str, bytes]]]:
        """View ids and JPEGs, so many at a time."""
        file = storage.open_parquet(self.path)
        tables = (file.read_row_group(group, ["view_id", "image"]) for group in self.groups)
        rows = (row for table in tables for row in table.to_pylist() if row["image"] is not None)
        while batch := [(row["view_id"], row["image"]["bytes"]) for row in itertools.islice(rows, size)]:
            yield batch

    def prepare(self, clip: Clip, batch: list[tuple[str, bytes]]) -> _Prepared:
        """A batch, decoded and resized."""
        pixels = []
        for view_id, jpeg in batch:
            try:
                pixels.append(clip.prepared(Image.fromarray(simplejpeg.decode_jpeg(jpeg, "RGB", strict=True))))
            except ValueError as error:
                fault = f"the picture of {view_id} in {self.path} is damaged ({error}): delete the file and run again"
                return _Prepared(torch.empty(0), torch.empty(0), fault)
        return _Prepared(torch.stack(pixels), torch.zeros(len(batch), dtype=torch.bool))

    def features(self, clip: Clip, inputs: Tensor) -> Tensor:
        """Features of prepared pictures."""
        return clip.embed_images(inputs)


@dataclass(frozen=True)
class Texts:
    """Some of the different texts of a job."""

    number: int
    texts: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.texts)

    @property
    def label(self) -> str:
        """Readable, and unlike that of any other piece of the job."""
        return f"texts-{self.number:05d}"

    @property
    def content(self) -> Any:
        """What the features depend on."""
        return ["texts", self.texts]

    def batches(self, size: int) -> Iterator[list[str]]:
        """So many texts at a time."""
        for start in range(0, self.count, size):
            yield list(self.texts[start : start + size])

    def prepare(self, clip: Clip, batch: list[str]) -> _Prepared:
        """A batch as tokens."""
        tokens = clip.tokenize(batch)
        return _Prepared(tokens, clip.cut(batch, tokens))

    def features(self, clip: Clip, inputs: Tensor) -> Tensor:
        """Features of tokens."""
        return clip.embed_tokens(inputs)


Piece = Pictures | Texts


@dataclass(frozen=True)
class _Prepared:
    """Input of the model, and which of it was cut; or what is wrong with it."""

    inputs: Tensor
    cut: Tensor
    fault: str | None = None


class Cache:
    """Features of finished pieces: a file each, named after all that they depend on."""

    def __init__(self, folder: Path, weights: str) -> None:
        """`weights` is the digest of the CLIP."""
        self._folder = folder
        self._weights = [weights, schemas.STAGE_VERSIONS["embeddings"]]

    def path(self, piece: Piece) -> Path:
        """The file of a piece, whether it is there or not."""
        digest = hashlib.sha256(json.dumps([self._weights, piece.content]).encode()).hexdigest()
        return self._folder / f"{piece.label}-{digest[:32]}.npy"

    def write(self, piece: Piece, features: NDArray[np.float16], cut: NDArray[np.bool_]) -> None:
        """Keep a finished piece."""
        rows = np.empty(len(features), [("feature", np.float16, features.shape[1:]), ("cut", np.bool_)])
        rows["feature"], rows["cut"] = features, cut
        with storage.replacing(self.path(piece)) as temporary, temporary.open("wb") as file:
            np.save(file, rows)

    def read(self, piece: Piece) -> NDArray[Any]:
        """A finished piece, mapped from its file: rows of `feature` and `cut`."""
        rows = np.load(self.path(piece), mmap_mode="r")
        assert len(rows) == piece.count
        return rows

    def forget_all_but(self, pieces: Iterable[Piece]) -> None:
        """Delete what other runs, of other input or weights, left behind."""
        wanted = {self.path(piece) for piece in pieces}
        for path in self._folder.glob("*"):
            if path not in wanted:
                path.unlink()


def sha256_of_files(paths: Sequence[Path], threads: int) -> list[str]:
    """The hash of each file.

    Raises:
        UserError: one is not there.
    """

    def sha256(path: Path) -> str:
        with storage.existing(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(max(1, threads)) as pool:
        return list(pool.map(sha256, paths))


def embed_pieces(clip: Clip, pieces: Sequence[Piece], cache: Cache, batch_size: int, workers: int = 1) -> None:
    """Embed pieces and keep them in the cache.

    Raises:
        UserError: a picture is damaged, a feature is not finite, or a process died.
    """
    if clip.device.type == "cpu":
        torch.set_num_threads(1)  # with more, features would depend on how many there are
    progress = _Progress(sum(piece.count for piece in pieces))
    if clip.device.type != "cpu" or workers <= 1 or len(pieces) <= 1:
        loaders = 0 if clip.device.type == "cpu" else workers
        for piece in embed_in_turn(clip, pieces, cache, batch_size, loaders):
            progress.step(piece)
        return
    # Forked processes share the weights; they inherit no thread, since none was started.
    job = (clip, cache, batch_size)
    with ProcessPoolExecutor(min(workers, len(pieces)), get_context("fork"), _start_worker, job) as pool:
        try:
            for piece in pool.map(_embed_one, pieces):
                progress.step(piece)
        except BrokenProcessPool:
            raise UserError("a worker died, perhaps for lack of memory: run again with fewer --workers") from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def embed_in_turn(clip: Clip, pieces: Sequence[Piece], cache: Cache, batch_size: int, loaders: int) -> Iterator[Piece]:
    """Embed pieces and keep each in the cache before it is yielded; `loaders` processes prepare input ahead."""
    together = min(batch_size, _LOADED_TOGETHER)
    ahead = {"prefetch_factor": 4} if loaders else {}
    loader = DataLoader(
        _Preparation(clip, pieces),
        batch_size=None,
        sampler=_Batches(pieces, together),
        num_workers=loaders,
        pin_memory=clip.device.type == "cuda",
        collate_fn=_as_it_is,
        **ahead,
    )
    for number, batches in itertools.groupby(loader, key=lambda loaded: loaded[0]):
        piece = pieces[number]
        features, cut = _embedded(clip, piece, (batch[1:] for batch in batches), max(1, batch_size // together))
        cache.write(piece, features, cut)
        yield piece


def _embedded(clip: Clip, piece: Piece, batches: Iterator[tuple], joined: int) -> tuple[NDArray, NDArray]:
    """Features of a piece, `joined` of its loaded batches at a time, and what of it was cut."""
    features, cuts = [], []
    while loaded := list(itertools.islice(batches, joined)):
        inputs, cut, faults = zip(*loaded, strict=True)
        if any(faults):
            raise UserError(next(filter(None, faults)))
        on_device = torch.cat([batch.to(clip.device, non_blocking=True) for batch in inputs])
        features.append(piece.features(clip, on_device).half())
        cuts.extend(cut)
    rows = torch.cat(features).cpu()
    if not rows.isfinite().all():
        raise UserError(
            f"{clip.name} gives features of {piece.label} that are not finite in float16: check its weights"
        )
    return rows.numpy(), torch.cat(cuts).numpy()


class _Batches:
    """What is to be loaded, as pairs of the piece's number and a batch."""

    def __init__(self, pieces: Sequence[Piece], size: int) -> None:
        self._pieces, self._size = pieces, size

    def __iter__(self) -> Iterator[tuple[int, list]]:
        for number, piece in enumerate(self._pieces):
            for batch in piece.batches(self._size):
                yield number, batch


class _Preparation(Dataset):
    """Turns what `_Batches` names into the model's input, maybe in another process, which tells no error whole."""

    def __init__(self, clip: Clip, pieces: Sequence[Piece]) -> None:
        self._clip, self._pieces = clip, pieces

    def __getitem__(self, named: tuple[int, list]) -> tuple[int, Tensor, Tensor, str | None]:
        number, batch = named
        prepared = self._pieces[number].prepare(self._clip, batch)
        return number, prepared.inputs, prepared.cut, prepared.fault


class _Progress:
    """Says now and then how far the work is."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._start = self._said = time.monotonic()

    def step(self, piece: Piece) -> None:
        """A piece is done."""
        self._done += piece.count
        now = time.monotonic()
        if now - self._said >= _SAY_EVERY_S or self._done == self._total:
            self._said = now
            per_s = self._done / max(now - self._start, 1e-9)
            _LOG.info("%d of %d pictures and captions, %.1f per second", self._done, self._total, per_s)


_worker: tuple[Clip, Cache, int]


def _start_worker(clip: Clip, cache: Cache, batch_size: int) -> None:
    global _worker
    _worker = (clip, cache, batch_size)
    torch.set_num_threads(1)


def _embed_one(piece: Piece) -> Piece:
    clip, cache, batch_size = _worker
    (done,) = embed_in_turn(clip, [piece], cache, batch_size, 0)
    return done


def _as_it_is(loaded: Any) -> Any:
    return loaded
