"""Clouds of moving objects, with and without motion compensation.

Letters in names: N points.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from numpy.typing import NDArray

from blendclip.mining.clouds import scene_clouds
from blendclip.mining.options import CloudOptions, Motion
from blendclip.mining.scene import Scene
from blendclip.mining.scene_rejects import SceneRejects
from blendclip.reporting.inspection.moment import Moment, short_name
from blendclip.reporting.inspection.plot import figure, footprint
from blendclip.reporting.inspection.style import WIDTH_PX

log = logging.getLogger(__name__)

_MIN_SPEED_MPS = 1.0
_MIN_POINTS = 30  # of a cloud that is shown
_MANY_POINTS = 100  # clouds with as many come first
_CANDIDATES = 3  # looked at for each that is shown
_TRAIL_S = 0.5  # how far behind its box a mover is shown
_AHEAD_M = 1.0  # how far before it
_BESIDE_M = 0.4  # how far beside it
_GROUND_M = 0.2  # above the lower face of a box nothing is drawn outside of it: that is street
_HEAD_PX, _TITLE_PX, _TALL_PX, _FOOT_PX = 44, 46, (60, 180), 10
_BAR_SHARE = 0.06  # of the width
_LONGEST_LAG_S = 0.6  # that the colours tell apart

Cloud = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Points (N, 3) in box frame, and the age (N,) of each in seconds."""


def draw_movers(moment: Moment, folder: Path, count: int) -> list[Path]:
    """Write `motion.png` with at most `count` of the fastest objects of the scene; return its path.

    Without a moving object that has enough points nothing is written, as the log says.
    """
    scene = moment.scene
    speed_mps = _speeds(scene)
    chosen = _fastest(scene, speed_mps, _CANDIDATES * count)
    modes = [mode for mode in get_args(Motion) if mode != "per_point" or scene.sweeps.point_times.any()]
    clouds = {mode: _gathered(scene, moment.root, chosen, speed_mps, mode) for mode in modes}
    kept = _worth_showing(scene, chosen, clouds[modes[0]])[:count]
    kept.sort(key=lambda number: -speed_mps[number])
    if not kept:
        least = f"at {_MIN_SPEED_MPS:g} m/s or more with {_MIN_POINTS} points or more"
        log.info("%s: no annotation moves %s, so there is no sheet of motion", scene.name, least)
        return []
    path = folder / "motion.png"
    title = f"{moment.title.split('   keyframe')[0]}   the fastest objects over up to 10 sweeps, colour is age"
    row_px = [_row_px(scene, number, speed_mps[number], len(modes) + 1) for number in kept]
    height_px = _HEAD_PX + sum(row_px) + _FOOT_PX
    with figure(path, height_px, title) as drawn:
        lower = height_px - _HEAD_PX
        for number, tall_px in zip(kept, row_px, strict=True):
            lower -= tall_px
            for column, mode in enumerate([*modes, modes[0]]):
                wide, tall = (1 - _BAR_SHARE) / (len(modes) + 1), (tall_px - _TITLE_PX) / height_px
                axes = drawn.add_axes((column * wide + 0.004, lower / height_px, wide - 0.008, tall))
                cloud, side = clouds[mode].get(number), column == len(modes)
                dots = _draw(axes, scene, number, cloud, speed_mps[number], side=side)
                said = "from its right side" if side else f"{_inside(scene, number, cloud).sum()} points in the box"
                who = "" if column else _caption(scene, number, speed_mps[number]) + "\n"
                axes.set_title(f"{who}{mode}: {said}", fontsize=10, pad=3)
        bar = drawn.add_axes((1 - _BAR_SHARE + 0.008, 0.1, 0.008, 0.75))
        drawn.colorbar(dots, cax=bar).set_label("seconds before the keyframe", fontsize=10)
    return [path]


def _row_px(scene: Scene, number: int, speed_mps: float, columns: int) -> int:
    """Height of the row of a mover that fills the width of its column."""
    low, high = _window_m(scene, number, speed_mps, side=False)
    tall_m = max(high[1] - low[1], scene.annotations.size_lwh_m[number, 2] + 2 * _BESIDE_M)
    per_m = WIDTH_PX * (1 - _BAR_SHARE) / columns / (high[0] - low[0])
    return _TITLE_PX + int(np.clip(per_m * tall_m, *_TALL_PX))


