"""Random reads of packed training data against plain memory-mapped numpy with offsets, in one process, on one core.

    python speed/packed.py                 # about 1.3 GB in a temporary folder
    python speed/packed.py --scale 0.1     # a tenth of it

Both sides hold the same: clouds (LiDAR-like: 5 to 500 points, of objects seen several times; CAD-like: 10,000 points
each), the feature of the triplet's caption and those of all views of its instance, its own first. Prints, for each kind
of data,
- read: microseconds, reads/s and GB/s of fetching cloud, text and images and copying them, as a batch does;
- look: the same without copying: what the access itself costs.
The ratio is the packed file's rate over that of numpy; both sides take turns, and the best round of each counts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pyarrow as pa

from blendclip import schemas, storage
from blendclip.training.data.packed import PackedSplit
from blendclip.training.data.packing import pack_clouds
from blendclip.training.data.packing_features import FeatureSources, pack_features

WIDTH = 512
ROUNDS = 15
Read = tuple[np.ndarray, np.ndarray, np.ndarray]


class Plain:
    """The straightforward way: flat .npy files, memory-mapped, and where each triplet's run of rows begins and ends."""

    def __init__(self, split: PackedSplit, folder: Path) -> None:
        rows = range(len(split))
        self.ends = {"points": np.cumsum([0, *split.num_points])}
        self.flat = {"points": self._mapped(folder / "points.npy", [split.points(row) for row in rows])}
        self.flat["texts"] = self._mapped(folder / "texts.npy", [split.text(row)[None] for row in rows])
        self.flat["images"] = self._mapped(folder / "images.npy", [split.images(row) for row in rows])
        self.ends["images"] = np.cumsum([0, *split.num_images])
        self.ends = {name: ends.tolist() for name, ends in self.ends.items()}

    @staticmethod
    def _mapped(path: Path, arrays: Sequence[np.ndarray]) -> np.ndarray:
        np.save(path, np.concatenate(arrays))
        return np.asarray(np.load(path, mmap_mode="r"))  # np.memmap itself slices several times slower

    def read(self, row: int) -> Read:
        """Cloud, text feature, image features."""
        points, images = self.ends["points"], self.ends["images"]
        return (
            self.flat["points"][points[row] : points[row + 1]],
            self.flat["texts"][row],
            self.flat["images"][images[row] : images[row + 1]],
        )


def generate(folder: Path, counts: Sequence[int], triplets_per_instance: int, views: int) -> PackedSplit:
    """Packed triplets with so many points each, and `views` views of each instance."""
    random = np.random.default_rng(0)
    instances = [f"instance-{number // triplets_per_instance}" for number in range(len(counts))]
    view_rows = [(token, view) for token in dict.fromkeys(instances) for view in range(views)]
    who = {"dataset": "generated", "split": "train"}
    view_ids = [f"{token}/{view}" for token, view in view_rows]
    paths = FeatureSources(*(folder / f"{name}.parquet" for name in ("triplets", "views", "captions", "embeddings")))
    own = [number % views for number in range(len(counts))]
    write(
        paths.triplets,
        schemas.TRIPLETS,
        len(counts),
        who
        | {
            "triplet_id": list(map(str, range(len(counts)))),
            "instance_token": instances,
            "channel": list(map(str, own)),
        }
        | {"caption": [f"caption {token}/{view}" for token, view in zip(instances, own, strict=True)]}
        | {"points": clouds(random, counts), "num_points": counts, "timestamp_us": 0, "view_time_gap_us": 0},
    )
    of_views = {"view_id": view_ids, "instance_token": [token for token, _ in view_rows], "timestamp_us": 0}
    write(
        paths.views, schemas.VIEWS, len(view_rows), who | of_views | {"channel": [str(view) for _, view in view_rows]}
    )
    captions = [f"caption {name}" for name in view_ids]
    write(paths.captions, schemas.CAPTIONS, len(view_rows), {"view_id": view_ids, "caption": captions})
    kinds = ["image"] * len(view_ids) + ["text"] * len(view_ids)
    vectors = random.normal(size=(len(kinds), WIDTH)).astype(np.float16)
    write(
        paths.embeddings,
        schemas.EMBEDDINGS,
        len(kinds),
        who
        | {"view_id": view_ids * 2, "kind": kinds, "text": [None] * len(view_ids) + captions}
        | {"embedding": pa.ListArray.from_arrays(np.arange(0, vectors.size + 1, WIDTH, np.int32), vectors.ravel())},
    )
    for place, pack in (("generated", pack_clouds), ("clip/generated", pack_features)):
        pack(paths.triplets if pack is pack_clouds else paths, folder / f"packed/{place}/train/part-00000.arrow")
    return PackedSplit.open(folder, "clip", "generated", "train")


