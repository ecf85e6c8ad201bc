"""Features of many clouds by a point encoder, each independent of what is encoded beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blendclip.encoders.clouds import Clouds, normalized
from blendclip.encoders.devices import sender
from blendclip.encoders.plan import kind_of, planned
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
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
    config, batches = encoder.config, _batches(np.minimum(np.asarray(num_points), max_points))
    features = np.empty((len(num_points), config.out_dim), np.float32)
    was_training = encoder.training
    encoder.eval()
    encoded = [_encoded(encoder, _gathered(read, rows, max_points, config, in_metres)) for rows in batches]
    encoder.train(was_training)
    if batches:
        features[np.concatenate(batches)] = torch.cat(encoded).cpu().numpy()
    return features


def _encoded(encoder: PointBert, clouds: Clouds) -> Tensor:
    """(B, D) unit features, on the encoder's device, of B clouds on the CPU; a GPU is not waited for."""
    device = next(encoder.parameters()).device
    on_gpu = device.type == "cuda"
    there = (clouds.pin_memory() if on_gpu else clouds).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
        plan = planned(clouds.lengths.tolist(), encoder.config, kind_of(encoder.config, device))
        encoded_BD = encoder(normalized(there), plan=plan.moved(sender(device)))
    return torch.nn.functional.normalize(encoded_BD.float(), dim=1)


def _batches(sizes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The clouds by rising size, in batches of about `_POINTS_AT_ONCE` points."""
    order = np.argsort(sizes, kind="stable")
    which = np.cumsum(sizes[order]) // _POINTS_AT_ONCE
    return np.split(order, np.flatnonzero(np.diff(which)) + 1) if len(order) else []


def _gathered(
    read: ReadCloud, rows: NDArray[np.int64], max_points: int, config: PointBertConfig, in_metres: bool
) -> Clouds:
    """Some clouds end to end, each with at most `max_points` points."""
    points, rgb = [], []
    for row in rows.tolist():
        xyz, color = read(row)
        chosen = subset(len(xyz), max_points, _SUBSET_SEED)
        points.append(torch.from_numpy(np.ascontiguousarray(xyz[chosen])))
        if config.colors:
            assert color is not None, "an encoder with colours needs some for every cloud"
            rgb.append(torch.from_numpy(np.ascontiguousarray(color[chosen])))
    return Clouds.of(points, rgb if config.colors else None, [in_metres] * len(rows) if config.size else None)
