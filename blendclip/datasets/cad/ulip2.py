"""Format `ulip2`: the Objaverse triplets that ULIP-2 released: clouds, renders and captions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import ijson
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from blendclip.datasets.cad import rules
from blendclip.datasets.cad.hdf5 import own_dataset
from blendclip.datasets.cad.objects import (
    BrokenObjectError,
    CadObject,
    CadView,
    box_R_source,
    boxed,
    checked_text,
    parsing,
)
from blendclip.datasets.cad.options import Ulip2Options
from blendclip.errors import UserError

CLOUDS, RENDERS, CAPTIONS = "objaverse_pc_parallel", "rendered_images_split_100", "merged_data.json"
_CLOUD_KEYS = ("point_cloud", "arr_0")  # of the coloured release, and of the first
_RENDER_SUFFIXES = (".hdf5", ".h5")
_JPEG_QUALITY = 92
_MOST_BYTES = 2**28  # of the numbers of a cloud; the released ones have 10,000 points


@dataclass(frozen=True)
class Ulip2Entry:
    """One object."""

    id: str
    """uid of the object in Objaverse."""
    category: str | None
    """None: the release names no category."""
    path: str
    """Of the cloud's file, relative to the release's folder."""


class Ulip2:
    """Reads the folder that the release was unpacked into."""

    def __init__(self, root: Path, options: Ulip2Options) -> None:
        """Open the folder `root`.

        Raises:
            UserError: it lacks a part of the release, or options name axes that are none.
        """
        self._root, self._options = root, options
        self._box_R_object = box_R_source(options.up, options.front)
        self._captions: dict[tuple[str, str], Any] = {}
        for name in (CLOUDS, RENDERS, CAPTIONS):
            if not (root / name).exists():
                raise UserError(f"{root / name} is missing: unpack that part of ULIP-2's Objaverse triplets there")

    def entries(self, split: str) -> Sequence[Ulip2Entry]:
        """The objects in splits/{split}.txt, an id per line, or all of them for train where there is no such list.

        Raises:
            UserError: there is no such split, or no cloud.
        """
        found: dict[str, list[str]] = {}
        for path in sorted((self._root / CLOUDS).rglob("*.npz")):
            uid = path.name.split("_")[0].removesuffix(".npz")
            found.setdefault(uid, []).append(str(path.relative_to(self._root)))
        listed = self._root / "splits" / f"{split}.txt"
        if listed.is_file():
            ids = listed.read_text().split()
        elif split == "train":
            ids = [uid for uid in sorted(found) for _ in found[uid]]
        else:
            raise UserError(f"{listed} is missing: write one with an id per line, or ask for split train, which is all")
        if not ids:
            raise UserError(f"{self._root / CLOUDS} holds no .npz file: unpack the clouds there")
        return [Ulip2Entry(uid, None, found.get(uid, [f"{CLOUDS}/{uid}.npz"])[0]) for uid in ids]

    def prepare(self, entries: Sequence[Ulip2Entry]) -> None:
        """Find the captions of entries: one pass over a JSON of gigabytes, which is never in memory.

        Raises:
            UserError: it is no such JSON.
        """
        wanted = {entry.id for entry in entries}
        for (uid, render), captions in caption_records(self._root / CAPTIONS):
            if uid in wanted and (caption := _first(captions)) is not None:
                self._captions[uid, render] = caption

    def read(self, entry: Ulip2Entry) -> CadObject:
        """The object of an entry.

        Raises:
            BrokenObjectError: its cloud or its renders are missing or broken, or none of them has a caption.
        """
        cloud = read_cloud(self._root / entry.path)
        points_m, size_lwh_m = boxed(cloud[:, :3], self._box_R_object)
        rgb = _rgb(cloud[:, 3:]) if cloud.shape[1] == 6 else None
        views = self._views(entry.id)
        caption = next((view.caption for view in views if view.caption), None)
        if caption is None:
            reason = rules.RENDERS_WITHOUT_CAPTION.format(count=len(views), file=CAPTIONS)
            raise BrokenObjectError(rules.NO_CAPTION, reason)
        captioned_first = sorted(views, key=lambda view: not view.caption)
        return CadObject(points_m, rgb, tuple(captioned_first), caption, "ulip2", size_lwh_m)

    def _views(self, uid: str) -> list[CadView]:
        paths = [self._root / RENDERS / f"{uid}{suffix}" for suffix in _RENDER_SUFFIXES]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            reason = rules.RENDER_MISSING.format(file=f"{RENDERS}/{paths[0].name}")
            raise BrokenObjectError(rules.MISSING_RENDER, reason)
        where = f"{RENDERS}/{path.name}"
        with parsing(rules.BROKEN_RENDER, rules.RENDER_UNREADABLE, file=where), h5py.File(path) as file:
            names = sorted(file)
            kept = names[:: max(1, -(-len(names) // self._options.views))]
            views = [self._view(uid, name, rgb_image(own_dataset(file, name)[()])) for name in kept]
        if not views:
            raise BrokenObjectError(rules.MISSING_RENDER, rules.RENDER_EMPTY.format(file=where))
        return views

    def _view(self, uid: str, name: str, image: NDArray[np.uint8]) -> CadView:
        jpeg = simplejpeg.encode_jpeg(image, _JPEG_QUALITY, "RGB", "444")
        stem = PurePosixPath(name).stem
        caption = self._captions.get((uid, stem))
        text = None if caption is None else checked_text(caption, CAPTIONS).strip()
        return CadView(stem, jpeg, (image.shape[1], image.shape[0]), caption=text)


def caption_records(path: Path) -> Iterator[tuple[tuple[str, str], Any]]:
    """Each (object id, name of the render) with its captions, in the order of the file.

    The file maps .../{object}/{render}.png to a list of captions, or to one.

    Raises:
        UserError: it is no such JSON.
    """
    try:
        with path.open("rb") as file:
            for key, captions in ijson.kvitems(file, ""):
                parts = PurePosixPath(key)
                yield (parts.parent.name, parts.stem), captions
    except ijson.JSONError as error:
        raise UserError(f"{path} is no JSON object ({error}): download it again") from None


def read_cloud(path: Path) -> NDArray[np.float64]:
    """Points, and colours where they are given, of a .npz file: (N, 3) or (N, 6).

    Raises:
        BrokenObjectError: it is missing or broken, or holds something else.
    """
    if not path.is_file():
        raise BrokenObjectError(rules.MISSING_CLOUD, rules.MISSING_CLOUD.reason())
    with parsing(rules.UNREADABLE_CLOUD, rules.UNREADABLE_CLOUD.sentences[0]), np.load(path) as arrays:
        key = next((key for key in _CLOUD_KEYS if key in arrays), None)
        cloud = None if key is None else np.asarray(_bounded(arrays, key), np.float64)
    if cloud is None or cloud.ndim != 2 or cloud.shape[1] not in (3, 6):
        shape = "no" if cloud is None else f"a {cloud.shape}"
        raise BrokenObjectError(rules.BAD_CLOUD, rules.ARRAY_MISSHAPEN.format(array=shape))
    return cloud


def _bounded(arrays: Mapping[str, NDArray], key: str) -> NDArray:
    size = arrays.zip.getinfo(f"{key}.npy").file_size  # type: ignore[attr-defined]
    if size > _MOST_BYTES:
        raise ValueError(f"{key} takes {size} bytes; {_MOST_BYTES} are the most")
    return arrays[key]


def rgb_image(array: NDArray) -> NDArray[np.uint8]:
    """A grey, RGB or RGBA image, channels last or first, as RGB (H, W, 3); RGBA over white.

    Raises:
        BrokenObjectError: it is no image.
    """
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.dtype != np.uint8 or array.shape[2] not in (1, 3, 4) or not array.size:
        reason = rules.RENDER_MISSHAPEN.format(shape=array.shape, dtype=array.dtype)
        raise BrokenObjectError(rules.BROKEN_RENDER, reason)
    if array.shape[2] == 4:
        alpha = array[..., 3:] / 255.0
        array = (array[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _rgb(rgb: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours 0-255 (N, 3) of colours 0-1 or 0-255."""
    if not np.isfinite(rgb).all() or rgb.min() < 0 or rgb.max() > 255:
        raise BrokenObjectError(rules.BAD_COLORS, rules.COLORS_NOT_0_255)
    return (rgb * (255 if rgb.max() <= 1 else 1)).round().astype(np.uint8)


def _first(captions: Any) -> Any:
    """The first caption that is not empty, if it is a caption; they are sorted, the best first."""
    texts = captions if isinstance(captions, list) else [captions]
    return next((text for text in texts if text is not None and text != "" and not str(text).isspace()), None)
