"""What the drawings made with matplotlib share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from blendclip import storage
from blendclip.reporting.inspection.style import WIDTH_PX

_DPI = 100
_TITLE_CHARACTERS = 115  # longer titles get smaller letters
_FOOTPRINT = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1), (1, 1)]) / 2


@contextmanager
def figure(path: Path, height_px: int, title: str) -> Iterator[Figure]:
    """A figure `WIDTH_PX` wide with a title, written to `path` as PNG at the end."""
    with matplotlib.rc_context({"text.parse_math": False}):  # names may hold a $
        drawn = Figure(figsize=(WIDTH_PX / _DPI, height_px / _DPI), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(drawn)
        letters = 14 * min(1.0, _TITLE_CHARACTERS / len(title))
        drawn.suptitle(title, x=0.01, y=1 - 12 / height_px, ha="left", va="top", fontsize=letters)
        yield drawn
        with storage.replacing(path) as temporary:
            drawn.savefig(temporary, format="png", metadata={"Software": None})


def footprint(length_m: float, width_m: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A box from above, in box frame and metres: its outline, a closed ring (5, 2), and a line (2, 2) to its front."""
    return _FOOTPRINT * (length_m, width_m), np.array([(0.0, 0.0), (length_m / 2, 0.0)])


def show_square(axes: Axes, center_m: NDArray[np.float64], half_m: float) -> None:
    """Limit axes to the square `half_m` around a centre (2,), with equal scales and a light grid."""
    axes.set_xlim(center_m[0] - half_m, center_m[0] + half_m)
    axes.set_ylim(center_m[1] - half_m, center_m[1] + half_m)
    axes.set_aspect("equal")
    axes.grid(color="0.6", linewidth=0.4, alpha=0.6)
