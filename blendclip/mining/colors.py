"""Colours of points, as the cameras of their keyframe see them.

A point is coloured where its object shows it at the image's own time. What other points hide from the camera is told by
a depth map of the keyframe: the clouds of its boxes, and the newest sweep of each LiDAR outside of them.
"""

from __future__ import annotations

from pathlib import Path

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import geometry
from blendclip.errors import DataFault
from blendclip.mining.images import ImageReader
from blendclip.mining.keyframes import newest_sweeps, split_sweep
from blendclip.mining.motion import EgoMotion, TrackPoses
from blendclip.mining.options import Motion
from blendclip.mining.projection import boxes_in_cameras
from blendclip.mining.scene import Scene
from blendclip.mining.scene_rejects import SceneRejects

_CELL_PX = 4  # of the depth map
_REACH_RAD = (0.004, 0.012)  # a point hides what is so near to its ray: half of the usual gap between rays and rings,
_REACH_M = 0.1  # and no less than this around it, since a camera may be nearer to it than the LiDAR
_SURFACE_M = 0.2  # what lies deeper behind a nearer point is another surface,
_SLANT = 3.0  # but for this times the way to the side, on which the same surface may fall away


class Colorist:
    """Colours the clouds of a scene."""

    def __init__(self, scene: Scene, root: Path, motion: Motion, rejects: SceneRejects) -> None:
        self._scene, self._root, self._rejects = scene, root, rejects
        self._motion, self._ego = motion, EgoMotion(scene)
        self._poses = TrackPoses(scene.annotations, "interpolate")  # an image shows an object where it is
        self._reader = ImageReader(root, scene.images)

    def rgb(self, boxes: NDArray[np.int64], offsets: NDArray[np.int64], xyz_box: NDArray[np.float32]) -> pa.ListArray:
        """Red, green, blue of points (M, 3) in box frame, null for what no camera sees, in a list for each of B boxes.

        Box b owns offsets[b]:offsets[b + 1]. Of several cameras that see a point, the one that has it furthest from the
        edge of its image counts. Broken images are noted as rejects.
        """
        rgb, seen = np.zeros((len(xyz_box), 3), np.uint8), np.zeros(len(xyz_box), bool)
        keyframe = self._scene.annotations.keyframe[boxes]
        box_of_point = np.repeat(np.arange(len(boxes)), np.diff(offsets))
        for number in np.unique(keyframe[np.diff(offsets) > 0]).tolist():
            points = np.flatnonzero(keyframe[box_of_point] == number)
            own, box = np.unique(box_of_point[points], return_inverse=True)
            rgb[points], seen[points] = self._of_keyframe(number, boxes[own], box, xyz_box[points])
        ends = np.concatenate([[0], np.cumsum(3 * seen)]).astype(np.int32)
        triples = pa.ListArray.from_arrays(pa.array(ends), pa.array(rgb[seen].ravel()), mask=pa.array(~seen))
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), triples)

    def _of_keyframe(
        self, keyframe: int, boxes: NDArray[np.int64], box_of_point: NDArray[np.int64], xyz_box: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Colours (M, 3) of points of the boxes (B,) of one keyframe, and which of them are seen (M,).

        Point m, at xyz_box[m], belongs to boxes[box_of_point[m]].
        """
        rgb, margin_px = np.zeros((len(xyz_box), 3), np.uint8), np.full(len(xyz_box), -np.inf)
        images = self._scene.images
        of_keyframe = np.flatnonzero(images.keyframe == keyframe).tolist()
        backdrop_global = self._backdrop(keyframe, boxes) if of_keyframe else np.empty((0, 3))
        for image in of_keyframe:
            self._rejects.attempt("image")
            try:
                pixels = self._reader.read(image)
            except DataFault as fault:
                self._rejects.file(self._scene, "image", images.path[image], str(fault))
                continue
            camera_SE3_global = geometry.inverse(images.global_SE3_sensor[image])
            camera_SE3_box = boxes_in_cameras(self._scene, self._poses, boxes, np.full(len(boxes), image))[box_of_point]
            points = np.einsum("nij,nj->ni", camera_SE3_box[..., :3], xyz_box) + camera_SE3_box[..., 3]
            backdrop = geometry.transform(camera_SE3_global, backdrop_global)
            uv_px, margin = _seen_from(points, backdrop, images.intrinsic[image], pixels.shape)
            better = np.flatnonzero(margin > margin_px)
            margin_px[better] = margin[better]
            rgb[better] = pixels[uv_px[better, 1], uv_px[better, 0]]
        return rgb, np.isfinite(margin_px)

    def _backdrop(self, keyframe: int, boxes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Points (N, 3) of the keyframe outside its boxes, in the global frame."""
        found = [np.empty((0, 3))]
        for sweep in newest_sweeps(self._scene, keyframe):
            try:
                split = split_sweep(self._scene, self._root, sweep, boxes, self._poses, self._ego, self._motion)
            except DataFault:
                continue  # noted where the clouds were gathered
            found.append(split.rest_global)
        return np.concatenate(found)


def _seen_from(
    points_camera: NDArray[np.float64],
    backdrop_camera: NDArray[np.float64],
    intrinsic: NDArray[np.float64],
    shape: tuple[int, ...],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels (M, 2) of points (M, 3), and the distance in pixels of each to the image's edge; -inf where not seen.

    Points of the backdrop (N, 3) only hide others. `shape` is height, width, ... of the image.
    """
    height, width = shape[:2]
    uv_px, depth_m = _projected(points_camera, intrinsic)
    nearest_m = np.full((-(-height // _CELL_PX), -(-width // _CELL_PX)), np.inf)
    focal = intrinsic[[0, 1], [0, 1]] / _CELL_PX
    for uv, depth in ((uv_px, depth_m), _projected(backdrop_camera, intrinsic)):
        _splat(nearest_m, uv / _CELL_PX, depth, focal)
    margin_px = np.minimum(uv_px, [width, height] - uv_px).min(axis=1, initial=np.inf)
    inside = np.flatnonzero((margin_px > 0) & np.isfinite(depth_m))
    column, row = (uv_px[inside] // _CELL_PX).astype(np.int64).T
    hidden = nearest_m[row, column] < depth_m[inside] - _SURFACE_M
    margin = np.full(len(points_camera), -np.inf)
    margin[inside[~hidden]] = margin_px[inside[~hidden]]
    return np.where(np.isfinite(margin)[:, None], uv_px, 0).astype(np.int64), margin


def _projected(
    points_camera: NDArray[np.float64], intrinsic: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels (M, 2) and depths (M,) of points (M, 3); -1 and infinite behind the camera."""
    behind = points_camera[:, 2] < geometry.NEAR_M
    uv_px = geometry.project(intrinsic, np.where(behind[:, None], [0, 0, 1], points_camera))
    return np.where(behind[:, None], -1.0, uv_px), np.where(behind, np.inf, points_camera[:, 2])


@numba.njit(cache=True)
def _splat(
    nearest: NDArray[np.float64], uv: NDArray[np.float64], depth: NDArray[np.float64], focal: NDArray[np.float64]
) -> None:
    """Lower the depth map `nearest` (H, W) around each point to a cone with its tip at the point.

    Points are at columns and rows `uv` (M, 2) with depths (M,) in metres; `focal` (2,) is the focal length along x and
    y. Both count in cells of the map, not in pixels.
    """
    for i in range(len(uv)):
        if not (0 <= uv[i, 0] < nearest.shape[1] and 0 <= uv[i, 1] < nearest.shape[0]):
            continue
        column, row, fall = int(uv[i, 0]), int(uv[i, 1]), _SLANT * depth[i]
        columns = int(np.ceil(focal[0] * max(_REACH_RAD[0], _REACH_M / depth[i])))
        rows = int(np.ceil(focal[1] * max(_REACH_RAD[1], _REACH_M / depth[i])))
        for r in range(max(row - rows, 0), min(row + rows + 1, nearest.shape[0])):
            for c in range(max(column - columns, 0), min(column + columns + 1, nearest.shape[1])):
                aside = np.hypot((c - column) / focal[0], (r - row) / focal[1])
                nearest[r, c] = min(nearest[r, c], depth[i] + fall * aside)
