"""Format `ulip2`: the Objaverse triplets that ULIP-2 released: clouds, renders and captions."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import h5py
import ijson
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from blendclip.datasets.cad import rules
from blendclip.datasets.cad.objects import BrokenObjectError, CadObject, CadView, box_R_source, boxed
from blendclip.datasets.cad.options import Ulip2Options
from blendclip.errors import UserError

CLOUDS, RENDERS, CAPTIONS = "objaverse_pc_parallel", "rendered_images_split_100", "merged_data.json"
_CLOUD_KEYS = ("point_cloud", "arr_0")  # of the coloured release, and of the first
_RENDER_SUFFIXES = (".hdf5", ".h5")
_JPEG_QUALITY = 92


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
        self._captions: dict[tuple[str, str], str] = {}
        for name in (CLOUDS, RENDERS, CAPTIONS):
            if not (root / name).exists():
                raise UserError(f"{root / name} is missing: unpack that part of ULIP-2's Objaverse triplets there")

    def entries(self, split: str) -> Sequence[Ulip2Entry]:
        """The objects in splits/{split}.txt, an id per line, or all of them for train where there is no such list.

        Raises:
            UserError: there is no such split, or no cloud.
        """
        found = {
            path.name.split("_")[0].removesuffix(".npz"): path for path in sorted((self._root / CLOUDS).rglob("*.npz"))
        }
        listed = self._root / "splits" / f"{split}.txt"
        if listed.is_file():
            ids = listed.read_text().split()
        elif split == "train":
            ids = sorted(found)
        else:
            raise UserError(f"{listed} is missing: write one with an id per line, or ask for split train, which is all")
        if not ids:
            raise UserError(f"{self._root / CLOUDS} holds no .npz file: unpack the clouds there")
        missing = PurePosixPath(CLOUDS)
        return [
            Ulip2Entry(uid, None, str(found[uid].relative_to(self._root) if uid in found else missing / f"{uid}.npz"))
            for uid in ids
        ]

    def prepare(self, entries: Sequence[Ulip2Entry]) -> None:
        """Find the captions of entries: one pass over a JSON of gigabytes, which is never in memory.

        Raises:
            UserError: it is no such JSON.
        """
        wanted = {entry.id for entry in entries}
        for (uid, render), captions in caption_records(self._root / CAPTIONS):
            if uid in wanted and (caption := _first(captions)):
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
        try:
            with h5py.File(path) as file:
                names = sorted(file)
                kept = names[:: max(1, -(-len(names) // self._options.views))]
                renders = [(name, rgb_image(file[name][()])) for name in kept]
        except (OSError, KeyError, TypeError, AttributeError) as error:
            reason = rules.RENDER_UNREADABLE.format(file=f"{RENDERS}/{path.name}", error=error)
            raise BrokenObjectError(rules.BROKEN_RENDER, reason) from None
        if not renders:
            raise BrokenObjectError(rules.MISSING_RENDER, rules.RENDER_EMPTY.format(file=f"{RENDERS}/{path.name}"))
        return [self._view(uid, name, image) for name, image in renders]

    def _view(self, uid: str, name: str, image: NDArray[np.uint8]) -> CadView:
        jpeg = simplejpeg.encode_jpeg(image, _JPEG_QUALITY, "RGB", "444")
        stem = PurePosixPath(name).stem
        return CadView(stem, jpeg, (image.shape[1], image.shape[0]), caption=self._captions.get((uid, stem)))


def caption_records(path: Path) -> Iterator[tuple[tuple[str, str], list[str] | str]]:
    """Each (object id, name of the render) with its captions, in the order of the file.

    The file maps .../{object}/{render}.png to a list of captions.

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
    try:
        with np.load(path) as arrays:
            key = next((key for key in _CLOUD_KEYS if key in arrays), None)
            cloud = None if key is None else np.asarray(arrays[key], np.float64)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise BrokenObjectError(rules.UNREADABLE_CLOUD, rules.UNREADABLE_CLOUD.reason(error=error)) from None
    if cloud is None or cloud.ndim != 2 or cloud.shape[1] not in (3, 6):
        shape = "no" if cloud is None else f"a {cloud.shape}"
        raise BrokenObjectError(rules.BAD_CLOUD, rules.ARRAY_MISSHAPEN.format(array=shape))
    return cloud


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


def _first(captions: list[str] | str) -> str | None:
    """The first caption that says something; they are sorted, the best first."""
    texts = [captions] if isinstance(captions, str) else captions
    return next((text.strip() for text in texts if text and text.strip()), None)
