"""What a dataset's tables hold that a user should know before mining it."""

from __future__ import annotations

import logging
from itertools import pairwise

import numpy as np

from blendclip import plausible
from blendclip.datasets.drives.loading import Tables

log = logging.getLogger(__name__)

_DAY_US = 86_400 * 10**6
_MODALITIES = ("lidar", "camera", "radar")


def warn_of_remarkable(tables: Tables) -> None:
    """Say once what is left out, what is not honoured, and which scenes are the same drive."""
    _warn_of_invalid(tables)
    _warn_of_other_sensors(tables)
    _warn_of_counts(tables)
    _warn_of_stray_poses(tables)
    _warn_of_distortion(tables)
    _warn_of_overlaps(tables)


def _warn_of_invalid(tables: Tables) -> None:
    for table in (tables.sample, tables.sample_data, tables.sample_annotation):
        if invalid := int((~table.array("is_valid")).sum()):
            log.warning("%s: %d of %d records are marked invalid and left out", table.path, invalid, len(table))


def _warn_of_other_sensors(tables: Tables) -> None:
    table = tables.sensor
    for row, modality in enumerate(table.arrow("modality").to_pylist()):
        if modality not in _MODALITIES:
            log.warning(
                "%s: the modality of %s is %s, not %s: its files are not used",
                *(table.path, table.value("channel", row), f"{modality!r:.80}", ", ".join(_MODALITIES)),
            )


def _warn_of_counts(tables: Tables) -> None:
    table = tables.sample_annotation
    for field in ("num_lidar_pts", "num_radar_pts"):
        points = table.array(field)
        if len(strange := np.flatnonzero((points >= 0) & ~plausible.are_counts(points))):
            log.warning(
                "%s: %d records have a number in %s that no box has, such as %s, and count as not known",
                *(table.path, len(strange), field, points[strange[0]]),
            )


def _warn_of_stray_poses(tables: Tables) -> None:
    """Of a stream of ego poses, which are taken by their times alone."""
    table = tables.ego_pose
    if "timestamp" not in table.columns.column_names or not len(tables.sample):
        return
    first_us, last_us = tables.sample.times_us.min() - _DAY_US, tables.sample.times_us.max() + _DAY_US
    if len(stray := np.flatnonzero((table.times_us < first_us) | (table.times_us > last_us))):
        log.warning(
            "%s: %d of %d records have times a day or more off all samples, such as %d, and are not used",
            *(table.path, len(stray), len(table), table.times_us[stray[0]]),
        )


def _warn_of_distortion(tables: Tables) -> None:
    table, bent = tables.calibrated_sensor, set[str]()
    for row, coefficients in enumerate(table.arrow("camera_distortion").to_pylist()):
        if any(coefficients or []):
            bent.add(str(tables.sensor.value("channel", int(tables.sensor_of_mounting[row]))))
    if bent:
        log.warning(
            "%s: %s have coefficients of distortion, which are not used: undistort the images and their intrinsics, or "
            "boxes miss what they name near the edges of images",
            *(table.path, ", ".join(sorted(bent))),
        )


def _warn_of_overlaps(tables: Tables) -> None:
    """Scenes cut from one log that share time hold the same objects twice."""
    spans: dict[str, list[tuple[int, int, str]]] = {}
    for scene, (name, log_token) in enumerate(
        zip(tables.scene.arrow("name").to_pylist(), tables.scene.arrow("log_token").to_pylist(), strict=True)
    ):
        times_us = tables.sample.times_us[tables.samples_by_scene[scene]]
        if log_token and len(times_us):
            spans.setdefault(log_token, []).append((int(times_us.min()), int(times_us.max()), name))
    pairs = [pair for of_log in spans.values() for pair in pairwise(sorted(of_log))]
    overlapping = [(before[2], after[2]) for before, after in pairs if after[0] <= before[1]]
    if overlapping:
        log.warning(
            "%s: %d pairs of scenes share time of the same log, such as %s and %s: their objects are mined twice; keep "
            "both in one split, or cut one",
            *(tables.scene.path, len(overlapping), *overlapping[0]),
        )
