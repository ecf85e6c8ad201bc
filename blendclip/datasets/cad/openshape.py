"""Format `openshape`: the shapes that OpenShape released, of Objaverse, ShapeNet, ABO and 3D-FUTURE.

A shape is one .npy file that holds a pickled dict; a split is a JSON list of them. Images are not part of it, their
CLIP features are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from blendclip.datasets.cad import rules
from blendclip.datasets.cad.objects import (
    BrokenObjectError,
    CadObject,
    CadView,
    Feature,
    box_R_source,
    boxed,
    checked_text,
    parsing,
)
from blendclip.datasets.cad.options import OpenShapeOptions
from blendclip.datasets.cad.pickles import UnsafePickleError, load_plain
from blendclip.errors import UserError

_SPLITS = ("meta_data/split", "split", ".", "meta_data/split/ablation", "split/ablation")
_CAPTIONS = ("blip_caption", "msft_caption", "text", "retrieval_text")  # the first that there is captions the shape
_NOISY_TEXT = ("Objaverse",)  # whose `text` is what an uploader typed


@dataclass(frozen=True)
class OpenShapeEntry:
    """A line of a split."""

    id: str
    """dataset/uid of the shape."""
    category: str | None
    """None: lists of the release name no category."""
    path: str
    """Of the shape's file, relative to the release's folder."""
    source: str
    """Dataset that the shape is from, such as Objaverse."""


class OpenShape:
    """Reads the folder that the release was unpacked into."""

    def __init__(self, root: Path, options: OpenShapeOptions) -> None:
        """Open the folder `root`.

        Raises:
            UserError: options name axes that are none.
        """
        self._root, self._box_R_shape = root, box_R_source(options.up, options.front)

    def entries(self, split: str) -> Sequence[OpenShapeEntry]:
        """The shapes of a split such as train_all or train_no_lvis, in the order of its list.

        Raises:
            UserError: there is no such list, or it is none.
        """
        candidates = [self._root / folder / f"{split}.json" for folder in _SPLITS]
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            raise UserError(f"there is no {candidates[0]}: unpack meta_data.zip there, or name a split that it holds")
        try:
            return [self._entry(shape) for shape in json.loads(path.read_text())]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is no list of id, dataset and data_path ({error!r}): unpack it again") from None

    def _entry(self, shape: Mapping[str, Any]) -> OpenShapeEntry:
        source = shape["dataset"]
        return OpenShapeEntry(f"{source}/{shape['id']}", None, path_below(shape["data_path"], source), source)

    def prepare(self, entries: Sequence[OpenShapeEntry]) -> None:
        """Nothing to prepare."""

    def read(self, entry: OpenShapeEntry) -> CadObject:
        """The object of an entry.

        Raises:
            BrokenObjectError: its file is missing or broken, or nothing says what it is.
        """
        shape = read_shape(self._root / entry.path)
        with parsing(rules.BAD_SHAPE, rules.NO_SHAPE):
            points_m, size_lwh_m = boxed(shape["xyz"], self._box_R_shape)
            rgb = _rgb(shape.get("rgb"), len(points_m))
            features = tuple(_features(shape))
            source, caption = _caption(shape, entry.source)
        views = tuple(CadView(name) for name in dict.fromkeys(feature.view for feature in features if feature.view))
        if not views:
            raise BrokenObjectError(rules.NO_VIEW, rules.NO_VIEW.reason())
        return CadObject(points_m, rgb, views, caption, f"openshape/{source}", size_lwh_m, features)


def read_shape(path: Path) -> dict[str, Any]:
    """The dict in a .npy file, without running code that the file may hold.

    Raises:
        BrokenObjectError: it is missing or broken, or holds something else.
    """
    objects = read_objects(path)
    shape = objects.item() if objects.size == 1 else objects
    if not isinstance(shape, dict):
        raise BrokenObjectError(rules.BAD_SHAPE, rules.NO_DICT.format(kind=type(shape).__name__))
    return shape


def read_objects(path: Path) -> NDArray[np.object_]:
    """The array of objects in a .npy file, of any shape, without running code that the file may hold.

    Raises:
        BrokenObjectError: it is missing or broken, or holds something else.
    """
    if not path.is_file():
        raise BrokenObjectError(rules.MISSING_SHAPE, rules.MISSING_SHAPE.reason())
    with parsing(rules.UNREADABLE_SHAPE, rules.UNREADABLE_SHAPE.sentences[0]):
        try:
            with path.open("rb") as file:
                return _unpickled(file)
        except UnsafePickleError as error:
            raise BrokenObjectError(rules.UNSAFE_SHAPE, rules.UNSAFE_SHAPE.reason(error=error)) from None


def _unpickled(file: BinaryIO) -> NDArray[np.object_]:
    version = npy.read_magic(file)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    _, _, dtype = read_header(file)
    if not dtype.hasobject:
        raise ValueError(f"it holds {dtype}, not pickled objects")
    return np.asarray(load_plain(file), object)


def path_below(data_path: str, source: str) -> str:
    """A list's path, which begins with a folder of its makers, from the folder of its dataset on."""
    parts = PurePosixPath(data_path).parts
    found = [index for index, part in enumerate(parts) if part == source]
    return str(PurePosixPath(*parts[found[-1] :])) if found else data_path.lstrip("/")