def clouds(random: np.random.Generator, counts: Sequence[int]) -> pa.ListArray:
    """Random clouds as the column `points`."""
    xyz = random.normal(size=(sum(counts), 3)).astype(np.float32)
    rows = pa.FixedSizeListArray.from_arrays(pa.array(xyz.ravel()), 3)
    return pa.ListArray.from_arrays(pa.array(np.cumsum([0, *counts]).astype(np.int32)), rows)


def write(path: Path, schema: pa.Schema, rows: int, given: dict) -> None:
    """A Parquet file whose columns are given, as one value for all rows too; others are null or zeros."""
    columns = {}
    for field in schema:
        value = given.get(field.name)
        if pa.types.is_fixed_size_list(field.type):
            value = [[0] * field.type.list_size] * rows
        elif value is None or isinstance(value, str | int):
            value = [value] * rows
        columns[field.name] = value if isinstance(value, pa.Array) else pa.array(value, field.type)
    storage.write_parquet(path, schema, [pa.table(columns).cast(schema)], storage.metadata("cad", {}))


def copying(read: Callable[[int], Read], out: Read) -> Callable[[int], None]:
    """A read that ends in arrays of one's own."""

    def copy(row: int) -> None:
        points, text, images = read(row)
        out[0][: len(points)] = points
        out[1][:] = text
        out[2][: len(images)] = images

    return copy


def compare(name: str, split: PackedSplit, folder: Path) -> None:
    """Print the rates of both sides."""
    plain = Plain(split, folder)
    order = np.random.default_rng(1).permutation(len(split)).tolist()
    most = (split.num_points.max(), split.num_images.max())
    out = (np.empty((most[0], 3), np.float32), np.empty(WIDTH, np.float16), np.empty((most[1], WIDTH), np.float16))
    sides = {"packed": lambda row: (split.points(row), split.text(row), split.images(row)), "numpy": plain.read}
    for row in order[:500]:
        assert all(map(np.array_equal, sides["packed"](row), sides["numpy"](row))), "both sides read the same"
    size_gb = sum(array.nbytes for row in order for array in plain.read(row)) / 1e9
    for what, wrap in (("read", copying), ("look", lambda read, _: read)):
        seconds = {side: [] for side in sides}
        for turn in range(ROUNDS):
            for side in sorted(sides, reverse=turn % 2 == 1):
                seconds[side].append(timed(wrap(sides[side], out), order))
        rates = "   ".join(rate(side, min(times), len(order), size_gb) for side, times in seconds.items())
        print(f"{name:<6}{what}   {rates}   ratio {min(seconds['numpy']) / min(seconds['packed']):.0%}")


def timed(read: Callable[[int], object], order: Sequence[int]) -> float:
    """Seconds of this process to read these rows: what else runs on the machine counts little."""
    start = time.process_time()
    for row in order:
        read(row)
    return time.process_time() - start


def rate(side: str, seconds: float, reads: int, size_gb: float) -> str:
    """What a side did, as text."""
    return f"{side}: {1e6 * seconds / reads:6.2f} us, {reads / seconds:9,.0f} reads/s, {size_gb / seconds:6.2f} GB/s"


def main() -> None:
    """Generate, pack, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the data to generate")
    scale = parser.parse_args().scale
    sizes = np.random.default_rng(2).integers(5, 501, int(30_000 * scale)).tolist()
    for name, counts, repeats, views in (("LiDAR", sizes, 10, 12), ("CAD", [10_000] * int(4_000 * scale), 1, 12)):
        with tempfile.TemporaryDirectory() as folder:
            compare(name, generate(Path(folder), counts, repeats, views), Path(folder))


if __name__ == "__main__":
    main()
