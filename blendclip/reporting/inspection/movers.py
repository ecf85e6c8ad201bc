"""Clouds of what moves, with and without compensation of motion."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from blendclip.mining.clouds import CloudOptions, scene_clouds
from blendclip.mining.motion import Motion
from blendclip.mining.rejects import Rejects
from blendclip.mining.scene import Scene
from blendclip.reporting.inspection.moment import Moment, short_name
from blendclip.reporting.inspection.plot import figure, footprint

log = logging.getLogger(__name__)

_MIN_SPEED_MPS = 1.0
_MIN_POINTS = 30  # of a cloud that is shown
_CANDIDATES = 3  # looked at for each that is shown
_TRAIL_S = 0.5  # how far behind and before its box a mover is shown
_BESIDE_M = 0.4  # how far beside it
_GROUND_M = 0.2  # above the lower face of a box nothing is drawn outside of it: that is street
_ROW_PX, _HEAD_PX = 165, 80
_LONGEST_LAG_S = 0.5  # that the colours tell apart

Cloud = tuple[NDArray[np.float32], NDArray[np.float32]]  # points (N, 3) in box frame, and how old each is, seconds


def draw_movers(moment: Moment, folder: Path, count: int) -> list[Path]:
    """Write `motion.png` with the `count` fastest objects of the scene and return its path.

    Without one that moves and has enough points there is no sheet, and the log says so.
    """
    scene = moment.scene
    speed_mps = _speeds(scene)
    chosen = _fastest(scene, speed_mps, _CANDIDATES * count)
    modes = [mode for mode in get_args(Motion) if mode != "per_point" or scene.sweeps.point_times.any()]
    clouds = {mode: _gathered(scene, moment.root, chosen, speed_mps, mode) for mode in modes}
    kept = [n for n in chosen if _inside(scene, n, clouds[modes[0]].get(n)).sum() >= _MIN_POINTS][:count]
    if not kept:
        least = f"at {_MIN_SPEED_MPS:g} m/s or more with {_MIN_POINTS} points or more"
        log.info("%s: no annotation moves %s, so there is no sheet of motion", scene.name, least)
        return []
    path = folder / "motion.png"
    title = f"{moment.title.split('   keyframe')[0]}   the fastest objects, up to 10 sweeps of each LiDAR, by age"
    height_px = _HEAD_PX + _ROW_PX * len(kept)
    with figure(path, height_px, title) as drawn:
        top = 1 - _HEAD_PX / height_px
        spaces = {"left": 0.005, "right": 0.955, "bottom": 0.02, "top": top, "hspace": 0.3, "wspace": 0.03}
        grid = drawn.subplots(len(kept), len(modes) + 1, squeeze=False, gridspec_kw=spaces)
        for row, number in zip(grid, kept, strict=True):
            for axes, mode in zip(row, modes, strict=False):
                points = _draw(axes, scene, number, clouds[mode].get(number), speed_mps[number], side=False)
                axes.set_title(f"{mode}: {points} points in the box", fontsize=10)
            _draw(row[-1], scene, number, clouds[modes[0]].get(number), speed_mps[number], side=True)
            row[-1].set_title(f"{modes[0]}, from its right side", fontsize=10)
            _caption(row[0], scene, number, speed_mps[number])
        place = drawn.add_axes((0.965, 0.1, 0.008, 0.75))
        drawn.colorbar(row[0].collections[0], cax=place).set_label("s before the keyframe", fontsize=10)
    return [path]


def _speeds(scene: Scene) -> NDArray[np.float64]:
    """Metres per second (N,) of all annotations, NaN where unknown."""
    velocities = scene.annotations.columns["velocity_mps"].to_pylist()
    return np.array([np.nan if v is None else np.linalg.norm(v) for v in velocities], np.float64)


def _fastest(scene: Scene, speed_mps: NDArray[np.float64], count: int) -> list[int]:
    """The fastest tracks, each by that annotation at nearly its highest speed that has the most points."""
    annotations = scene.annotations
    points = np.nan_to_num(annotations.columns["num_lidar_pts"].to_numpy().astype(np.float64))
    sound = np.isin(np.arange(len(annotations)), annotations.sound)
    best = []
    for track in np.unique(annotations.track):
        own = np.flatnonzero((annotations.track == track) & sound & (speed_mps >= _MIN_SPEED_MPS))
        if len(own):
            fast = own[speed_mps[own] >= 0.8 * speed_mps[own].max()]
            late = fast[annotations.keyframe[fast] > 0] if (annotations.keyframe[fast] > 0).any() else fast
            best.append(int(late[points[late].argmax()]))  # the window of keyframe 0 is short
    worth = [number for number in best if points[number] >= 5]
    return sorted(worth, key=lambda number: -speed_mps[number])[:count]


def _reach_m(scene: Scene, number: int, speed_mps: float) -> NDArray[np.float64]:
    """How far around the box (ahead, beside, above) a mover is drawn: where its trail would be."""
    return np.array([max(_TRAIL_S * speed_mps, 0.5), _BESIDE_M, 0.0])


def _gathered(
    scene: Scene, root: Path, numbers: list[int], speed_mps: NDArray[np.float64], mode: Motion
) -> dict[int, Cloud]:
    """The clouds of some annotations, with what lies around their boxes."""
    sizes = scene.annotations.size_lwh_m.copy()
    for number in numbers:
        sizes[number] += 2 * _reach_m(scene, number, speed_mps[number])
    wide = replace(scene, annotations=replace(scene.annotations, size_lwh_m=sizes))
    table = scene_clouds(wide, root, CloudOptions(motion=mode), Rejects("clouds"), np.sort(np.array(numbers, np.int64)))
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
    """Which points are in the annotated box."""
    if cloud is None:
        return np.empty(0, bool)
    return (np.abs(cloud[0]) <= scene.annotations.size_lwh_m[number] / 2).all(axis=1)


def _draw(axes: Axes, scene: Scene, number: int, cloud: Cloud | None, speed_mps: float, *, side: bool) -> int:
    """A cloud and its box from above, or from its right side; returns the number of points in the box."""
    length_m, width_m, height_m = scene.annotations.size_lwh_m[number]
    reach = _reach_m(scene, number, speed_mps)
    across_m, beside_m = (height_m, 0.3) if side else (width_m, reach[1])
    points, lag_s = cloud or (np.empty((0, 3), np.float32), np.empty(0, np.float32))
    newest_last = np.argsort(-lag_s)
    x, y = points[newest_last, 0], points[newest_last, 2 if side else 1]
    colors = {"c": lag_s[newest_last], "cmap": "plasma", "vmin": 0, "vmax": _LONGEST_LAG_S}
    axes.scatter(x, y, s=3.0, linewidths=0, **colors)
    sides, heading = footprint(length_m, across_m)
    axes.plot(*sides.T, color="black", linewidth=1.2)
    if not side:
        axes.plot(*heading.T, color="black", linewidth=1.2)
    axes.set_xlim(-length_m / 2 - reach[0], length_m / 2 + reach[0])
    axes.set_ylim(-across_m / 2 - beside_m, across_m / 2 + beside_m)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    return int(_inside(scene, number, cloud).sum())


def _caption(axes: Axes, scene: Scene, number: int, speed_mps: float) -> None:
    """What moves, how fast, and how long a metre is."""
    annotations = scene.annotations
    who = f"{short_name(annotations.category[number])}   {speed_mps:.1f} m/s   {annotations.distance_m[number]:.0f} m"
    axes.set_title(f"{who}   keyframe {annotations.keyframe[number]}\n{axes.get_title()}", fontsize=10)
