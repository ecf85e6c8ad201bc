"""The adapter of Argoverse 2's sensor dataset.

Sweeps hold the points of both LiDARs in the ego frame at the sweep's time stamp, compensated for the motion of the
vehicle and for no other, with the time of each point. Boxes stand in the ego frame of their own time. Images are
undistorted as released. Times count nanoseconds of a clock of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blendclip.datasets.drives.argoverse2.categories import (
    AS_NUSCENES,
    BENCHMARK,
    CATEGORIES,
    NUSCENES,
    benchmark_class,
)
from blendclip.datasets.drives.argoverse2.logs import Log, split_logs
from blendclip.datasets.drives.argoverse2.scene_rows import scene_row
from blendclip.datasets.drives.classes import Classes
from blendclip.datasets.drives.options import Argoverse2Options

log = logging.getLogger(__name__)


@dataclass
class Loaded:
    """A dataset, and what the user says of it."""

    root: Path
    options: Argoverse2Options
    classes: Classes
    unknown: set[str]
    """Categories that were said to be none of Argoverse 2."""

    def class_of(self, category: str) -> str | None:
        """The class of a category; None where it has none."""
        found = self.classes(category)
        if found is None and category not in CATEGORIES and category not in self.unknown:
            self.unknown.add(category)
            log.warning("%s is no category of Argoverse 2 and has no class: give it one in `classes`", category)
        return found


class Argoverse2:
    """Reads splits of the sensor dataset, folders of logs."""

    def load(self, root: Path, **options: Any) -> Loaded:
        """The dataset at `root`, which holds a folder for each split; `options` are those of `Argoverse2Options`.

        Raises:
            UserError: a class of the table `classes` is not known.
        """
        read = Argoverse2Options(**options)
        if read.class_names == "nuscenes":
            classes = Classes(read.classes, AS_NUSCENES.get, NUSCENES)
        else:
            classes = Classes(read.classes, benchmark_class, BENCHMARK)
        log.warning(
            "Argoverse 2 does not say how visible a box is: views are cut with `views: {min_visibility: 1}` alone"
        )
        return Loaded(root, read, classes, set())

    def split_scenes(self, loaded: Loaded, split: str) -> list[Log]:
        """The logs of a split that can be mined, by name.

        Raises:
            UserError: there are none.
        """
        return split_logs(loaded.root, split, loaded.options.missing_files)

    def rows(self, loaded: Loaded, scenes: Sequence[Log]) -> Iterator[dict[str, Any]]:
        """The rows of the scene index (schema `schemas.INDEX`) but for dataset and split, one per log with a keyframe.

        Raises:
            UserError: a table is missing or broken.
        """
        for recording in scenes:
            once = replace(recording)  # a copy, whose tables go with it
            row = scene_row(once, loaded.options, loaded.class_of)
            if row is not None:
                yield row


ADAPTER = Argoverse2()
