"""Datasets of HDF5 files from elsewhere, which can name other files, and themselves, and be of any size."""

from __future__ import annotations

import h5py

MOST_BYTES = 2**26  # an image of 4096 x 4096 px with opacity


def own_dataset(file: h5py.Group, name: str, most_bytes: int | None = MOST_BYTES) -> h5py.Dataset:
    """The dataset of a name, whose values lie in the file itself.

    Args:
        most_bytes: that its values may take; None for those that are read piece by piece.

    Raises:
        KeyError: there is none.
        ValueError: it is a link, a group, of values in other files, or too large.
    """
    link = file.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name} is a link to elsewhere, which is not followed")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{name} holds no values")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"the values of {name} lie in other files, which are not read")
    if most_bytes is not None and dataset.nbytes > most_bytes:
        raise ValueError(f"{name} of shape {dataset.shape} takes {dataset.nbytes} bytes; {most_bytes} are the most")
    return dataset
