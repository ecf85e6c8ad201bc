"""One keyframe of a scene with its LiDAR points and boxes, which can be moved to any time near it.

Letters in names: B boxes, I images, N points.
"""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blendclip import geometry
from blendclip.errors import DataFault, UserError
from blendclip.mining.keyframes import SplitSweep, newest_sweeps, split_sweep
from blendclip.mining.motion import EgoMotion, TrackPoses
from blendclip.mining.projection import Candidates, project_boxes
from blendclip.mining.scene import Scene

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Moment:
    """A keyframe to draw."""

    scene: Scene
    root: Path
    """Folder of the dataset."""
    keyframe: int
    """Number of the keyframe in the scene."""

    @cached_property
    def boxes(self) -> NDArray[np.int64]:
        """The valid annotations (B,) of the keyframe."""
        annotations = self.scene.annotations
        return annotations.valid[annotations.keyframe[annotations.valid] == self.keyframe]

    @cached_property
    def images(self) -> NDArray[np.int64]:
        """(I,) numbers of the images of the keyframe."""
        return np.flatnonzero(self.scene.images.keyframe == self.keyframe)

    @property
    def timestamp_us(self) -> int:
        """The time of the keyframe."""
        return int(self.scene.keyframe_us[self.keyframe])

    @property
    def title(self) -> str:
        """Dataset, scene, keyframe and time in one line."""
        scene = self.scene
        where = f"{scene.dataset}/{scene.split}   {scene.name}   keyframe {self.keyframe} of {len(scene.sample_token)}"
        return f"{where}   {clock(self.timestamp_us)}"

    @cached_property
    def poses(self) -> TrackPoses:
        """Poses of the scene's boxes at any time."""
        return TrackPoses(self.scene.annotations, "interpolate")

    @cached_property
    def candidates(self) -> Candidates:
        """All boxes of the scene in all images that show them."""
        return project_boxes(self.scene, self.poses)

    @cached_property
    def sweeps(self) -> dict[str, SplitSweep]:
        """The keyframe's sweep of each LiDAR, by channel; a broken one is left out, as the log says."""
        ego, found = EgoMotion(self.scene), {}
        for sweep in newest_sweeps(self.scene, self.keyframe):
            try:
                split = split_sweep(self.scene, self.root, sweep, self.boxes, self.poses, ego, "per_point")
            except DataFault as fault:
                log.warning("%s: %s", self.scene.sweeps.path[sweep], fault)
                continue
            found[str(self.scene.sweeps.channel[sweep])] = split
        return found

    def points_at(self, timestamp_us: int) -> dict[str, NDArray[np.float64]]:
        """By LiDAR, the points (N, 3) in the global frame at another time, those in boxes moved with them."""
        global_SE3_box = self.poses.at(self.boxes, np.full(len(self.boxes), timestamp_us))
        moved = {}
        for channel, split in self.sweeps.items():
            of_point = global_SE3_box[split.box]
            in_boxes = np.einsum("nij,nj->ni", of_point[..., :3], split.xyz_box) + of_point[..., 3]
            moved[channel] = np.concatenate([split.rest_global, in_boxes])
        return moved

    def camera_name(self, image: int) -> str:
        """The channel of an image, and its time after the keyframe."""
        late_ms = (int(self.scene.images.timestamp_us[image]) - self.timestamp_us) / 1000
        return f"{self.scene.images.channel[image]} ({late_ms:+.0f} ms)"

    def azimuth_deg(self, image: int) -> float:
        """The direction in which a camera looks from the vehicle: 0 ahead, 90 to the left, in (-180, 180]."""
        ego_SE3_global = geometry.inverse(self.scene.global_SE3_ego[self.keyframe])
        x, y, _ = ego_SE3_global[:, :3] @ self.scene.images.global_SE3_sensor[image][:, 2]
        return float(np.degrees(np.arctan2(y, x)))


def moment_of(scene: Scene, root: Path, keyframe: int | None) -> Moment:
    """A keyframe of a scene.

    Args:
        scene: the scene.
        root: folder of the dataset.
        keyframe: its number; None for the middle one of those with boxes.

    Raises:
        UserError: the scene has no such keyframe, or none at all.
    """
    count = len(scene.sample_token)
    if keyframe is None:
        with_boxes = np.unique(scene.annotations.keyframe)
        keyframe = int(with_boxes[len(with_boxes) // 2]) if len(with_boxes) else count // 2
    if not 0 <= keyframe < count:
        raise UserError(f"scene {scene.name} has no keyframe {keyframe}: it has {count}, counted from 0")
    return Moment(scene, root, keyframe)


def clock(timestamp_us: int) -> str:
    """A timestamp as text, in UTC to the millisecond."""
    seconds, rest_us = divmod(timestamp_us, 1_000_000)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest_us // 1000:03d} UTC"


def short_name(category: str) -> str:
    """A category without its first group: `human.pedestrian.adult` is `pedestrian.adult`."""
    return category.split(".", 1)[-1]
