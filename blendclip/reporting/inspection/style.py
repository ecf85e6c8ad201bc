"""Colours and fonts that all drawings share.

Letters in names: N points.
"""

from __future__ import annotations

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from blendclip.mining.scene import Annotations

WIDTH_PX = 1600  # of a drawing
DIM = (150, 150, 150)  # of broken boxes
NO_CLASS = "no class"
_NO_CLASS_COLOR = (190, 200, 220)
_DEPTH_M = (3.0, 80.0)  # colours tell depths in this range apart, equal steps for equal ratios
_CLASS_COLORS = (
    (255, 213, 0), (0, 229, 255), (255, 82, 196), (118, 255, 3), (255, 145, 0), (170, 130, 255),
    (255, 255, 255), (255, 92, 80), (29, 233, 182), (215, 175, 130), (130, 177, 255), (205, 220, 57),
)  # fmt: skip


def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font in a size."""
    return ImageFont.load_default(size_px)


def class_names(annotations: Annotations) -> list[str]:
    """The class of each annotation, or `NO_CLASS` where the dataset's benchmark has none for it."""
    return [name or NO_CLASS for name in annotations.columns["class_name"].to_pylist()]


def class_colors(names: list[str]) -> dict[str, tuple[int, int, int]]:
    """A colour for each of the names, which depends on the set of names alone."""
    classes = sorted(set(names) - {NO_CLASS})
    return {name: _CLASS_COLORS[i % len(_CLASS_COLORS)] for i, name in enumerate(classes)} | {NO_CLASS: _NO_CLASS_COLOR}


def depth_colors(depth_m: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours (N, 3), 0-255, of depths (N,) in metres: near is red, far is blue."""
    low, high = np.log(_DEPTH_M)
    share = np.clip((np.log(np.maximum(depth_m, 1e-3)) - low) / (high - low), 0, 1)
    return matplotlib.colormaps["turbo_r"](0.05 + 0.85 * share, bytes=True)[:, :3]
