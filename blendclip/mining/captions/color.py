"""The name of the colour of what a crop shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE_PX = 32
_GRAY_SATURATION = 0.22  # less is a shade of grey
_DARK_VALUE = 0.22  # less is black, whatever the hue
_BROWN_VALUE = 0.45  # darker orange is brown
_COLORED_SHARE = 0.22  # a hue that fills this much is the object's colour: wheels, windows and road are grey anyway

# Upper ends of the hue ranges, in degrees.
_HUES = ((14, "red"), (42, "orange"), (68, "yellow"), (165, "green"), (258, "blue"), (292, "purple"), (338, "pink"))
_NAMES = ("black", "grey", "white", "brown", *dict.fromkeys(name for _, name in _HUES))


def color_name(crop: Image.Image) -> str:
    """One of black, grey, white, brown, red, orange, yellow, green, blue, purple, pink.

    The middle of the crop is looked at, where the object is. A hue that fills enough of it wins over greys, which
    road, windows and tyres bring into every crop.
    """
    small = np.asarray(crop.convert("RGB").resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX).convert("HSV"))
    y, x = np.mgrid[-1 : 1 : _SIDE_PX * 1j, -1 : 1 : _SIDE_PX * 1j]
    counts = np.bincount(_classify(small[x**2 + y**2 < 0.7]), minlength=len(_NAMES))
    hues = counts.copy()
    hues[:3] = 0
    best = hues if hues.max() >= _COLORED_SHARE * counts.sum() else counts
    return _NAMES[int(best.argmax())]


def _classify(hsv: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Indices (N,) into `_NAMES` of the colours of pixels (N, 3)."""
    hue_deg, saturation, value = hsv[:, 0] * (360 / 255), hsv[:, 1] / 255, hsv[:, 2] / 255
    of_hue = np.array([*(_NAMES.index(name) for _, name in _HUES), _NAMES.index("red")])
    named = of_hue[np.searchsorted([end for end, _ in _HUES], hue_deg)]
    named = np.where((named == _NAMES.index("orange")) & (value < _BROWN_VALUE), _NAMES.index("brown"), named)
    gray = np.where(
        value < 0.3, _NAMES.index("black"), np.where(value < 0.68, _NAMES.index("grey"), _NAMES.index("white"))
    )
    return np.where((saturation < _GRAY_SATURATION) | (value < _DARK_VALUE), gray, named)
