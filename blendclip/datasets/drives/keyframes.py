"""The keyframes of a scene in order, and which of them each sweep serves."""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from blendclip.datasets.drives.loading import DANGLING, Rows, Tables
from blendclip.geometry import NEAR_US

log = logging.getLogger(__name__)

_TOKEN = "a token of sample.json: unpack the dataset again"


def keyframes_of(tables: Tables, scene: int) -> Rows:
    """The valid samples (K,) of a scene, rows of `sample`, as `next` chains them.

    Raises:
        UserError: the chain is broken, goes in a circle, leaves samples out or leads into another scene.
    """
    sample, name = tables.sample, tables.scene.value("name", scene)
    row, chain, seen = int(tables.first_sample[scene]), list[int](), set[int]()
    if row == DANGLING:
        raise tables.scene.fault(
            scene, "first_sample_token", f"a token of {sample.path.name}: unpack the dataset again"
        )
    while row >= 0:
        if row in seen:
            raise sample.fault(chain[-1], "next", f"a later sample: scene {name} goes in a circle, which has to be cut")
        if tables.scene_of_sample[row] != scene:
            must = f"that of scene {name}, in whose chain of samples it is: give each scene samples of its own"
            raise sample.fault(row, "scene_token", must)
        chain.append(row)
        seen.add(row)
        row = int(tables.next_sample[row])
    if row == DANGLING:
        raise sample.fault(chain[-1], "next", _TOKEN)
    left_out = [other for other in tables.samples_by_scene[scene].tolist() if other not in seen]
    if chain and left_out:
        must = f"reached from the first sample of scene {name} by `next`: mend the chain of samples"
        raise sample.fault(left_out[0], "token", must)
    rows = np.array(chain, np.int64)
    return rows[sample.array("is_valid")[rows]] if chain else rows


def readings_once(tables: Tables, rows: Rows) -> Rows:
    """Those of the readings of a scene, rows of `sample_data` by channel and time, that are no other's file or moment.

    Of several one that is marked as a key frame stays, or else the first in the file; the others are said.
    """
    data = tables.sample_data
    files = pc.dictionary_encode(data.arrow("filename").take(pa.array(rows)))
    channel, time_us = tables.channel_of_reading[rows], data.times_us[rows]
    same_moment = (channel[1:] == channel[:-1]) & (time_us[1:] == time_us[:-1])
    if len(files.dictionary) == len(rows) and not same_moment.any():
        return rows
    keys = list(zip(files.indices.to_pylist(), zip(channel, time_us.tolist(), strict=True), strict=True))
    seen_files, seen_moments, kept = set[int](), set[tuple[str, int]](), np.zeros(len(rows), bool)
    for number in np.lexsort((rows, ~data.array("is_key_frame")[rows])).tolist():
        of_file, moment = keys[number]
        kept[number] = of_file not in seen_files and moment not in seen_moments
        seen_files.add(of_file)
        seen_moments.add(moment)
    if len(twice := rows[~kept]):
        log.warning(
            "%s: %d records have the file, or the sensor and time, of another one and are left out, so that nothing "
            "counts twice, such as token %s",
            *(data.path, len(twice), data.value("token", int(twice[0]))),
        )
    return rows[kept]


def serving_keyframes(
    time_us: NDArray[np.int64],
    named: NDArray[np.int64],
    is_key_frame: NDArray[np.bool_],
    keyframe_us: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The keyframe (M,) that each sweep of a LiDAR serves: the first that is not before it; the last one after that.

    A keyframe's time is that of its own sweep, the nearest of those marked as key frames that name it, or else its
    sample's. Which keyframe any other sweep names does not count.

    Args:
        time_us: (M,) of the sweeps.
        named: (M,) the keyframe that each sweep names, -1 where that is not one of the scene.
        is_key_frame: (M,) whether a sweep is marked as a keyframe's own.
        keyframe_us: (K,) of the keyframes, in order.
    """
    gap_us = np.abs(time_us - keyframe_us[named])
    own = np.flatnonzero(is_key_frame & (named >= 0) & (gap_us <= NEAR_US))
    own = own[np.argsort(-gap_us[own], kind="stable")]
    own_us, own_sweep = keyframe_us.copy(), np.full(len(keyframe_us), -1)
    own_us[named[own]], own_sweep[named[own]] = time_us[own], own  # the nearest last, which stays
    serves = np.searchsorted(np.maximum.accumulate(own_us), time_us).clip(max=len(keyframe_us) - 1)
    keyframes = np.flatnonzero(own_sweep >= 0)
    serves[own_sweep[keyframes]] = keyframes
    return serves
