"""Camera image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blendclip.errors import DataFault
from blendclip.mining import rules
from blendclip.mining.decoding import open_image
from blendclip.mining.scene import Readings
from blendclip.mining.undistortion import Undistortion
from blendclip.plain_files import check_plain


class ImageReader:
    """Reads the images of a scene into one buffer: fresh memory for each would cost a tenth of its decoding."""

    def __init__(self, root: Path, images: Readings) -> None:
        self._root, self._images = root, images
        self._buffer = np.empty(0, np.uint8)
        self._lenses: dict[bytes, Undistortion] = {}

    def read(self, image: int) -> NDArray[np.uint8]:
        """The pixels (H, W, 3) of an image as a pinhole camera would have them, valid until the next one is read.

        Raises:
            DataFault: the file is missing, broken or of another size than the index says, or where it looks is unknown.
        """
        if image in self._images.faults:
            raise DataFault(self._images.faults[image])
        encoded = open_image(self._bytes(image))
        expected_px = tuple(self._images.size_wh_px[image].tolist())
        if encoded.size_wh_px != expected_px:
            raise DataFault(rules.WRONG_SIZE.format(size_px=encoded.size_wh_px, expected_px=expected_px))
        if len(self._buffer) < 3 * expected_px[0] * expected_px[1]:
            self._buffer = np.empty(3 * expected_px[0] * expected_px[1], np.uint8)
        pixels = encoded.pixels(self._buffer)
        return self._undistortion(image)(pixels) if self._images.distortion[image].any() else pixels

    def _undistortion(self, image: int) -> Undistortion:
        """That of the image's camera, made once."""
        images = self._images
        intrinsic, coefficients, size_wh_px = (
            column[image] for column in (images.intrinsic, images.distortion, images.size_wh_px)
        )
        key = b"".join(column.tobytes() for column in (intrinsic, coefficients, size_wh_px))
        if key not in self._lenses:
            self._lenses[key] = Undistortion(intrinsic, coefficients, size_wh_px)
        return self._lenses[key]

    def _bytes(self, image: int) -> bytes:
        path = self._root / str(self._images.path[image])
        try:
            check_plain(path)
            return path.read_bytes()
        except FileNotFoundError:
            raise DataFault(rules.NO_FILE) from None
        except OSError as error:
            raise DataFault(rules.UNREADABLE.format(error=error.strerror)) from None
