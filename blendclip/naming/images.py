"""Images as users hand them over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from blendclip.errors import UserError
from blendclip.plain_files import check_plain


def as_image(given: Any, number: int) -> Image.Image:
    """The image at a path, in an array (height, width, 3) of uint8, RGB, or as PIL has it.

    Args:
        given: what a user gave.
        number: its place among others, for messages.

    Raises:
        UserError: it is no image, or its file is missing or broken.
    """
    if isinstance(given, Image.Image):
        return given.convert("RGB")
    if isinstance(given, str | Path):
        return _read(Path(given))
    array = np.asarray(given)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise UserError(
            f"image {number} has shape {array.shape} and type {array.dtype}: give (height, width, 3) of uint8, RGB"
        )
    return Image.fromarray(array)


def _read(path: Path) -> Image.Image:
    try:
        check_plain(path)
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise UserError(f"there is no image {path}: check its path") from None
    except (UnidentifiedImageError, OSError) as error:
        raise UserError(f"{path} is no readable image ({error}): write it again") from None
