"""Features of many clouds by a point encoder, each independent of what is encoded beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from blendclip.encoders.clouds import Clouds, normalized
from blendclip.encoders.pointbert import PointBert
from blendclip.randomness import subset

_SUBSET_SEED = 0
_POINTS_AT_ONCE = 1 << 18
ReadCloud = Callable[[int], tuple[NDArray[np.float32], NDArray[np.float32] | None]]
"""Takes the number of a cloud; gives its points (n, 3) and colours (n, 3), 0 to 1, or None."""


@torch.inference_mode()
def encode_clouds(
    encoder: PointBert, read: ReadCloud, num_points: Sequence[int] | NDArray, max_points: int, *, in_metres: bool
) -> NDArray[np.float32]:
    """Unit features (N, D) of N clouds, as the encoder gives them in evaluation mode.

    Clouds of similar size are encoded together. Of a cloud with more than `max_points` points a subset is encoded that
    depends on their number alone.

    Args:
        encoder: a point encoder, on the device that computes.
        read: gives the clouds 0 to N - 1.
        num_points: (N,) points of each cloud.
        max_points: most points of a cloud that are encoded.
        in_metres: whether the clouds are in metres; an encoder with `size` is told none of others.
    """
    device = next(encoder.parameters()).device
    sizes = np.minimum(np.asarray(num_points), max_points)
    features = np.empty((len(sizes), encoder.config.out_dim), np.float32)
    was_training = encoder.training
    encoder.eval()
    for rows in _batches(sizes):
        clouds = _gathered(read, rows, max_points, encoder.config.colors).to(device)
        if encoder.config.size:
            clouds = replace(clouds, in_metres=torch.full((len(rows),), in_metres, device=device))
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            encoded = encoder(normalized(clouds))
        features[rows] = torch.nn.functional.normalize(encoded.float(), dim=1).cpu().numpy()
    encoder.train(was_training)
    return features


def _batches(sizes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The clouds by rising size, in batches of about `_POINTS_AT_ONCE` points."""
    order = np.argsort(sizes, kind="stable")
    which = np.cumsum(sizes[order]) // _POINTS_AT_ONCE
    return np.split(order, np.flatnonzero(np.diff(which)) + 1) if len(order) else []


def _gathered(read: ReadCloud, rows: NDArray[np.int64], max_points: int, colors: bool) -> Clouds:
    """Some clouds end to end, each with at most `max_points` points."""
    points, rgb = [], []
    for row in rows.tolist():
        xyz, color = read(row)
        chosen = subset(len(xyz), max_points, _SUBSET_SEED)
        points.append(torch.from_numpy(np.ascontiguousarray(xyz[chosen])))
        if colors:
            assert color is not None, "an encoder with colours needs some for every cloud"
            rgb.append(torch.from_numpy(np.ascontiguousarray(color[chosen])))
    return Clouds.of(points, rgb if colors else None)
