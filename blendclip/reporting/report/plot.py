"""What the figures of the report have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from blendclip.reporting.report.evaluations import Interval
from blendclip.storage import replacing

WIDTH_IN = 8.6
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7a5195", "#666666")
_STYLE = {
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
}


@dataclass(frozen=True)
class Figure:
    """A figure of the page: `figures/{name}.svg` and `.png`, and what the page says of it."""

    name: str
    title: str
    alt: str
    caption: str
    sources: tuple[Path, ...]
    commands: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()  # names of the tables that hold its numbers


@contextmanager
def drawing(folder: Path, name: str, height_in: float, width_in: float = WIDTH_IN) -> Iterator[Canvas]:
    """A canvas in the report's style, written as `{name}.svg` and `{name}.png` at the end, the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE, "backend": "agg"}):
        canvas = Canvas(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasAgg(canvas)
        yield canvas
        with replacing(folder / f"{name}.svg") as temporary:
            canvas.savefig(temporary, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        with replacing(folder / f"{name}.png") as temporary:
            canvas.savefig(temporary, format="png", dpi=150, facecolor="white", metadata={"Software": None})


def colors_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, by its place."""
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(names)}


def percent(values: Sequence[Interval]) -> tuple[np.ndarray, np.ndarray]:
    """Values (N,) in percent, and how far their intervals reach below and above (2, N)."""
    numbers = 100 * np.array([(one.value, one.low, one.high) for one in values], np.float64).reshape(-1, 3)
    value, low, high = numbers.T
    return value, np.nan_to_num(np.maximum([value - low, high - value], 0))


def percent_axis(axes: Axes, *, label: str = "top-1, %") -> None:
    """Let y be percent, 0 to 100."""
    axes.set(ylim=(0, 102), ylabel=label, yticks=range(0, 101, 20))


def legend_above(canvas: Canvas, axes: Axes) -> None:
    """One legend for all axes, over them; none where there is one thing only."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        canvas.legend(handles, labels, loc="outside upper left", ncols=min(len(labels), 5))
