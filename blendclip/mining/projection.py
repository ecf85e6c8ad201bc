"""Boxes seen by cameras: every annotation of a keyframe in every image of it, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from blendclip import geometry
from blendclip.mining.motion import TrackPoses
from blendclip.mining.scene import Scene


@dataclass(frozen=True)
class Candidates:
    """P pairs of an annotation and an image that shows some of its box, ordered by image."""

    annotation: NDArray[np.int64]  # (P,)
    image: NDArray[np.int64]  # (P,)
    outline: NDArray  # (P,) convex outlines (shapely) in pixels, not cut by the image
    xyxy_px: NDArray[np.float64]  # (P, 4) bounds of the outline cut by the image
    whole: NDArray[np.bool_]  # (P,) whether the whole box is in front of the camera and inside the image
    distance_m: NDArray[np.float64]  # (P,) camera to box centre
    azimuth_rad: NDArray[np.float64]  # (P,) direction to the camera in the box frame, 0 ahead, pi/2 on the left

    def of_image(self, image: int) -> range:
        """The places of an image's candidates."""
        return range(*self._span(image))

    def _span(self, image: int) -> list[int]:
        return np.searchsorted(self.image, [image, image + 1]).tolist()

    def size_px(self, place: int) -> NDArray[np.float64]:
        """Width and height."""
        return self.xyxy_px[place, 2:] - self.xyxy_px[place, :2]

    def crop_box(self, place: int) -> tuple[int, int, int, int]:
        """All pixels that the outline's bounds touch: left, upper, right, lower."""
        low, high = np.floor(self.xyxy_px[place, :2]), np.ceil(self.xyxy_px[place, 2:])
        return (int(low[0]), int(low[1]), int(high[0]), int(high[1]))

    def covered_fraction(self, place: int) -> float:
        """Share of the crop that the outlines of boxes nearer to the camera cover."""
        others = slice(*self._span(int(self.image[place])))
        left, upper, right, lower = self.xyxy_px[place]
        low, high = self.xyxy_px[others, :2], self.xyxy_px[others, 2:]
        meets = ((low < (right, lower)) & (high > (left, upper))).all(axis=1)
        nearer = self.outline[others][meets & (self.distance_m[others] < self.distance_m[place])]
        if not len(nearer):
            return 0.0
        cut = shapely.clip_by_rect(nearer, left, upper, right, lower)
        return float((cut[0] if len(cut) == 1 else shapely.union_all(cut)).area / ((right - left) * (lower - upper)))


def project_boxes(scene: Scene, poses: TrackPoses) -> Candidates:
    """All sound boxes in all images of their keyframe, at the image's own time and pose."""
    images, annotations = scene.images, scene.annotations
    sound = annotations.sound
    usable = np.flatnonzero(images.usable)
    at_image, at_box = np.nonzero(images.keyframe[usable][:, None] == annotations.keyframe[sound][None, :])
    image, annotation = usable[at_image], sound[at_box]

    global_SE3_box = poses.at(annotation, images.timestamp_us[image])
    camera_SE3_box = geometry.compose(geometry.inverse(images.global_SE3_sensor[image]), global_SE3_box)
    corners_camera = geometry.transform(camera_SE3_box, geometry.box_corners(annotations.size_lwh_m[annotation]))
    shown = np.flatnonzero((corners_camera[..., 2] >= geometry.NEAR_M).any(axis=1))
    outline = geometry.box_outlines(images.intrinsic[image[shown]], corners_camera[shown])
    bounds = shapely.bounds(outline).reshape(-1, 4)
    width_height = images.size_wh_px[image[shown]]
    overlaps = ((bounds[:, 2:] > 0) & (bounds[:, :2] < width_height)).all(axis=1)

    shown, outline, bounds, width_height = (column[overlaps] for column in (shown, outline, bounds, width_height))
    inside = ((bounds[:, :2] >= 0) & (bounds[:, 2:] <= width_height)).all(axis=1)
    cut = np.flatnonzero(~inside)
    bounds[cut] = shapely.bounds(shapely.intersection(outline[cut], shapely.box(0, 0, *width_height[cut].T)))
    remains = np.isfinite(bounds).all(axis=1)

    shown, outline, bounds, inside = (column[remains] for column in (shown, outline, bounds, inside))
    box_SE3_camera = geometry.inverse(camera_SE3_box[shown])
    return Candidates(
        annotation=annotation[shown],
        image=image[shown],
        outline=outline,
        xyxy_px=bounds,
        whole=inside & (corners_camera[shown][..., 2] >= geometry.NEAR_M).all(axis=1),
        distance_m=np.linalg.norm(camera_SE3_box[shown][..., 3], axis=1),
        azimuth_rad=np.arctan2(box_SE3_camera[:, 1, 3], box_SE3_camera[:, 0, 3]),
    )
