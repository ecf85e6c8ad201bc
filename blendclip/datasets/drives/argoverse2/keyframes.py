"""Which of the annotated timestamps of a log are keyframes."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from blendclip.datasets.drives.argoverse2.logs import LIDAR, NS_PER_US, POSES, Log
from blendclip.datasets.drives.options import MissingFiles
from blendclip.errors import UserError

log = logging.getLogger(__name__)


def keyframes_of(
    recording: Log, swept_ns: NDArray[np.int64], hz: float, missing_files: MissingFiles
) -> NDArray[np.int64]:
    """The keyframes (K,) of a log, `hz` a second, among the annotated times, nanoseconds.

    They have a sweep, of those at `swept_ns` (M,), and an ego pose; what is annotated at other times is left out, and
    said.

    Raises:
        UserError: a sweep is missing and `missing_files` is stop.
    """
    times_ns, boxes = np.unique(recording.annotations["timestamp_ns"], return_counts=True)
    swept = np.isin(times_ns, swept_ns)
    posed = np.isfinite(recording.ego_poses.at(times_ns // NS_PER_US)).all(axis=(1, 2))
    if not swept.all():
        found = _told(recording, times_ns, boxes, ~swept, f"no sweep in {LIDAR}")
        if missing_files == "stop":
            raise UserError(f"{found}: download the rest, or set `missing_files: skip` to leave them out")
        log.warning("%s: they are left out", found)
    if (lost := swept & ~posed).any():
        log.warning("%s: they are left out", _told(recording, times_ns, boxes, lost, f"no pose in {POSES}"))
    return at_rate(times_ns[swept & posed], hz)


def _told(
    recording: Log, times_ns: NDArray[np.int64], boxes: NDArray[np.int64], which: NDArray[np.bool_], lack: str
) -> str:
    return (
        f"log {recording.name}: {which.sum()} of {len(times_ns)} annotated timestamps, with {boxes[which].sum()} "
        f"boxes, have {lack}, such as {times_ns[which][0]}"
    )


def at_rate(times_ns: NDArray[np.int64], hz: float) -> NDArray[np.int64]:
    """Of ascending times (N,) the first, and each that follows the one before after a period, by half a step at most.

    A step is what usually lies between two of the times; a rate above theirs gives all.
    """
    if len(times_ns) < 2:
        return times_ns
    least_ns = 1e9 / hz - np.median(np.diff(times_ns)) / 2
    kept = [0]
    for number in range(1, len(times_ns)):
        if times_ns[number] - times_ns[kept[-1]] >= least_ns:
            kept.append(number)
    return times_ns[kept]
