"""Style, colours and axes that the figures of the report share.

Letters in names: N values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from blendclip.evaluation.bootstrap import Estimate
from blendclip.storage import replacing

WIDTH_IN = 8.6
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7a5195", "#666666")
_STYLE: dict[Any, Any] = {  # of matplotlib's rcParams
    "svg.hashsalt": "blendclip",
    "svg.fonttype": "path",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "text.parse_math": False,  # names may hold a $
}
_MOST_LETTERS = 40  # of a class name beside an axis


@dataclass(frozen=True)
class Figure:
    """A figure of the page, drawn as `figures/{name}.svg` and `.png`."""

    name: str
    title: str
    alt: str
    """Text for those who do not see it."""
    caption: str
    sources: tuple[Path, ...]
    """Files that its numbers come from."""
    commands: tuple[str, ...] = ()
    """Commands that wrote these files."""
    tables: tuple[str, ...] = ()
    """Names of the tables that hold its numbers."""


@contextmanager
def drawing(folder: Path, name: str, height_in: float, width_in: float = WIDTH_IN) -> Iterator[Canvas]:
    """A canvas in the report's style, written as `{name}.svg` and `{name}.png` at the end.

    The same drawing gives the same bytes.

    Args:
        folder: for the files, made if need be.
        name: of the files.
        height_in: height in inches.
        width_in: width in inches.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE, "backend": "agg"}):
        canvas = Canvas(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasAgg(canvas)
        yield canvas
        with replacing(folder / f"{name}.svg") as temporary:
            canvas.savefig(temporary, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        with replacing(folder / f"{name}.png") as temporary:
            canvas.savefig(temporary, format="png", dpi=150, facecolor="white", metadata={"Software": None})


def colors_by_name(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, by its position."""
    return {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(names)}


def percent(values: Sequence[Estimate]) -> tuple[np.ndarray, np.ndarray]:
    """Values (N,) in percent, and how far their intervals reach below and above them (2, N)."""
    numbers = 100 * np.array([(one.value, one.low, one.high) for one in values], np.float64).reshape(-1, 3)
    value, low, high = numbers.T
    return value, np.nan_to_num(np.maximum([value - low, high - value], 0))


def axis_name(name: str) -> str:
    """A name as it stands beside an axis: on one line, and cut short in its middle where it would leave no room."""
    name = " ".join(name.split())
    half = _MOST_LETTERS // 2
    return name if len(name) <= _MOST_LETTERS else f"{name[:half]}…{name[-half + 1 :]}"


def percent_axis(axes: Axes, *, label: str = "top-1, %") -> None:
    """Set the y axis to percent, 0 to 100."""
    axes.set(ylim=(0, 102), ylabel=label, yticks=range(0, 101, 20))


def legend_above(canvas: Canvas, axes: Axes) -> None:
    """Draw one legend for all axes above them; none where it would have one entry."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        canvas.legend(handles, labels, loc="outside upper left", ncols=min(len(labels), 5))
