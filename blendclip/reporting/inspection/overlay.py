"""Boxes and points drawn over a camera image.

Letters in names: E edges, N points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from blendclip import geometry
from blendclip.mining.projection import boxes_in_cameras
from blendclip.reporting.inspection.moment import Moment, short_name
from blendclip.reporting.inspection.style import DIM, class_colors, class_names, depth_colors, font

_FACE_ALPHA = 60  # of the front face, of 255
_LABEL_MIN_PX = 22  # boxes that look smaller get no label


@dataclass(frozen=True)
class Wireframe:
    """A box as an image shows it, in pixels of the image, which may lie outside of it."""

    annotation: int
    """Number of the annotation in the scene."""
    edges_px: NDArray[np.float64]
    """(E, 2, 2) ends of the edges, as far as they are in front of the camera."""
    front_px: NDArray[np.float64]
    """(4, 2) corners of the front face in a ring; (0, 2) where it reaches behind the camera."""
    depth_m: float
    """Depth of the box centre."""
    color: tuple[int, int, int]
    label: str
    """Category; empty for a broken box."""


def wireframes(moment: Moment, image: int) -> list[Wireframe]:
    """The boxes of the keyframe that an image shows, at the image's own time, farthest first."""
    candidates, scene = moment.candidates, moment.scene
    shown = candidates.annotation[candidates.image == image]
    names = class_names(scene.annotations)
    colors = class_colors(names)
    camera_SE3_boxes = boxes_in_cameras(scene, moment.poses, shown, np.full(len(shown), image))
    found = [
        _wireframe(moment, image, number, camera_SE3_box, colors[names[number]], label=True)
        for number, camera_SE3_box in zip(shown.tolist(), camera_SE3_boxes, strict=True)
    ]
    found += [
        _wireframe(moment, image, number, camera_SE3_box, DIM, label=False)
        for number, camera_SE3_box in _broken_boxes(moment, image)
    ]
    return sorted(found, key=lambda frame: -frame.depth_m)


def _broken_boxes(moment: Moment, image: int) -> list[tuple[int, NDArray[np.float64]]]:
    """Annotations of the keyframe that are not valid but can be drawn in front of a camera, with `camera_SE3_box`."""
    annotations = moment.scene.annotations
    camera_SE3_global, found = geometry.inverse(moment.scene.images.global_SE3_sensor[image]), []
    for number in annotations.faults:
        rotation, size = annotations.rotation_wxyz[number], annotations.size_lwh_m[number]
        finite = np.isfinite(np.concatenate([rotation, size, annotations.translation[number]])).all()
        if annotations.keyframe[number] == moment.keyframe and finite and rotation.any():
            global_SE3_box = geometry.pose(rotation, annotations.translation[number])
            camera_SE3_box = geometry.compose(camera_SE3_global, global_SE3_box)
            if camera_SE3_box[2, 3] > geometry.NEAR_M:
                found.append((number, camera_SE3_box))
    return found


def _wireframe(
    moment: Moment,
    image: int,
    number: int,
    camera_SE3_box: NDArray[np.float64],
    color: tuple[int, int, int],
    *,
    label: bool,
) -> Wireframe:
    annotations, intrinsic = moment.scene.annotations, moment.scene.images.intrinsic[image]
    corners_camera = geometry.transform(camera_SE3_box, geometry.box_corners(annotations.size_lwh_m[number]))
    start, end = corners_camera[geometry.BOX_EDGES.T]
    edges_px = geometry.segment_pixels(intrinsic, start, end)
    face = corners_camera[geometry.FRONT_FACE]
    whole = (face[:, 2] >= geometry.NEAR_M).all()
    return Wireframe(
        annotation=number,
        edges_px=edges_px[np.isfinite(edges_px).all(axis=(1, 2))],
        front_px=geometry.project(intrinsic, face) if whole else np.empty((0, 2)),
        depth_m=float(camera_SE3_box[2, 3]),
        color=color,
        label=short_name(annotations.category[number]) if label else "",
    )


