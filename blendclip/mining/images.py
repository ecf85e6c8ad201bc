"""Camera image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from blendclip.errors import DataFault
from blendclip.mining import rules
from blendclip.mining.scene import Readings


class ImageReader:
    """Reads the images of a scene into one buffer: fresh memory for each would cost a tenth of its decoding."""

    def __init__(self, root: Path, images: Readings) -> None:
        self._root, self._images = root, images
        self._buffer = np.empty(3 * int(images.size_wh_px.prod(axis=1).max(initial=0)), np.uint8)

    def read(self, image: int) -> NDArray[np.uint8]:
        """The pixels (H, W, 3) of an image, valid until the next one is read.

        Raises:
            DataFault: the file is missing, broken or of another size than the index says, or where it looks is unknown.
        """
        if not self._images.usable[image]:
            raise DataFault(self._images.fault(image))
        data = self._bytes(image)
        size_px, expected_px = _size_px(data), tuple(self._images.size_wh_px[image].tolist())
        if size_px != expected_px:
            raise DataFault(rules.WRONG_SIZE.format(size_px=size_px, expected_px=expected_px))
        try:
            pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, strict=True, buffer=self._buffer)
        except ValueError as error:
            raise DataFault(rules.NO_JPEG.format(error=error)) from None
        return pixels

    def _bytes(self, image: int) -> bytes:
        try:
            return (self._root / str(self._images.path[image])).read_bytes()
        except FileNotFoundError:
            raise DataFault(rules.NO_FILE) from None
        except OSError as error:
            raise DataFault(rules.UNREADABLE.format(error=error.strerror)) from None


def _size_px(data: bytes) -> tuple[int, int]:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=True)
    except ValueError as error:
        raise DataFault(rules.NO_JPEG.format(error=error)) from None
    return width, height