def _rgb(rgb: Any, count: int) -> NDArray[np.uint8] | None:
    """Colours 0-255 (N, 3) of colours 0-1."""
    if rgb is None:
        return None
    rgb = np.asarray(rgb, np.float64)
    if rgb.shape != (count, 3) or not np.isfinite(rgb).all():
        raise BrokenObjectError(rules.BAD_COLORS, rules.COLORS_MISSHAPEN.format(shape=rgb.shape, count=count))
    if rgb.min() < 0 or rgb.max() > 1:
        raise BrokenObjectError(rules.BAD_COLORS, rules.COLORS_NOT_0_1.format(low=rgb.min(), high=rgb.max()))
    return (255 * rgb).round().astype(np.uint8)


def _features(shape: Mapping[str, Any]) -> list[Feature]:
    """Every CLIP feature of a shape."""
    features = []
    images = shape.get("image_feat")
    for number, vector in enumerate(np.zeros((0, 1)) if images is None else np.atleast_2d(images)):
        features.append(Feature("image", "view", _vector(vector), f"view_{number:02d}"))
    if shape.get("thumbnail_feat") is not None:
        features.append(Feature("image", "thumbnail", _vector(shape["thumbnail_feat"]), "thumbnail"))
    for source in _CAPTIONS:
        for text, vector in _pairs(shape.get(source), shape.get(f"{source}_feat")):
            half = _vector(vector.get("prompt_avg", vector.get("original")))
            features.append(Feature("text", source, half, text=checked_text(text, source)))
    return features


def _pairs(texts: Any, vectors: Any) -> list[tuple[Any, Any]]:
    """Texts with their features, each one or a list, without empty ones."""
    first, second = (value if isinstance(value, list) else [value] for value in (texts, vectors))
    if len(first) != len(second):  # those of empty texts are left out
        first, second = _listed(first), _listed(second)
    return [pair for pair in zip(first, second, strict=False) if not any(map(_is_empty, pair))]


def _listed(value: Any) -> list[Any]:
    """A text or dict, or a list of them, as a list without empty ones."""
    return [item for item in (value if isinstance(value, list) else [value]) if not _is_empty(item)]


def _is_empty(item: Any) -> bool:
    return item is None or (isinstance(item, str) and not item.strip())


def _vector(value: Any) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):  # what is too large for a half becomes inf
        vector = np.asarray(value, np.float32).reshape(-1).astype(np.float16)
    if not np.isfinite(vector).all():
        raise BrokenObjectError(rules.BAD_FEATURE, rules.BAD_FEATURE.reason())
    return vector


def _caption(shape: Mapping[str, Any], source: str) -> tuple[str, str]:
    """Which text describes a shape, and the text: its metadata where they are clean, else what a captioner saw."""
    order = _CAPTIONS if source in _NOISY_TEXT else ("text", *(name for name in _CAPTIONS if name != "text"))
    for name in order:
        if texts := _listed(shape.get(name)):
            return name, checked_text(texts[0], name).strip()
    raise BrokenObjectError(rules.NO_CAPTION, rules.TEXTS_EMPTY)
