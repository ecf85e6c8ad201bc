"""Encoded images to pixels: JPEG by simplejpeg, which notices damage, every other format by Pillow."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from blendclip.errors import DataFault
from blendclip.mining import rules

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_RESTARTS = frozenset(range(0xD0, 0xD8))
_ALONE = frozenset({0x01, _SOI, _EOI, *_RESTARTS})  # segments without a length
_STRAY_BYTES = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_PILLOW_FAILS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)
_SHOWN_BYTES = 8
_READ_AHEAD_BYTES = 8


class EncodedImage(Protocol):
    """An image whose header is read and whose pixels are not."""

    size_wh_px: tuple[int, int]

    def pixels(self, buffer: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pixels (H, W, 3), red, green and blue; they may lie in `buffer` (at least 3 H W,).

        Raises:
            DataFault: they cannot all be decoded.
        """
        ...


def open_image(data: bytes) -> EncodedImage:
    """The image in a file's bytes, in any format that simplejpeg or Pillow reads.

    Raises:
        DataFault: its format is not known, or its header is broken.
    """
    return _Jpeg(data) if data[:2] == bytes([0xFF, _SOI]) else _OtherImage(data)


class _Jpeg:
    """A JPEG. Bytes between its segments that belong to none are passed over, as all decoders do."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        try:
            header = _jpeg_header(data)
        except ValueError as error:
            header = self._header_without_stray_bytes(error)
        height, width, _, _ = header
        self.size_wh_px = (width, height)

    def _header_without_stray_bytes(self, error: ValueError) -> tuple[int, int, str, str]:
        if _STRAY_BYTES.search(str(error)):
            self._data = _without_stray_bytes(self._data)
            try:
                return _jpeg_header(self._data)
            except ValueError as another:
                error = another
        raise _broken("JPEG", error)

    def pixels(self, buffer: NDArray[np.uint8]) -> NDArray[np.uint8]:
        try:
            return _jpeg_pixels(self._data, buffer)
        except ValueError as error:
            return self._pixels_without_stray_bytes(error, buffer)

    def _pixels_without_stray_bytes(self, error: ValueError, buffer: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pixels where nothing is wrong but stray bytes, as `error` says of the first of them.

        Those between two segments are found by the lengths of these. Those behind coded pixels are cut out, before one
        marker after the other, until the rest decodes without a complaint: libjpeg complains but once, of the first.
        """
        data, after = _without_stray_bytes(self._data), 0
        candidates = iter([(data, 0)])
        if len(data) == len(self._data):
            candidates = _with_bytes_cut_out(data, 0, str(error))
        while _STRAY_BYTES.search(str(error)):
            for shorter, at in candidates:
                try:
                    return _jpeg_pixels(shorter, buffer)
                except ValueError as another:
                    if _STRAY_BYTES.search(str(another)):
                        data, after, error = shorter, at, another
                        break
            else:
                break
            candidates = _with_bytes_cut_out(data, after, str(error))
        raise _broken("JPEG", error)


def _jpeg_header(data: bytes) -> tuple[int, int, str, str]:
    """Height, width, color space and subsampling; ValueError where something is wrong."""
    header: tuple[int, int, str, str] = simplejpeg.decode_jpeg_header(data, strict=True)
    return header


def _jpeg_pixels(data: bytes, buffer: NDArray[np.uint8]) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, strict=True, buffer=buffer)
    return pixels


class _Segment(NamedTuple):
    """A marker of a JPEG with what belongs to it, coded pixels excepted."""

    marker: int
    start: int
    end: int
    behind_pixels: bool
    """Whether coded pixels lie before it."""


def _segments(data: bytes) -> Iterator[_Segment]:
    """The segments of a JPEG in order; bytes that belong to none are passed over."""
    at, behind_pixels = 0, False
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        marker = data[at + 1]
        if marker in (0x00, 0xFF):  # a byte of coded pixels, or a filling one
            at += 2 if marker == 0x00 else 1
            continue
        length = 0 if marker in _ALONE else int.from_bytes(data[at + 2 : at + 4], "big")
        yield _Segment(marker, at, at + 2 + length, behind_pixels)
        if marker == _EOI:
            return
        at += 2 + length
        behind_pixels = marker == _SOS or marker in _RESTARTS


def _without_stray_bytes(data: bytes) -> bytes:
    """A JPEG without the bytes between its segments that belong to none, but for those behind coded pixels."""
    kept, end = bytearray(), 0
    for segment in _segments(data):
        kept += data[end if segment.behind_pixels else segment.start : segment.end]
        end = segment.end
    return bytes(kept) + data[end:]


def _with_bytes_cut_out(data: bytes, after: int, complaint: str) -> Iterator[tuple[bytes, int]]:
    """A JPEG without the stray bytes of a complaint, and where they were: before each marker that it may be about.

    libjpeg counts bytes that it has read ahead, up to 7, twice.
    """
    found = _STRAY_BYTES.search(complaint)
    assert found
    count, marker = int(found[1]), int(found[2], 16)
    for segment in _segments(data):
        if segment.marker == marker and segment.behind_pixels and segment.start >= after:
            for cut in range(count, max(0, count - _READ_AHEAD_BYTES), -1):
                yield data[: segment.start - cut] + data[segment.start :], segment.start - cut


class _OtherImage:
    """An image of any format that Pillow reads."""

    def __init__(self, data: bytes) -> None:
        from PIL import Image  # a job whose images are JPEGs needs none of it

        self._format = "image"
        try:
            self._image: Any = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError as error:
            raise _broken("image", error) from None
        except _PILLOW_FAILS as error:
            raise _unidentified(data, error) from None
        self._format, self.size_wh_px = self._image.format or "image", self._image.size

    def pixels(self, buffer: NDArray[np.uint8]) -> NDArray[np.uint8]:
        try:
            self._image.load()
        except _PILLOW_FAILS as error:
            raise _broken(self._format, error) from None
        mode = self._image.mode
        if mode.startswith("I;16"):  # Pillow would cut off what is above 255
            return np.repeat((np.asarray(self._image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
        if mode in ("I", "F"):
            raise DataFault(rules.NO_COLORS.format(format=self._format, mode=mode))
        return np.asarray(self._image.convert("RGB"))


def _broken(format: str, error: Exception) -> DataFault:
    return DataFault(rules.NO_SOUND_IMAGE.format(format=format, error=error))


def _unidentified(data: bytes, error: Exception) -> DataFault:
    """What to say of bytes that Pillow does not open: which format they begin like, or how they begin."""
    from PIL import Image

    Image.init()
    start = data[: 2 * _SHOWN_BYTES]
    for format, (_, accepts) in Image.OPEN.items():
        if start and accepts is not None and accepts(start) is True:
            return _broken(format, ValueError("its header cannot be read"))
    if not data:
        return DataFault(rules.EMPTY_FILE)
    return DataFault(rules.NO_IMAGE_FORMAT.format(start=repr(start[:_SHOWN_BYTES])[2:-1]))
