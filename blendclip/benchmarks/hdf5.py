"""HDF5 files with `data` (N, P, 3) and `label` (N,) or (N, 1), as ModelNet40 and ScanObjectNN are spread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from blendclip.benchmarks.names import label_numbers
from blendclip.datasets.cad.hdf5 import own_dataset
from blendclip.errors import UserError

_CLOUDS_AT_ONCE = 64


def hdf5_clouds(path: Path, classes: int) -> Iterator[tuple[NDArray[np.floating], int]]:
    """The points (P, 3), in the file's own axes, and the label of each cloud.

    Args:
        classes: number of classes of the dataset.

    Raises:
        UserError: the file is missing, cut off or something else, or a label is not one of 0 to `classes` - 1.
    """
    try:
        with h5py.File(path) as file:
            data = own_dataset(file, "data", most_bytes=None)
            if data.ndim != 3 or data.shape[2] != 3:
                raise UserError(f"{path} has data of shape {data.shape}, not (N, P, 3): it is no file of such clouds")
            labels = label_numbers(own_dataset(file, "label")[()], classes, len(data), str(path))
            for start in range(0, len(data), _CLOUDS_AT_ONCE):
                block = data[start : start + _CLOUDS_AT_ONCE]
                yield from zip(block, labels[start : start + _CLOUDS_AT_ONCE].tolist(), strict=True)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}: unpack the release again") from None
    except UserError:
        raise
    except Exception as error:  # the library raises almost anything at a broken file
        raise UserError(f"{path} is no readable HDF5 file with data and label ({error}): unpack it again") from error
