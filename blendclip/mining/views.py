"""Views: camera crops of annotations, projected at each image's own time and pose."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from blendclip import storage
from blendclip.errors import DataFault
from blendclip.mining.motion import TrackPoses
from blendclip.mining.projection import Candidates, project_boxes
from blendclip.mining.rejects import Rejects
from blendclip.mining.scene import BROKEN_POSE, Scene, read_scenes

log = logging.getLogger(__name__)

# An annotation that no camera keeps is rejected by the rule at which its best camera failed, the last of these it met.
RULES = ("visibility", "no_image", "outside_image", "partly_outside", "too_small", "broken_image")
_FAULTS = {"no_image", "broken_image"}
_PASSED_ON = ["instance_token", "category", "class_name", "attributes", "size_lwh_m"]


@dataclass(frozen=True)
class ViewOptions:
    """Which boxes are cut out of which images. The defaults are those of arXiv 2510.18244."""

    min_visibility: int = 4
    """Lowest visibility level of the annotation, 1 to 4; unknown visibility passes only at 1."""
    whole_box: bool = True
    """Whether all corners of the box must be inside the image."""
    min_side_px: int = 50
    """Least width and least height of the crop."""
    jpeg_quality: int = 95
    """Quality of the stored crops, without chroma subsampling."""


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
    """Write the views of one part (schema `storage.VIEWS`) and its rejects; return the number of views.

    Raises:
        UserError: no index, or more broken images than `max_fault_fraction`.
    """
    rejects = Rejects("views")
    scenes = read_scenes(index, part, parts)
    tables = (storage.table_of(list(scene_views(scene, root, options, rejects)), storage.VIEWS) for scene in scenes)
    tables = rejects.checked(tables, max_fault_fraction)
    rows = storage.write_parquet(output, storage.VIEWS, tables, storage.metadata("views", asdict(options)))
    rejects.write(rejects_output, asdict(options))
    return rows


def scene_views(scene: Scene, root: Path, options: ViewOptions, rejects: Rejects) -> Iterator[dict[str, Any]]:
    """The views of one scene, image by image. An image is decoded once, and only if it holds a view to keep."""
    annotations, images = scene.annotations, scene.images
    rejects.attempt("annotation", len(annotations))
    for number, reason in annotations.faults.items():
        rejects.annotation(scene, number, "fault", "broken_annotation", reason)
    passed_on = annotations.columns.select(_PASSED_ON).to_pylist()
    fates = _Fates(scene, options)
    candidates = project_boxes(scene, TrackPoses(annotations, "interpolate"))
    for image in range(len(images)):
        kept = [place for place in candidates.of_image(image) if fates.keeps(candidates, place)]
        hoped_for = candidates.annotation[kept] if images.usable[image] else fates.wanted_in(images.keyframe[image])
        if not len(hoped_for):
            continue
        rejects.attempt("image")
        try:
            crops = _crops(root, scene, image, candidates, kept, options)
        except DataFault as fault:
            rejects.file(scene, "image", images.path[image], str(fault))
            fates.broken(hoped_for, images.path[image])
            continue
        for place, jpeg in zip(kept, crops, strict=True):
            fates.done(candidates.annotation[place])
            yield _row(scene, candidates, place, jpeg) | passed_on[candidates.annotation[place]]
    fates.reject(rejects)
    log.info("%s: %d annotations, %d with a view", scene.name, len(annotations), fates.seen)


def _crops(
    root: Path, scene: Scene, image: int, candidates: Candidates, kept: list[int], options: ViewOptions
) -> list[bytes]:
    """The JPEGs cut from one image.

    Raises:
        DataFault: the file is missing, broken or of another size than the index says, or where it looks is unknown.
    """
    if not scene.images.usable[image]:
        raise DataFault(BROKEN_POSE)
    path, size_wh_px = root / scene.images.path[image], scene.images.size_wh_px[image]
    try:
        pixels = simplejpeg.decode_jpeg(path.read_bytes(), strict=True)
    except FileNotFoundError:
        raise DataFault("no such file") from None
    except OSError as error:
        raise DataFault(f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DataFault(f"is no sound JPEG: {error}") from None
    size_px = (pixels.shape[1], pixels.shape[0])
    if size_px != tuple(size_wh_px):
        raise DataFault(f"is {size_px} px, the dataset's tables say {tuple(size_wh_px.tolist())}")
    return [_jpeg(pixels, candidates.crop_box(place), options.jpeg_quality) for place in kept]


def _jpeg(pixels: NDArray[np.uint8], box: tuple[int, int, int, int], quality: int) -> bytes:
    left, upper, right, lower = box
    crop = np.ascontiguousarray(pixels[upper:lower, left:right])
    return simplejpeg.encode_jpeg(crop, quality=quality, colorsubsampling="444", fastdct=False)


def _row(scene: Scene, candidates: Candidates, place: int, jpeg: bytes) -> dict[str, Any]:
    annotations, images = scene.annotations, scene.images
    number, image = int(candidates.annotation[place]), int(candidates.image[place])
    token, channel = annotations.token[number], images.channel[image]
    return {
        "view_id": f"{scene.dataset}/{token}/{channel}",
        "dataset": scene.dataset,
        "split": scene.split,
        "scene": scene.name,
        "sample_token": scene.sample_token[annotations.keyframe[number]],
        "annotation_token": token,
        "timestamp_us": images.timestamp_us[image],
        "channel": channel,
        "image": {"bytes": jpeg, "path": f"{token}-{channel}.jpg"},
        "crop_xyxy_px": candidates.xyxy_px[place],
        "covered_fraction": candidates.covered_fraction(place),
        "camera_distance_m": candidates.distance_m[place],
        "camera_azimuth_rad": candidates.azimuth_rad[place],
    }


class _Fates:
    """How far each annotation of a scene came: for those without any view, the rule at which its best camera failed."""

    def __init__(self, scene: Scene, options: ViewOptions) -> None:
        self._scene, self._options = scene, options
        self._met: dict[int, tuple[str, str, str | None]] = {}  # rule, reason, broken file
        self._done: set[int] = set()
        visibility, keyframe = scene.annotations.visibility, scene.annotations.keyframe
        pictured = set(scene.images.keyframe.tolist())
        for number in scene.annotations.sound.tolist():
            level = visibility[number]
            if not (level >= options.min_visibility or (np.isnan(level) and options.min_visibility <= 1)):
                known = "unknown" if np.isnan(level) else f"level {level:.0f}"
                reason = f"visibility is {known}; min_visibility is {options.min_visibility}"
                self._met[number] = ("visibility", reason, None)
            elif keyframe[number] in pictured:
                self._met[number] = ("outside_image", "no camera of the keyframe sees the box", None)
            else:
                self._met[number] = ("no_image", "its keyframe has no camera image", None)

    @property
    def seen(self) -> int:
        """How many annotations have a view."""
        return len(self._done)

    def wanted_in(self, keyframe: int) -> NDArray[np.int64]:
        """The annotations of a keyframe that are visible enough to look for in its images."""
        wanted = [number for number, (rule, _, _) in self._met.items() if rule != "visibility"]
        return np.array([number for number in wanted if self._scene.annotations.keyframe[number] == keyframe], np.int64)

    def keeps(self, candidates: Candidates, place: int) -> bool:
        """Whether the crop passes the rules; if not, why is noted."""
        number = int(candidates.annotation[place])
        if self._met[number][0] == "visibility":
            return False
        channel = self._scene.images.channel[candidates.image[place]]
        if self._options.whole_box and not candidates.whole[place]:
            self._fails(number, "partly_outside", f"the box reaches out of the image of {channel}; whole_box is set")
            return False
        width, height = candidates.size_px(place)
        if min(width, height) < self._options.min_side_px:
            crop = f"its crop in {channel} has {width:.0f}x{height:.0f} px"
            self._fails(number, "too_small", f"{crop}; min_side_px is {self._options.min_side_px}")
            return False
        return True

    def broken(self, numbers: NDArray[np.int64], path: str) -> None:
        """Note that an image that shows these annotations, or could, cannot be used."""
        for number in numbers.tolist():
            self._fails(number, "broken_image", "no sound image gives a view, and this one is broken", path)

    def done(self, number: int) -> None:
        """Note that the annotation has a view."""
        self._done.add(int(number))

    def _fails(self, number: int, rule: str, reason: str, path: str | None = None) -> None:
        if RULES.index(rule) > RULES.index(self._met[number][0]):
            self._met[number] = (rule, reason, path)

    def reject(self, rejects: Rejects) -> None:
        """One reject for each annotation without a view."""
        for number in sorted(self._met.keys() - self._done):
            rule, reason, path = self._met[number]
            kind = "fault" if rule in _FAULTS else "filtered"
            blames_file = path is not None
            rejects.annotation(self._scene, number, kind, rule, reason, path=path, blames_file=blames_file)
