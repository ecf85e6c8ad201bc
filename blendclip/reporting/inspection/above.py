"""A scene from above, north up: the points of all its sweeps, and one keyframe with its boxes.

Letters in names: N points.
"""

from __future__ import annotations

import logging
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from blendclip.errors import DataFault
from blendclip.mining.crop import points_in_frame
from blendclip.mining.motion import EgoMotion
from blendclip.mining.scene import Scene
from blendclip.mining.sweeps import read_sweep_of
from blendclip.reporting.inspection.moment import Moment
from blendclip.reporting.inspection.plot import figure, footprint, show_square
from blendclip.reporting.inspection.style import class_colors, class_names

log = logging.getLogger(__name__)

_HEIGHT_PX = 880
_MAX_SWEEPS = 400  # that are read, spread evenly over the scene
_MAX_POINTS = 2_000_000
_AROUND_EGO_M = 60.0  # shown around the way of the vehicle
_AROUND_KEYFRAME_M = 40.0
_CELLS = 800  # of the height map, per side
_HEIGHTS_M = (-0.5, 4.0)  # above the ground under the vehicle; what is higher would hide the street


def draw_above(moment: Moment, folder: Path) -> list[Path]:
    """Write `above.png`; return its path, or nothing, with a line in the log, without sweeps or ego pose."""
    scene = moment.scene
    points, said = _fused(scene, moment.root)
    known = np.isfinite(scene.global_SE3_ego[moment.keyframe]).all()
    if not len(points) or not known:
        lacking = "no sweep that can be read" if known else f"no valid ego pose at keyframe {moment.keyframe}"
        log.info("%s: there is %s, so there is no picture from above", scene.name, lacking)
        return []
    origin = np.floor(scene.global_SE3_ego[moment.keyframe, :2, 3] / 10) * 10  # UTM would fill the axes with digits
    path = folder / "above.png"
    with figure(path, _HEIGHT_PX, moment.title) as drawn:
        whole, near = drawn.subplots(1, 2, gridspec_kw={"left": 0.05, "right": 0.99, "bottom": 0.12, "top": 0.91})
        _draw_whole(whole, moment, points, origin)
        whole.set_title(f"all of the scene: {said}, colour is height", fontsize=12)
        marks = _draw_keyframe(near, moment, origin)
        drawn.legend(handles=marks, loc="lower center", ncol=14, fontsize=10, facecolor="0.25", labelcolor="white")
        for axes in (whole, near):
            axes.set_xlabel(f"x (east), m from {origin[0]:.0f}")
            axes.set_ylabel(f"y (north), m from {origin[1]:.0f}")
    return [path]


