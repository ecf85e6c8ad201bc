"""When a sensor may have measured what serves a keyframe: one rule for what is mined and for what is validated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEAR_US = 1_000_000


def in_time(
    time_us: NDArray[np.int64], keyframe: NDArray[np.int64], keyframe_us: NDArray[np.int64], *, sweeps: bool
) -> NDArray[np.bool_]:
    """Whether each reading lies within a second of the time it serves; what does not has a wrong time stamp.

    An image serves the moment of its keyframe, a sweep the time since the keyframe before (before the first, as much).

    Args:
        time_us: (M,) of the readings.
        keyframe: (M,) the keyframe that each serves, counted in the scene.
        keyframe_us: of all keyframes of the scene, in order.
        sweeps: whether these are sweeps.
    """
    begin_us = keyframe_us
    if sweeps:
        begin_us = np.concatenate([keyframe_us[:1] - np.diff(keyframe_us[:2]).sum(), keyframe_us[:-1]])
    return (time_us >= begin_us[keyframe] - NEAR_US) & (time_us <= keyframe_us[keyframe] + NEAR_US)
