"""A summary of CLIP features, which loads no torch."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc

from blendclip import storage
from blendclip.errors import UserError


def embedding_counts(folder: Path) -> str:
    """A line on the features of a dataset and split: how many there are, and how many texts were cut.

    Raises:
        UserError: the folder holds no part, or a file is broken.
    """
    paths = sorted(folder.glob("part-*.parquet"))
    if not paths:
        raise UserError(f"{folder} holds no part-*.parquet: embed the dataset first")
    images = texts = cut = 0
    for path in paths:
        kinds = storage.read_parquet(path, ["kind"])["kind"]
        here = pc.sum(pc.equal(kinds, "image")).as_py() or 0
        images, texts = images + here, texts + len(kinds) - here
        cut += storage.options_of(path).get("cut_captions", 0)  # features that came with a dataset do not say
    clip, dataset, split = folder.parts[-3:]
    return f"{dataset}/{split} by {clip}: {images} images, {texts} texts, {cut} of them cut"