def _window_m(
    scene: Scene, number: int, speed_mps: float, *, side: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper corner (2,), in box frame, of what is shown of a mover: its box, and its trail behind."""
    half = scene.annotations.size_lwh_m[number][[0, 2 if side else 1]] / 2
    trail_m = _reach_m(speed_mps)[0]
    return -half - (trail_m, _BESIDE_M), half + (min(trail_m, _AHEAD_M), _BESIDE_M)


def _speeds(scene: Scene) -> NDArray[np.float64]:
    """Speeds of all annotations in metres per second, NaN where unknown."""
    velocities = scene.annotations.columns["velocity_mps"].to_pylist()
    return np.array([np.nan if v is None else np.linalg.norm(v) for v in velocities], np.float64)


def _fastest(scene: Scene, speed_mps: NDArray[np.float64], count: int) -> list[int]:
    """The fastest tracks, each by that annotation at nearly its highest speed that has the most points."""
    annotations = scene.annotations
    points = np.nan_to_num(annotations.num_lidar_pts, nan=np.inf)  # unknown is not few
    valid = np.isin(np.arange(len(annotations)), annotations.valid)
    best = []
    for track in np.unique(annotations.track):
        own = np.flatnonzero((annotations.track == track) & valid & (speed_mps >= _MIN_SPEED_MPS))
        if len(own):
            fast = own[speed_mps[own] >= 0.8 * speed_mps[own].max()]
            late = fast[annotations.keyframe[fast] > 0] if (annotations.keyframe[fast] > 0).any() else fast
            best.append(int(late[points[late].argmax()]))  # the window of keyframe 0 is short
    worth = [number for number in best if points[number] >= 5]
    return sorted(worth, key=lambda number: -speed_mps[number])[:count]


def _worth_showing(scene: Scene, numbers: list[int], clouds: dict[int, Cloud]) -> list[int]:
    """Annotations with enough points in the box: first those with many, both in the order given."""
    points = {number: _inside(scene, number, clouds.get(number)).sum() for number in numbers}
    enough = [number for number in numbers if points[number] >= _MIN_POINTS]
    return sorted(enough, key=lambda number: points[number] < _MANY_POINTS)


def _reach_m(speed_mps: float) -> NDArray[np.float64]:
    """(3,) metres around the box (lengthwise, beside, above) in which a mover's points are gathered."""
    return np.array([max(_TRAIL_S * speed_mps, 0.5), _BESIDE_M, 0.0])


def _gathered(
    scene: Scene, root: Path, numbers: list[int], speed_mps: NDArray[np.float64], mode: Motion
) -> dict[int, Cloud]:
    """Clouds of some annotations, with points around their boxes."""
    sizes = scene.annotations.size_lwh_m.copy()
    for number in numbers:
        sizes[number] += 2 * _reach_m(speed_mps[number])
    wide = replace(scene, annotations=replace(scene.annotations, size_lwh_m=sizes))
    table = scene_clouds(
        wide, root, CloudOptions(motion=mode), SceneRejects("clouds"), np.sort(np.array(numbers, np.int64))
    )
    of_token = {token: number for number, token in enumerate(scene.annotations.token.tolist())}
    found = {}
    for row in table.select(["annotation_token", "points", "time_lag_s"]).to_pylist():
        number = of_token[row["annotation_token"]]
        cloud = (np.array(row["points"], np.float32), np.array(row["time_lag_s"], np.float32))
        street = cloud[0][:, 2] < _GROUND_M - scene.annotations.size_lwh_m[number, 2] / 2
        shown = ~street | _inside(scene, number, cloud)
        found[number] = (cloud[0][shown], cloud[1][shown])
    return found


def _inside(scene: Scene, number: int, cloud: Cloud | None) -> NDArray[np.bool_]:
    """(N,) which points of a cloud are in the annotated box."""
    if cloud is None:
        return np.empty(0, bool)
    return (np.abs(cloud[0]) <= scene.annotations.size_lwh_m[number] / 2).all(axis=1)


def _draw(
    axes: Axes, scene: Scene, number: int, cloud: Cloud | None, speed_mps: float, *, side: bool
) -> PathCollection:
    """Draw a cloud and its box from above, or from its right side; return the dots."""
    points, lag_s = cloud or (np.empty((0, 3), np.float32), np.empty(0, np.float32))
    newest_last = np.argsort(-lag_s)
    x, y = points[newest_last, 0], points[newest_last, 2 if side else 1]
    dots = axes.scatter(x, y, s=4.0, c=lag_s[newest_last], cmap="plasma", vmin=0, vmax=_LONGEST_LAG_S, linewidths=0)
    length_m, width_m, height_m = scene.annotations.size_lwh_m[number]
    sides, heading = footprint(length_m, height_m if side else width_m)
    axes.plot(*sides.T, color="black", linewidth=1.2)
    if not side:
        axes.plot(*heading.T, color="black", linewidth=1.2)
    low, high = _window_m(scene, number, speed_mps, side=side)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xticks=[], yticks=[], anchor="N")
    return dots


def _caption(scene: Scene, number: int, speed_mps: float) -> str:
    annotations = scene.annotations
    who = f"{short_name(annotations.category[number])}   {speed_mps:.1f} m/s"
    return f"{who}   {annotations.distance_m[number]:.0f} m away   keyframe {annotations.keyframe[number]}"
