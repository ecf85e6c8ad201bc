"""Boxes seen by cameras: every annotation of a keyframe in every image of it, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from blendclip import geometry
from blendclip.mining.motion import TrackPoses
from blendclip.mining.outlines import bounds_inside, convex_hulls, covered_area
from blendclip.mining.scene import Scene


@dataclass(frozen=True)
class Candidates:
    """P pairs of an annotation and an image that shows some of its box, ordered by image."""

    annotation: NDArray[np.int64]
    """(P,)"""
    image: NDArray[np.int64]
    """(P,) ascending."""
    hull_px: NDArray[np.float64]
    """(P, V, 2) convex outlines, not cut by the image."""
    hull_size: NDArray[np.int64]
    """(P,) how many of the V are corners."""
    xyxy_px: NDArray[np.float64]
    """(P, 4) bounds of the outline cut by the image."""
    whole: NDArray[np.bool_]
    """(P,) whether the whole box is in front of the camera and inside the image."""
    distance_m: NDArray[np.float64]
    """(P,) camera to box centre."""
    azimuth_rad: NDArray[np.float64]
    """(P,) direction to the camera in the box frame, 0 ahead, pi/2 on the left."""

    def side_px(self) -> NDArray[np.float64]:
        """Width and height (P, 2)."""
        return self.xyxy_px[:, 2:] - self.xyxy_px[:, :2]

    def crop_boxes(self) -> NDArray[np.int64]:
        """All pixels that the outlines' bounds touch: left, upper, right, lower (P, 4)."""
        low_high = [np.floor(self.xyxy_px[:, :2]), np.ceil(self.xyxy_px[:, 2:])]
        boxes: NDArray[np.int64] = np.concatenate(low_high, axis=1).astype(np.int64)
        return boxes

    def covered_fraction(self, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
        """Shares (C,) of the crops of candidates (C,) that the outlines of boxes nearer to their cameras cover."""
        first = np.searchsorted(self.image, self.image[candidates])
        end = np.searchsorted(self.image, self.image[candidates], side="right")
        outlines = (self.hull_px, self.hull_size, self.xyxy_px, self.distance_m)
        fractions: NDArray[np.float64] = _covered_fractions(candidates, first, end, *outlines)
        return fractions


def boxes_in_cameras(
    scene: Scene, poses: TrackPoses, annotation: NDArray[np.int64], image: NDArray[np.int64]
) -> NDArray[np.float64]:
    """`camera_SE3_box` (P, 3, 4) of valid annotations (P,) in images (P,), at each image's own time and pose."""
    global_SE3_box = poses.at(annotation, scene.images.timestamp_us[image])
    return geometry.compose(geometry.inverse(scene.images.global_SE3_sensor[image]), global_SE3_box)


def project_boxes(scene: Scene, poses: TrackPoses) -> Candidates:
    """All valid boxes in all images of their keyframe, at the image's own time and pose."""
    images, annotations = scene.images, scene.annotations
    valid = annotations.valid
    usable = np.flatnonzero(images.usable)
    at_image, at_box = np.nonzero(images.keyframe[usable][:, None] == annotations.keyframe[valid][None, :])
    image, annotation = usable[at_image], valid[at_box]

    camera_SE3_box = boxes_in_cameras(scene, poses, annotation, image)
    corners_camera = geometry.transform(camera_SE3_box, geometry.box_corners(annotations.size_lwh_m[annotation]))
    shown = np.flatnonzero((corners_camera[..., 2] >= geometry.NEAR_M).any(axis=1))
    points_px, counts = geometry.outline_points(images.intrinsic[image[shown]], corners_camera[shown])
    held = np.arange(points_px.shape[1]) < counts[:, None]
    low = np.where(held[..., None], points_px, np.inf).min(axis=1)
    high = np.where(held[..., None], points_px, -np.inf).max(axis=1)
    size_wh_px = images.size_wh_px[image[shown]]
    meets = ((high > 0) & (low < size_wh_px)).all(axis=1)

    shown, points_px, counts, low, high, size_wh_px = (
        column[meets] for column in (shown, points_px, counts, low, high, size_wh_px)
    )
    hull_px, hull_size = convex_hulls(points_px, counts)
    xyxy_px = bounds_inside(hull_px, hull_size, size_wh_px)
    inside = ((low >= 0) & (high <= size_wh_px)).all(axis=1)
    in_front = counts == corners_camera.shape[1]
    remains = (xyxy_px[:, 2:] > xyxy_px[:, :2]).all(axis=1)  # the bounds may meet the image where the outline does not
    box_SE3_camera = geometry.inverse(camera_SE3_box[shown[remains]])
    return Candidates(
        annotation=annotation[shown[remains]],
        image=image[shown[remains]],
        hull_px=hull_px[remains],
        hull_size=hull_size[remains],
        xyxy_px=xyxy_px[remains],
        whole=(inside & in_front)[remains],
        distance_m=np.linalg.norm(camera_SE3_box[shown[remains], :, 3], axis=1),
        azimuth_rad=np.arctan2(box_SE3_camera[:, 1, 3], box_SE3_camera[:, 0, 3]),
    )


@numba.njit(cache=True)
def _covered_fractions(
    candidates: NDArray[np.int64],
    first: NDArray[np.int64],
    end: NDArray[np.int64],
    hulls: NDArray[np.float64],
    sizes: NDArray[np.int64],
    xyxy: NDArray[np.float64],
    distance: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Share of the crop (C,) of each of the `candidates` (C,) that nearer ones in its image cover.

    Candidates first[i] to end[i] share the image of candidates[i]. Of all P candidates: `hulls` (P, V, 2) with their
    numbers of corners `sizes` (P,), bounds `xyxy` (P, 4) and `distance` (P,) to the camera.
    """
    fractions, nearer = np.zeros(len(candidates)), np.empty(len(xyxy), np.int64)
    for i in range(len(candidates)):
        own, count = xyxy[candidates[i]], 0
        for other in range(first[i], end[i]):
            box = xyxy[other]
            meets = box[0] < own[2] and box[1] < own[3] and box[2] > own[0] and box[3] > own[1]
            if meets and distance[other] < distance[candidates[i]]:
                nearer[count] = other
                count += 1
        if count:
            area = covered_area(hulls[nearer[:count]], sizes[nearer[:count]], own)
            fractions[i] = area / ((own[2] - own[0]) * (own[3] - own[1]))
    return fractions
