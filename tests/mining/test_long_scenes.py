"""Scenes with more crops than memory should hold: several row groups, the same rows, no more memory."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from blendclip import schemas, storage
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.mining.triplets import join_triplets
from tests.mining.pipeline import mine

ROOT = Path(__file__).parents[2]
# Each stage in a process of its own, which prints its peak of memory.
STAGES = r"""
import re, sys
from pathlib import Path
from blendclip import storage
from blendclip.mining.options import ViewOptions
from blendclip.mining.triplets import join_triplets
from blendclip.mining.views import cut_views

stage, folder, storage.ROW_GROUP_BYTES = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
at = {name: folder / f"{name}.parquet" for name in "index clouds views captions triplets rejects".split()}
if stage == "views":
    options = ViewOptions(min_visibility=1, whole_box=False)
    cut_views(at["index"], folder, 0, 1, at["views"], at["rejects"], options, 1.0)
else:
    join_triplets(at["clouds"], at["views"], at["captions"], at["triplets"], at["rejects"])
print(int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def row_groups(path):
    return pq.ParquetFile(path).num_row_groups


def test_the_rows_are_the_same_in_however_many_row_groups(city_root, tmp_path, monkeypatch):
    whole = mine(city_root, tmp_path / "whole")
    monkeypatch.setattr(storage, "ROW_GROUP_BYTES", 20_000)
    split = mine(city_root, tmp_path / "split")
    for stage in ("views", "triplets"):
        tables = getattr(whole, stage), getattr(split, stage)
        assert len(tables[0]) and tables[0].equals(tables[1])
        (path,) = (split.results / stage).rglob("*.parquet")
        assert row_groups(path) >= 4
        assert row_groups(Path(str(path).replace("/split/", "/whole/"))) == 1
    assert whole.rejects.equals(split.rejects) and whole.summary == split.summary


def test_a_scene_without_any_view_has_no_triplet(city_root, tmp_path):
    mined = mine(city_root, tmp_path)
    clouds, captions = (next((tmp_path / stage).rglob("*.parquet")) for stage in ("clouds", "captions"))
    storage.write_parquet(tmp_path / "none.parquet", schemas.VIEWS, [], storage.metadata("views", {}))
    output, rejects = tmp_path / "triplets.parquet", tmp_path / "rejects.parquet"
    assert join_triplets(clouds, tmp_path / "none.parquet", captions, output, rejects) == 0
    assert pq.read_table(rejects)["rule"].to_pylist() == ["no_view"] * len(mined.clouds)


def write_long_scene(city_root, folder, width_px, height_px, cameras):
    """A scene whose every box fills an image of noise in each camera; returns the bytes of its crops."""
    noise = np.random.default_rng(0).integers(0, 255, (height_px, width_px, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=95, subsampling=0)
    (folder / "noise.jpg").write_bytes(buffer.getvalue())
    write_index(city_root, DriveOptions("v1.0-mini"), "data", ["mini_train"], folder)
    (row,) = pq.read_table(folder / "mini_train.parquet").to_pylist()
    row["images"] = [image for image in row["images"] if image["channel"] == "CAM_FRONT"]
    for image in row["images"]:
        image |= {"path": "noise.jpg", "width_px": width_px, "height_px": height_px}
        image["intrinsic"] = [width_px, 0.0, width_px / 2, 0.0, width_px, height_px / 2, 0.0, 0.0, 1.0]
    row["images"] = [image | {"channel": f"CAM_{n}"} for n in range(cameras) for image in row["images"]]
    camera_of = {image["keyframe"]: np.array(image["global_SE3_camera"]).reshape(3, 4) for image in row["images"]}
    for track in row["tracks"]:
        for box in track["annotations"]:
            camera = camera_of[box["keyframe"]]
            box["translation"] = (camera[:, 3] + 8 * camera[:, 2]).tolist()
            box["size_lwh_m"] = [10.0, 10.0, 10.0]
    storage.write_parquet(folder / "index.parquet", schemas.INDEX, [storage.table_of([row], schemas.INDEX)], {})
    return cameras * len(buffer.getvalue()) * sum(len(track["annotations"]) for track in row["tracks"])


def write_clouds_and_captions(folder):
    """A cloud of one point for each view, and its caption."""
    views = pq.read_table(folder / "views.parquet", columns=[name for name in schemas.VIEWS.names if name != "image"])
    clouds = []
    for view in views.to_pylist():
        cloud = dict.fromkeys(schemas.CLOUDS.names) | {name: view.get(name) for name in schemas.CLOUDS.names}
        clouds.append(cloud | {"points": [[0.0, 0.0, 0.0]], "num_points": 1, "translation": [0.0] * 3})
        clouds[-1]["rotation_wxyz"] = [1.0, 0.0, 0.0, 0.0]
    table = storage.table_of(clouds, schemas.CLOUDS)
    storage.write_parquet(folder / "clouds.parquet", schemas.CLOUDS, [table], storage.metadata("clouds", {}))
    rows = [
        dict.fromkeys(schemas.CAPTIONS.names) | {"view_id": name, "caption": "A thing."}
        for name in views["view_id"].to_pylist()
    ]
    captions = storage.table_of(rows, schemas.CAPTIONS)
    storage.write_parquet(folder / "captions.parquet", schemas.CAPTIONS, [captions], storage.metadata("captions", {}))
    return views.num_rows


def peaks_mb(city_root, folder, row_group_bytes, width_px=480, height_px=270, cameras=2):
    """Bytes of the crops, peaks of memory in MB of both stages, and their tables' numbers of row groups."""
    size = write_long_scene(city_root, folder, width_px, height_px, cameras)
    peaks, groups = {}, {}
    for stage in ("views", "triplets"):
        if stage == "triplets":
            assert write_clouds_and_captions(folder) > 100
        command = [sys.executable, "-c", STAGES, stage, str(folder), str(row_group_bytes)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        peaks[stage] = float(done.stdout)
        groups[stage] = row_groups(folder / f"{stage}.parquet")
    return size, peaks, groups


@pytest.mark.slow
def test_memory_holds_a_row_group_and_not_the_scene(city_root, tmp_path):
    folders = [tmp_path / name for name in ("small", "large")]
    for folder in folders:
        folder.mkdir()
    size, whole, groups = peaks_mb(city_root, folders[0], 2**40)
    assert groups == {"views": 1, "triplets": 1} and size > 50e6
    _, split, groups = peaks_mb(city_root, folders[1], 4 * 2**20)
    assert all(count >= size / 2**23 for count in groups.values())
    for stage in ("views", "triplets"):
        assert split[stage] < whole[stage] - 0.8 * size / 1e6, (size, whole, split)
        tables = [pq.read_table(folder / f"{stage}.parquet") for folder in folders]
        assert tables[0].equals(tables[1])