def _fused(scene: Scene, root: Path) -> tuple[NDArray[np.float64], str]:
    """Points (N, 3) of evenly spaced sweeps, x and y in the global frame, z above the ego's ground; and how many."""
    sweeps = np.flatnonzero(scene.sweeps.usable)
    order = sweeps[np.lexsort((scene.sweeps.timestamp_us[sweeps], scene.sweeps.channel[sweeps].astype(str)))]
    chosen = order[:: -(-len(order) // _MAX_SWEEPS) or 1]
    found, most = [np.empty((0, 3))], max(_MAX_POINTS // max(len(chosen), 1), 1)
    ego = EgoMotion(scene)
    for sweep in chosen.tolist():
        try:
            file = read_sweep_of(scene, root, sweep, "per_point")
            motion = ego.of_sensor(sweep, file.timestamp_us)
        except DataFault as fault:
            log.warning("%s: %s", scene.sweeps.path[sweep], fault)
            continue
        stride = -(-len(file.points) // most)
        times_us = None if file.timestamp_us is None else file.timestamp_us[::stride]
        points = points_in_frame(np.ascontiguousarray(file.points[::stride]), times_us, *motion)
        points[:, 2] -= scene.global_SE3_ego[scene.sweeps.keyframe[sweep], 2, 3]
        found.append(points[np.isfinite(points).all(axis=1)])
    points = np.concatenate(found)
    lidars = len(np.unique(scene.sweeps.channel.astype(str)))
    return points, f"{len(found) - 1} of {len(sweeps)} sweeps, {lidars} LiDAR{'s' * (lidars > 1)}"


def _draw_whole(axes: Axes, moment: Moment, points: NDArray[np.float64], origin: NDArray[np.float64]) -> None:
    way = moment.scene.global_SE3_ego[:, :2, 3] - origin
    way = way[np.isfinite(way).all(axis=1)]
    low, high = way.min(axis=0) - _AROUND_EGO_M, way.max(axis=0) + _AROUND_EGO_M
    center, half_m = (low + high) / 2, float((high - low).max()) / 2
    low = center - half_m
    cell = np.floor((points[:, :2] - origin - low) / (2 * half_m) * _CELLS).astype(np.int64)
    shown = ((cell >= 0) & (cell < _CELLS)).all(axis=1) & (points[:, 2] < _HEIGHTS_M[1])
    heights = np.full((_CELLS, _CELLS), -np.inf)
    np.maximum.at(heights, (cell[shown, 1], cell[shown, 0]), points[shown, 2])
    extent = (low[0], low[0] + 2 * half_m, low[1], low[1] + 2 * half_m)
    axes.imshow(
        np.ma.masked_invalid(heights),
        origin="lower",
        extent=extent,
        cmap="viridis",
        interpolation="nearest",
        vmin=_HEIGHTS_M[0],
        vmax=_HEIGHTS_M[1],
    )
    _draw_boxes(axes, moment, origin, line=0.8)
    axes.plot(*way.T, color="red", linewidth=1.5, marker=".", markersize=4)
    _draw_ego(axes, moment, origin, length_m=half_m / 15)
    show_square(axes, center, half_m)
    axes.set_facecolor("0.08")


def _draw_keyframe(axes: Axes, moment: Moment, origin: NDArray[np.float64]) -> list[Line2D]:
    """Draw the points of the keyframe, coloured by LiDAR or, of a single one, by height, and the boxes.

    Returns a mark for each class, for a legend.
    """
    center = moment.scene.global_SE3_ego[moment.keyframe, :2, 3] - origin
    ground_m = moment.scene.global_SE3_ego[moment.keyframe, 2, 3]
    axes.set_facecolor("0.08")
    clouds, marks = moment.points_at(moment.timestamp_us), []
    for number, (channel, points) in enumerate(clouds.items()):
        near = points[(np.abs(points[:, :2] - origin - center) < _AROUND_KEYFRAME_M).all(axis=1)]
        near = near[near[:, 2] < ground_m + _HEIGHTS_M[1]]
        x, y = (near[:, :2] - origin).T
        if len(clouds) > 1:
            color = matplotlib.colormaps["Set2"](number)
            axes.scatter(x, y, s=2.0, c=[color], linewidths=0)
            marks.append(_mark(channel, color))
        else:
            low_m, high_m = _HEIGHTS_M
            axes.scatter(x, y, s=2.0, c=near[:, 2] - ground_m, linewidths=0, vmin=low_m, vmax=high_m, cmap="viridis")
    classes = [_mark(name, color) for name, color in _draw_boxes(axes, moment, origin, line=1.4).items()]
    _draw_ego(axes, moment, origin, length_m=4.0)
    show_square(axes, center, _AROUND_KEYFRAME_M)
    axes.set_title("the keyframe: its sweeps and boxes, a line from centre to front", fontsize=12)
    if marks:
        axes.legend(
            handles=marks, loc="upper left", fontsize=9, facecolor="0.25", labelcolor="white", handletextpad=0.3
        )
    return classes


def _mark(name: str, color: tuple[float, float, float] | tuple[float, float, float, float]) -> Line2D:
    """A square of a legend."""
    return Line2D([], [], color=color, marker="s", linestyle="", label=name)


def _draw_boxes(
    axes: Axes, moment: Moment, origin: NDArray[np.float64], line: float
) -> dict[str, tuple[float, float, float]]:
    """Draw outlines and headings of the keyframe's boxes; return the colour of each class among them."""
    names = class_names(moment.scene.annotations)
    colors = {name: (red / 255, green / 255, blue / 255) for name, (red, green, blue) in class_colors(names).items()}
    global_SE3_box = moment.poses.at(moment.boxes, np.full(len(moment.boxes), moment.timestamp_us))
    for number, box in zip(moment.boxes.tolist(), global_SE3_box, strict=True):
        length_m, width_m, _ = moment.scene.annotations.size_lwh_m[number]
        for part in footprint(length_m, width_m):
            axes.plot(*(part @ box[:2, :2].T + box[:2, 3] - origin).T, color=colors[names[number]], linewidth=line)
    return {name: colors[name] for name in sorted({names[number] for number in moment.boxes.tolist()})}


def _draw_ego(axes: Axes, moment: Moment, origin: NDArray[np.float64], length_m: float) -> None:
    """Draw an arrow at the ego vehicle's position, in the direction of its heading."""
    ego = moment.scene.global_SE3_ego[moment.keyframe]
    tail, head = ego[:2, 3] - origin, ego[:2, 3] - origin + length_m * ego[:2, 0]
    style = {"arrowstyle": "-|>", "color": "red", "linewidth": 2.5, "mutation_scale": 18}
    axes.annotate("", xy=tuple(head), xytext=tuple(tail), arrowprops=style)