def points_in_image(moment: Moment, image: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels (N, 2) and depths (N,) in metres of the keyframe's points inside an image, at the image's own time."""
    images = moment.scene.images
    moved = moment.points_at(int(images.timestamp_us[image]))
    points_global = np.concatenate([np.empty((0, 3)), *moved.values()])
    points_camera = geometry.transform(geometry.inverse(images.global_SE3_sensor[image]), points_global)
    points_camera = points_camera[points_camera[:, 2] >= geometry.NEAR_M]
    uv_px = geometry.project(images.intrinsic[image], points_camera)
    inside = ((uv_px >= 0) & (uv_px < images.size_wh_px[image])).all(axis=1)
    return uv_px[inside], points_camera[inside, 2]


def draw_overlay(moment: Moment, image: int, pixels: NDArray[np.uint8], width_px: int) -> Image.Image:
    """An image with points and boxes over it.

    Args:
        moment: the keyframe.
        image: number of the image in the scene.
        pixels: (H, W, 3) of the image.
        width_px: width that the image is resized to.
    """
    scale = width_px / pixels.shape[1]
    drawn = Image.fromarray(pixels).resize((width_px, round(pixels.shape[0] * scale)), Image.Resampling.LANCZOS)
    uv_px, depth_m = points_in_image(moment, image)
    drawn = _with_points(drawn, uv_px * scale, depth_m)
    frames = wireframes(moment, image)
    draw = ImageDraw.Draw(drawn, "RGBA")
    line_px = 2 if width_px >= 1000 else 1
    for frame in frames:
        _draw_frame(draw, frame, scale, line_px)
    _draw_labels(draw, frames, scale, drawn.size, letters_px=16 if width_px >= 1000 else 12)
    return drawn


def _with_points(image: Image.Image, uv_px: NDArray[np.float64], depth_m: NDArray[np.float64]) -> Image.Image:
    """The image with points at pixels (N, 2) as small squares coloured by depths (N,), near ones over far ones."""
    canvas = np.array(image)
    height, width = canvas.shape[:2]
    per_mpx = len(uv_px) / (width * height) * 1e6
    side_px = 1 if per_mpx > 40_000 else 2 if per_mpx > 18_000 or width < 1000 else 3
    order = np.argsort(-depth_m)
    column, row = uv_px[order].astype(np.int64).T
    colors = depth_colors(depth_m[order])
    for down in range(side_px):
        for right in range(side_px):
            canvas[np.minimum(row + down, height - 1), np.minimum(column + right, width - 1)] = colors
    return Image.fromarray(canvas)


def _draw_frame(draw: ImageDraw.ImageDraw, frame: Wireframe, scale: float, line_px: int) -> None:
    """Draw edges on a dark rim, and the front face filled and crossed."""
    if len(frame.front_px):
        face = [tuple(corner) for corner in (frame.front_px * scale).tolist()]
        draw.polygon(face, fill=(*frame.color, _FACE_ALPHA))
    lines = [[tuple(end) for end in edge] for edge in (frame.edges_px * scale).tolist()]
    for line in lines:
        draw.line(line, fill=(0, 0, 0, 150), width=line_px + 2)
    for line in lines:
        draw.line(line, fill=(*frame.color, 255), width=line_px)
    if len(frame.front_px):
        for a, b in ((0, 2), (1, 3)):
            draw.line([face[a], face[b]], fill=(*frame.color, 255), width=1)


def _draw_labels(
    draw: ImageDraw.ImageDraw, frames: list[Wireframe], scale: float, size_px: tuple[int, int], letters_px: int
) -> None:
    """Draw categories above their boxes, the nearest first, as far as they do not cover one another."""
    taken: list[tuple[float, float, float, float]] = []
    letters = font(letters_px)
    for frame in reversed(frames):
        ends_px = frame.edges_px.reshape(-1, 2) * scale
        if not frame.label or not len(ends_px):
            continue
        width = draw.textlength(frame.label, font=letters) + 6
        low, high = np.maximum(ends_px.min(axis=0), 0), np.minimum(ends_px.max(axis=0), size_px)
        if max(high - low) < _LABEL_MIN_PX:
            continue
        inside = ends_px[((ends_px >= 0) & (ends_px <= size_px)).all(axis=1)]
        left, upper = inside.min(axis=0) if len(inside) else (low + high) / 2  # of a close box no corner may be seen
        x, y = min(left, size_px[0] - width), max(upper - letters_px - 6, 0.0)
        area = (x, y, x + width, y + letters_px + 4)
        if any(area[0] < t[2] and area[2] > t[0] and area[1] < t[3] and area[3] > t[1] for t in taken):
            continue
        taken.append(area)
        draw.rectangle(area, fill=(0, 0, 0, 170))
        draw.text((x + 3, y + 1), frame.label, fill=(*frame.color, 255), font=letters)
