"""What was mined against what the dataset says of it: points in boxes, and `num_lidar_pts`.

A dataset counts the points of a keyframe's sweeps. Boxes of wrong sizes or poses have others, and many have even fewer
over all sweeps of their window: 8 to 20 % of them where sizes or yaws are wrong, hardly any in good data.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip.errors import UserError
from blendclip.mining.options import Motion
from blendclip.mining.scene import Annotations, Scene

log = logging.getLogger(__name__)

_NEAR = 0.1  # share by which a count may be off and still agree: boxes are rounded, points lie on faces
_FEW_AGREE = 0.8  # share of near counts below which a run is warned
_FEWEST = 5  # annotations that have fewer points and stop a job: some are slips of an annotator
_COUNTS = ("compared", "with_points", "exact", "near", "fewer")
_CAUSES = (
    "sizes in another order than width, length, height, a yaw that is frozen or negated, centers at the bottom of "
    "boxes, LiDAR axes or a mounting that are turned, or a wrong `lidar_columns`"
)


@dataclass
class Agreement:
    """Counts of annotations over a job or a split."""

    compared: int = 0
    """Annotations with a known count, whose keyframe's sweeps could be read."""
    with_points: int = 0
    """Those in which the dataset says there is a point."""
    exact: int = 0
    """Those with exactly as many points in their keyframe's sweeps."""
    near: int = 0
    """Those with at most a tenth more or less."""
    fewer: int = 0
    """Those that even over all sweeps of their window have over a tenth fewer."""
    example: str = ""
    """The first of these."""

    def add(
        self, annotations: Annotations, which: NDArray[np.int64], found: NDArray[np.int64], over_all: NDArray[np.int64]
    ) -> None:
        """Count the annotations `which` (C,), but for those whose `num_lidar_pts` is not known.

        They have `found` (C,) points in their keyframe's sweeps and `over_all` (C,) in all sweeps.
        """
        told = annotations.num_lidar_pts[which]
        known = ~np.isnan(told)
        which, found, over_all, told = which[known], found[known], over_all[known], told[known]
        fewer = np.flatnonzero(over_all < (1 - _NEAR) * told)
        self.compared += len(told)
        self.with_points += int((told > 0).sum())
        self.exact += int((found == told).sum())
        self.near += int((np.abs(found - told) <= _NEAR * told).sum())
        self.fewer += len(fewer)
        if len(fewer) and not self.example:
            first = fewer[0]
            self.example = f"{annotations.token[which[first]]}: {over_all[first]}, not {told[first]:.0f}"

    @classmethod
    def total(cls, parts: Iterable[Mapping[str, Any]]) -> Agreement:
        """The counts of all parts, each as `asdict` gives it."""
        rows = list(parts)
        counts = {name: sum(row[name] for row in rows) for name in _COUNTS}
        return cls(**counts, example=next((row["example"] for row in rows if row["example"]), ""))

    def shares(self) -> dict[str, Any]:
        """As the summary has them: shares of the annotations compared, None where there are none."""
        among = {"exact": self.compared, "near": self.compared, "fewer": self.with_points}
        made = {name: round(getattr(self, name) / whole, 4) if whole else None for name, whole in among.items()}
        return {"annotations": self.compared, "with_points": self.with_points} | made

    def checked(self, tables: Iterable[pa.Table], max_disagree_fraction: float) -> Iterator[pa.Table]:
        """The tables of a job, during which this grows; raises after the last one as `check` does."""
        yield from tables
        self.check(max_disagree_fraction)

    def check(self, max_disagree_fraction: float) -> None:
        """Fail when too many annotations have fewer points than the dataset says; warn when few agree with it.

        Raises:
            UserError: names what may be wrong.
        """
        if self.fewer > max_disagree_fraction * self.with_points and self.fewer >= _FEWEST:
            raise UserError(
                f"{self.fewer} of {self.with_points} annotations have fewer LiDAR points over all their sweeps than "
                f"num_lidar_pts says for their keyframe alone, such as {self.example}; that is more than "
                f"max_disagree_fraction {max_disagree_fraction:g} allows: look for {_CAUSES}; raise "
                "max_disagree_fraction if the dataset counted other points"
            )
        if _few_agree(shares := self.shares()):
            log.warning("%s", agreement_as_text(shares))


def agreement_as_text(shares: Mapping[str, Any]) -> str:
    """What `Agreement.shares` says, as a line of the summary, with a warning where few annotations agree."""
    if not shares["annotations"]:
        return "LiDAR points against num_lidar_pts: nothing to compare, so nothing says that boxes fit the points"
    line = (
        f"LiDAR points against num_lidar_pts: {shares['exact']:.1%} exact in the keyframe's sweeps, "
        f"{shares['near']:.1%} within 10 %, {shares['fewer'] or 0:.1%} fewer over all sweeps (of "
        f"{shares['annotations']:,} annotations)"
    )
    return f"{line}\n  WARNING: few agree; look for {_CAUSES}" if _few_agree(shares) else line


def _few_agree(shares: Mapping[str, Any]) -> bool:
    return shares["near"] is not None and shares["near"] < _FEW_AGREE


class KeyframeCounts:
    """How many points the N annotations of a scene have in the sweeps of their own keyframe.

    `boxes` (P,) are the annotations and `sweeps` (P,) the sweeps of their keyframes, one of each LiDAR. An annotation
    counts once all of its sweeps were read; none does where points have times that `motion` passes over, unless the
    points are compensated for the motion of the vehicle.
    """

    def __init__(self, scene: Scene, motion: Motion, boxes: NDArray[np.int64], sweeps: NDArray[np.int64]) -> None:
        self._annotations = scene.annotations
        self._points = np.zeros(len(scene.annotations), np.int64)
        self._unread = np.bincount(boxes, minlength=len(scene.annotations))
        self._awaited = self._unread > 0
        if motion != "per_point":
            passed_over = scene.sweeps.point_times[sweeps] & ~scene.sweeps.motion_compensated[sweeps]
            self._awaited[boxes[passed_over]] = False

    def add(self, boxes: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Add a sweep that serves boxes (B,) of its own keyframe, `counts` (B,) points to each."""
        self._points[boxes] += counts
        self._unread[boxes] -= 1

    def compare(self, agreement: Agreement, over_all: NDArray[np.int64]) -> None:
        """Count the annotations in `agreement`; over all sweeps they have `over_all` (N,) points."""
        which = np.flatnonzero(self._awaited & (self._unread == 0))
        agreement.add(self._annotations, which, self._points[which], over_all[which])
