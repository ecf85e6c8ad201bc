"""Views: camera crops of annotations, projected at each image's own time and pose."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import simplejpeg
from numpy.typing import NDArray

from blendclip import schemas, storage
from blendclip.errors import DataFault
from blendclip.mining import rules
from blendclip.mining.images import ImageReader
from blendclip.mining.motion import TrackPoses
from blendclip.mining.options import ViewOptions
from blendclip.mining.projection import Candidates, project_boxes
from blendclip.mining.scene import Scene, read_scenes
from blendclip.mining.scene_rejects import SceneRejects
from blendclip.rejects import Rule

log = logging.getLogger(__name__)

# An annotation that no camera keeps is rejected by the rule at which its best camera failed, the last of these it met.
_RULES = (rules.VISIBILITY, rules.NO_IMAGE, rules.OUTSIDE_IMAGE, rules.PARTLY_OUTSIDE, rules.TOO_SMALL)
_VISIBILITY, _NO_IMAGE, _OUTSIDE_IMAGE, _PARTLY_OUTSIDE, _TOO_SMALL = range(len(_RULES))
_KEPT = len(_RULES)
_PASSED_ON = ["annotation_token", "instance_token", "category", "class_name", "attributes", "size_lwh_m"]


def cut_views(
    index: Path,
    root: Path,
    part: int,
    parts: int,
    output: Path,
    rejects_output: Path,
    options: ViewOptions,
    max_fault_fraction: float,
) -> int:
    """Write the views of one part (schema `schemas.VIEWS`) and its rejects; return the number of views.

    Raises:
        UserError: no index, or more broken images than `max_fault_fraction`.
    """
    rejects = SceneRejects("views")
    scenes = read_scenes(index, part, parts)
    views = (table for scene in scenes for table in scene_views(scene, root, options, rejects))
    tables = rejects.checked(views, max_fault_fraction)
    rows = storage.write_parquet(output, schemas.VIEWS, tables, storage.metadata("views", asdict(options)))
    rejects.write(rejects_output, asdict(options))
    return rows


def scene_views(scene: Scene, root: Path, options: ViewOptions, rejects: SceneRejects) -> Iterator[pa.Table]:
    """The views of one scene, image by image, in one table, or in several of about `storage.ROW_GROUP_BYTES` of crops.

    An image is decoded once, and only if it holds a view to keep.
    """
    annotations = scene.annotations
    rejects.attempt("annotation", len(annotations))
    for number, reason in annotations.faults.items():
        rejects.annotation(scene, number, rules.BROKEN_ANNOTATION, reason)
    candidates = project_boxes(scene, TrackPoses(annotations, "interpolate"))
    outcomes = _Outcomes(scene, candidates, options)
    seen: list[int] = []
    views: list[int] = []
    jpegs: list[bytes] = []
    held_bytes = 0
    for candidate, jpeg in _crops(scene, root, candidates, outcomes, options, rejects):
        if held_bytes >= storage.ROW_GROUP_BYTES:
            yield _table(scene, candidates, views, jpegs)
            views, jpegs, held_bytes = [], [], 0
        seen.append(candidate)
        views.append(candidate)
        jpegs.append(jpeg)
        held_bytes += len(jpeg)
    outcomes.reject(rejects, candidates.annotation[seen])
    log.info("%s: %d annotations, %d views", scene.name, len(annotations), len(seen))
    yield _table(scene, candidates, views, jpegs)


def _crops(
    scene: Scene, root: Path, candidates: Candidates, outcomes: _Outcomes, options: ViewOptions, rejects: SceneRejects
) -> Iterator[tuple[int, bytes]]:
    """Each candidate that is kept, with its crop as JPEG; broken images become rejects."""
    reader, crop_boxes = ImageReader(root, scene.images), candidates.crop_boxes()
    for image in np.flatnonzero(outcomes.opened).tolist():
        rejects.attempt("image")
        try:
            pixels = reader.read(image)
        except DataFault as fault:
            rejects.file(scene, "image", scene.images.path[image], str(fault))
            outcomes.broken(image)
            continue
        for candidate in outcomes.kept_in(image).tolist():
            yield candidate, _jpeg(pixels, crop_boxes[candidate].tolist(), options.jpeg_quality)


def _jpeg(pixels: NDArray[np.uint8], box: list[int], quality: int) -> bytes:
    left, upper, right, lower = box
    crop = np.ascontiguousarray(pixels[upper:lower, left:right])
    jpeg: bytes = simplejpeg.encode_jpeg(crop, quality=quality, colorsubsampling="444", fastdct=False)
    return jpeg


def _table(scene: Scene, candidates: Candidates, views: list[int], jpegs: list[bytes]) -> pa.Table:
    """The views (schema `schemas.VIEWS`) that are these candidates, with their crops."""
    kept = np.array(views, np.int64)
    numbers, image = candidates.annotation[kept], candidates.image[kept]
    tokens, channels = scene.annotations.token[numbers].tolist(), scene.images.channel[image].tolist()
    named = list(zip(tokens, channels, strict=True))
    xyxy_px = pa.array(candidates.xyxy_px[kept].astype(np.float32).ravel())
    columns = {name: scene.annotations.columns[name].take(numbers) for name in _PASSED_ON}
    columns |= {
        "view_id": pa.array([f"{scene.dataset}/{token}/{channel}" for token, channel in named], pa.string()),
        "dataset": pa.array([scene.dataset] * len(kept), pa.string()),
        "split": pa.array([scene.split] * len(kept), pa.string()),
        "scene": pa.array([scene.name] * len(kept), pa.string()),
        "sample_token": pa.array(scene.sample_token[scene.annotations.keyframe[numbers]], pa.string()),
        "timestamp_us": pa.array(scene.images.timestamp_us[image]),
        "channel": pa.array(channels, pa.string()),
        "image": pa.StructArray.from_arrays(
            [
                pa.array(jpegs, pa.binary()),
                pa.array([f"{token}-{channel}.jpg" for token, channel in named], pa.string()),
            ],
            fields=list(schemas.VIEWS.field("image").type),
        ),
        "crop_xyxy_px": pa.FixedSizeListArray.from_arrays(xyxy_px, 4),
        "covered_fraction": pa.array(candidates.covered_fraction(kept), pa.float32()),
        "camera_distance_m": pa.array(candidates.distance_m[kept], pa.float32()),
        "camera_azimuth_rad": pa.array(candidates.azimuth_rad[kept], pa.float32()),
    }
    return pa.table({field.name: columns[field.name].cast(field.type) for field in schemas.VIEWS}, schemas.VIEWS)


class _Outcomes:
    """How far the annotations of a scene came, by `_RULES`: each candidate, and each annotation in its best camera."""

    def __init__(self, scene: Scene, candidates: Candidates, options: ViewOptions) -> None:
        self._scene, self._candidates, self._options = scene, candidates, options
        annotations, images = scene.annotations, scene.images
        level = annotations.visibility
        visible = np.where(np.isnan(level), options.min_visibility <= 1, level >= options.min_visibility)
        has_image = np.isin(annotations.keyframe, images.keyframe)
        self._start = np.where(visible, np.where(has_image, _OUTSIDE_IMAGE, _NO_IMAGE), _VISIBILITY)
        self._rule = self._rules(visible[candidates.annotation])
        valid = np.zeros(len(annotations), bool)
        valid[annotations.valid] = True
        wanted = np.isin(images.keyframe, annotations.keyframe[visible & valid])
        holds_kept = np.isin(np.arange(len(images)), candidates.image[self._rule == _KEPT])
        self.opened = np.where(images.usable, holds_kept, wanted)
        """(images,) whether an image is opened: it shows a view to keep or, its pose unknown, could show one."""
        self._broken: dict[int, str] = {}  # the broken image that could have shown an annotation

    def _rules(self, visible: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The rule (P,) at which each candidate fails, or _KEPT; `visible` (P,) says whose visibility suffices."""
        small = self._candidates.side_px().min(axis=1, initial=np.inf) < self._options.min_side_px
        partly = ~self._candidates.whole & self._options.whole_box
        return np.select([~visible, partly, small], [_VISIBILITY, _PARTLY_OUTSIDE, _TOO_SMALL], _KEPT)

    def kept_in(self, image: int) -> NDArray[np.int64]:
        """The candidates (K,) of an image that pass all rules."""
        first, end = np.searchsorted(self._candidates.image, [image, image + 1])
        kept: NDArray[np.int64] = first + np.flatnonzero(self._rule[first:end] == _KEPT)
        return kept

    def broken(self, image: int) -> None:
        """Note that an image cannot be used: what it shows, or could, has to be seen by another camera."""
        if self._scene.images.usable[image]:
            concerned = self._candidates.annotation[self.kept_in(image)]
        else:
            same_keyframe = self._scene.annotations.keyframe == self._scene.images.keyframe[image]
            concerned = np.flatnonzero(same_keyframe & (self._start != _VISIBILITY))
        for number in concerned.tolist():
            self._broken.setdefault(number, self._scene.images.path[image])

    def reject(self, rejects: SceneRejects, seen: NDArray[np.int64]) -> None:
        """One reject for each valid annotation that is not among those with a view, `seen`."""
        best, candidate = self._start.copy(), np.full(len(self._start), -1)
        for number in (_PARTLY_OUTSIDE, _TOO_SMALL):
            failed = np.flatnonzero(self._rule == number)[::-1]  # the first of several is written last
            best[self._candidates.annotation[failed]] = number
            candidate[self._candidates.annotation[failed]] = failed
        for number in np.setdiff1d(self._scene.annotations.valid, seen).tolist():
            if number in self._broken:
                self._reject_broken(rejects, number)
            else:
                rule = _RULES[best[number]]
                rejects.annotation(self._scene, number, rule, self._reason(number, rule, int(candidate[number])))

    def _reject_broken(self, rejects: SceneRejects, number: int) -> None:
        reason, path = rules.ONLY_IMAGE_BROKEN, self._broken[number]
        rejects.annotation(self._scene, number, rules.BROKEN_IMAGE, reason, path=path, blames_file=True)

    def _reason(self, number: int, rule: Rule, candidate: int) -> str:
        """The sentence for annotation `number`; its best camera is that of `candidate`, none where that is negative."""
        if rule is rules.VISIBILITY:
            level = self._scene.annotations.visibility[number]
            known = "unknown" if np.isnan(level) else f"level {level:.0f}"
            return rule.reason(level=known, least=self._options.min_visibility)
        if candidate < 0:
            return rule.reason()
        channel = self._scene.images.channel[self._candidates.image[candidate]]
        if rule is rules.PARTLY_OUTSIDE:
            return rule.reason(channel=channel)
        width, height = self._candidates.side_px()[candidate]
        return rule.reason(channel=channel, width=width, height=height, least=self._options.min_side_px)
