"""Writes the page of a sweep's named boxes: it opens from disk, without server or network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from blendclip import geometry, storage
from blendclip.errors import DataFault, UserError
from blendclip.mining.keyframes import newest_sweeps
from blendclip.mining.scene import Scene, read_scenes
from blendclip.mining.sweeps import read_sweep_of
from blendclip.naming.cloud_files import read_cloud
from blendclip.naming.crops import crop
from blendclip.reporting.gallery.assets import Assets
from blendclip.reporting.gallery.clouds import packed_cloud, points_each

_HERE = Path(__file__).parent
_SWEEP_POINTS = 30_000
_FAR_M = 80.0  # what lies further away is not drawn
_FILES = ("page.js", "page.css")


def write_sweep_page(sweep: Path, named: Path, output: Path) -> None:
    """Write the page of one sweep.

    Args:
        sweep: the file of the sweep.
        named: Parquet of `name_sweep`.
        output: page to write; its files go to a folder of the same name beside it.

    Raises:
        UserError: a file is missing or broken.
    """
    _write(output, sweep.name, read_cloud(sweep)[:, :3].astype(np.float64), storage.read_parquet(named))


def write_sample_page(index: Path, root: Path, named: Path, output: Path) -> str:
    """Write the page of the first sample with boxes, in the axes of the globe about the vehicle; return its token.

    Args:
        index: scene index.
        root: the dataset's folder.
        named: Parquet of `name_results`.
        output: page to write; its files go to a folder of the same name beside it.

    Raises:
        UserError: there is no box, or no sweep of the sample can be read.
    """
    table = storage.read_parquet(named)
    if not table.num_rows:
        raise UserError(f"{named} holds no box, so that there is nothing to show: name some")
    token = table["sample_token"][0].as_py()
    scene = next(scene for scene in read_scenes(index, 0, 1) if token in scene.sample_token.tolist())
    keyframe = scene.sample_token.tolist().index(token)
    rows = table.filter(pc.equal(table["sample_token"], token))
    origin = scene.global_SE3_ego[keyframe, :, 3]
    _write(output, f"{scene.name}, {token}", _keyframe_points(scene, root, keyframe) - origin, rows, origin)
    return str(token)


def _keyframe_points(scene: Scene, root: Path, keyframe: int) -> NDArray[np.float64]:
    """The points (N, 3) of a keyframe's own sweeps, global frame, metres."""
    found = []
    for sweep in newest_sweeps(scene, keyframe):
        try:
            points = read_sweep_of(scene, root, sweep, "interpolate").points[:, :3].astype(np.float64)
        except DataFault:
            continue
        found.append(geometry.transform(scene.sweeps.global_SE3_sensor[sweep], points))
    if not found:
        raise UserError(f"no sweep of keyframe {keyframe} of {scene.name} can be read: show another split")
    return np.concatenate(found)


def _write(
    output: Path, title: str, points: NDArray[np.float64], rows: pa.Table, origin: NDArray[np.float64] | None = None
) -> None:
    """Write page and files of points (N, 3) and boxes, whose centres are less `origin` in the frame of the points."""
    points = points[np.isfinite(points).all(axis=1)]
    boxes = _shown_boxes(rows, np.zeros(3) if origin is None else origin)
    values = np.array([box["values"] for box in boxes]).reshape(-1, 10)
    clouds = [np.empty((0, 3), np.float32) if cloud is None else cloud for cloud in crop(points, values)]
    folder = output.with_name(f"{output.stem}_files")
    assets = Assets(folder, points_each(len(boxes)))
    for name in _FILES:
        with storage.replacing(folder / name) as temporary:
            shutil.copyfile(_HERE / name, temporary)
    script = assets.clouds([box["cloud_id"] for box in boxes], clouds)
    scene = {"sweep": _packed_sweep(points), "boxes": [_drawn(box) for box in boxes]}
    with storage.replacing(folder / "scene.js") as temporary:
        temporary.write_text(f"window.blendclipScene = {json.dumps(scene, separators=(',', ':'))};\n")
    cards = [
        _card(box, len(cloud), script, number) for number, (box, cloud) in enumerate(zip(boxes, clouds, strict=True))
    ]
    names = sorted({card["name"] for card in cards if card["name"]})
    with storage.replacing(output) as temporary:
        temporary.write_text(_template().render(title=title, folder=folder.name, cards=cards, names=names))


def _shown_boxes(rows: pa.Table, origin: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The boxes that can be drawn, each with its ten `values` in the frame of the points."""
    found = []
    for row in rows.to_pylist():
        centre = np.array(row["translation"], np.float64) - origin
        values = np.concatenate([centre, row["size_lwh_m"], row["rotation_wxyz"]])
        if np.isfinite(values).all() and min(row["size_lwh_m"]) > 0:
            found.append(row | {"values": values})
    return found


def _packed_sweep(points: NDArray[np.float64]) -> dict[str, Any]:
    near = points[np.hypot(points[:, 0], points[:, 1]) < _FAR_M]
    return packed_cloud(near.astype(np.float32), "sweep", _SWEEP_POINTS)


def _drawn(box: dict[str, Any]) -> dict[str, Any]:
    pose = geometry.pose(box["values"][6:], box["values"][:3])
    corners = geometry.transform(pose, geometry.box_corners(box["values"][3:6]))
    return {"corners": corners.round(3).tolist(), "name": box["name"] or "", "edges": geometry.BOX_EDGES.tolist()}


def _card(box: dict[str, Any], num_points: int, script: str, number: int) -> dict[str, Any]:
    best = max(box["score"] or 0.0, 1e-6)
    shares = [100 * min(max(score / best, 0.0), 1.0) for score in box["top_scores"]]
    return {
        "number": number,
        "box": box["box"],
        "name": box["name"],
        "score": box["score"],
        "detector_name": box["detector_name"],
        "num_points": num_points,
        "distance_m": float(np.hypot(*box["values"][:2])),
        "script": script,
        "best": list(zip(box["top_names"], box["top_scores"], shares, strict=True)),
    }


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html.jinja")
