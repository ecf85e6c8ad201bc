"""A summary of CLIP features, which loads no torch."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc

from blendclip import storage
from blendclip.results import Results


def embedding_counts(results: Path, clip: str, dataset: str, split: str) -> str:
    """A line about the features of a dataset and split: how many there are, and how many captions were cut.

    Raises:
        UserError: the folder holds no part, or a file is broken.
    """
    images = texts = cut = 0
    for path in Results(results).embedding_parts(clip, dataset, split):
        kinds = storage.read_parquet(path, ["kind"])["kind"]
        here = pc.sum(pc.equal(kinds, "image")).as_py() or 0
        images, texts = images + here, texts + len(kinds) - here
        cut += storage.options_of(path).get("cut_captions", 0)  # features that came with a dataset do not say
    return f"{dataset}/{split} by {clip}: {images} images, {texts} texts, {cut} of them cut"
