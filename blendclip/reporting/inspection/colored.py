"""Clouds coloured from the cameras, beside crops of the same objects.

Letters in names: N points.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from blendclip import geometry
from blendclip.errors import DataFault
from blendclip.mining.clouds import scene_clouds
from blendclip.mining.images import ImageReader
from blendclip.mining.options import CloudOptions
from blendclip.mining.projection import boxes_in_cameras
from blendclip.mining.scene_rejects import SceneRejects
from blendclip.reporting.inspection.moment import Moment, short_name
from blendclip.reporting.inspection.plot import figure, footprint
from blendclip.reporting.inspection.style import class_names

log = logging.getLogger(__name__)

_COUNT, _PER_ROW = 6, 2
_ROW_PX, _HEAD_PX = 300, 50
_UNSEEN = (255, 0, 255)  # not grey, which objects have
_MIN_SIDE_PX = 40
_MAX_COVERED = 0.3
_MIN_POINTS = 30  # in the sweep of the keyframe


def draw_colored(moment: Moment, folder: Path) -> list[Path]:
    """Write `colors.png`; return its path.

    Without an object that a camera shows well and that has enough points nothing is written, as the log says.
    """
    best = _best_views(moment)
    rows = _colored(moment, moment.candidates.annotation[best]) if len(best) else {}
    if not rows:
        log.info("%s: no camera shows a box with %d points well: no sheet of colours", moment.scene.name, _MIN_POINTS)
        return []
    path, reader = folder / "colors.png", ImageReader(moment.root, moment.scene.images)
    lines = -(-len(rows) // _PER_ROW)
    height_px = _HEAD_PX + _ROW_PX * lines
    title = f"{moment.title}   clouds in the colours of the cameras, magenta where none sees them"
    with figure(path, height_px, title) as drawn:
        spaces = {"left": 0.005, "right": 0.995, "bottom": 0.01, "top": 1 - (_HEAD_PX + 36) / height_px}
        grid = drawn.subplots(lines, 3 * _PER_ROW, squeeze=False, gridspec_kw=spaces | {"hspace": 0.2, "wspace": 0.04})
        for axes in grid.flat:
            axes.set(xticks=[], yticks=[], facecolor="0.86")
            axes.spines[:].set_visible(False)
        shown = [view for view in best.tolist() if int(moment.candidates.annotation[view]) in rows]
        for unused in grid.flat[3 * len(shown) :]:
            unused.set_axis_off()
        for cells, view in zip(grid.reshape(-1, 3), shown, strict=False):
            _draw_object(cells, moment, view, rows[int(moment.candidates.annotation[view])], reader)
    return [path]


def _best_views(moment: Moment) -> NDArray[np.int64]:
    """Indices (C,) of the moment's candidates: the largest crop of each box, of each class in turn, up to `_COUNT`."""
    candidates, annotations = moment.candidates, moment.scene.annotations
    points = np.nan_to_num(annotations.num_lidar_pts, nan=np.inf)  # unknown is not few
    good = np.isin(candidates.image, moment.images) & candidates.whole
    good &= (candidates.side_px().min(axis=1, initial=np.inf) >= _MIN_SIDE_PX) & (
        points[candidates.annotation] >= _MIN_POINTS
    )
    views = np.flatnonzero(good)
    views = views[candidates.covered_fraction(views) <= _MAX_COVERED]
    views = views[np.argsort(-candidates.side_px()[views].prod(axis=1), kind="stable")]
    names, turn, seen = class_names(annotations), [], set()
    taken: dict[str, int] = {}
    for view in views.tolist():
        number = int(candidates.annotation[view])
        if number not in seen:
            seen.add(number)
            taken[names[number]] = taken.get(names[number], 0) + 1
            turn.append((taken[names[number]], view))
    return np.array([view for _, view in sorted(turn, key=lambda entry: entry[0])[:_COUNT]], np.int64)


def _colored(moment: Moment, boxes: NDArray[np.int64]) -> dict[int, dict[str, Any]]:
    """By annotation, points `xyz` (N, 3) in box frame, colours `rgb` (N, 3) and the share of `seen` points."""
    options = CloudOptions(colors=True)
    table = scene_clouds(moment.scene, moment.root, options, SceneRejects("clouds"), np.sort(boxes))
    of_token = {token: number for number, token in enumerate(moment.scene.annotations.token.tolist())}
    found = {}
    for row in table.select(["annotation_token", "points", "rgb"]).to_pylist():
        rgb = np.array([_UNSEEN if color is None else color for color in row["rgb"]], np.uint8)
        seen = np.array([color is not None for color in row["rgb"]])
        order = np.argsort(seen, kind="stable")  # what no camera sees lies below
        found[of_token[row["annotation_token"]]] = {
            "xyz": np.array(row["points"], np.float64)[order],
            "rgb": rgb[order],
            "seen": float(seen.mean()),
        }
    return found


def _draw_object(cells: NDArray[Any], moment: Moment, view: int, cloud: dict[str, Any], reader: ImageReader) -> None:
    """The crop, the cloud as that camera would see it, and the cloud from above."""
    candidates, scene = moment.candidates, moment.scene
    number, image = int(candidates.annotation[view]), int(candidates.image[view])
    left, upper, right, lower = candidates.crop_boxes()[view].tolist()
    try:
        cells[0].imshow(reader.read(image)[upper:lower, left:right], extent=(left, right, lower, upper))
    except DataFault as fault:
        log.warning("%s: %s", scene.images.path[image], fault)
    cells[0].set_title(f"{short_name(scene.annotations.category[number])}\n{scene.images.channel[image]}", fontsize=10)
    camera_SE3_box = boxes_in_cameras(scene, moment.poses, np.array([number]), np.array([image]))[0]
    points_camera = geometry.transform(camera_SE3_box, cloud["xyz"])
    uv_px = geometry.project(scene.images.intrinsic[image], points_camera)
    far_first = np.argsort(-points_camera[:, 2])
    _dots(cells[1], uv_px[far_first], cloud["rgb"][far_first])
    cells[1].set(xlim=(left, right), ylim=(lower, upper), aspect="equal")
    cells[1].set_title(f"its {len(uv_px)} points from there", fontsize=10)
    low_first = np.argsort(cloud["xyz"][:, 2])
    _dots(cells[2], cloud["xyz"][low_first, :2], cloud["rgb"][low_first])
    for part in footprint(*scene.annotations.size_lwh_m[number, :2]):
        cells[2].plot(*part.T, color="black", linewidth=1)
    cells[2].set_aspect("equal")
    cells[2].set_title(f"from above; {cloud['seen']:.0%} seen", fontsize=10)


def _dots(axes: Axes, xy: NDArray[np.float64], rgb: NDArray[np.uint8]) -> None:
    x, y = xy.T
    axes.scatter(x, y, s=np.clip(8000 / max(len(xy), 1), 2.5, 25.0), c=rgb / 255, linewidths=0)
