"""The scene index of tables as large as nuScenes trainval's, against one made through the devkit.

    python speed/index.py                        # 850 scenes: 34,000 samples, 2.6 M sample_data, 1.16 M annotations
    python speed/index.py --scenes 85            # a tenth
    python speed/index.py --format truckscenes   # six LiDARs, and a stream of ego poses

Makes tables without files in a temporary folder (3 GB), then writes the index of all scenes both ways, each in a
process of its own on one core, and prints seconds of CPU and peak memory: ours, the devkit's loading alone, and the
whole of its way, which is that of `tests/datasets/drives/by_devkit.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import pyarrow as pa
from PIL import Image

from blendclip import schemas, storage
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import TableOptions
from tests.datasets.drives.by_devkit import ByDevkit

Row = dict[str, Any]
KEYFRAMES, KEYFRAME_US, START_US, SCENE_US = 40, 500_000, 1_532_000_000_000_000, 60_000_000
SPEED_MPS, FOLLOWED = 10.0, 18  # keyframes in which an instance is annotated
INTRINSIC = [[1200.0, 0.0, 800.0], [0.0, 1200.0, 450.0], [0.0, 0.0, 1.0]]
IDENTITY = [1.0, 0.0, 0.0, 0.0]
LEVELS = ("v0-40", "v40-60", "v60-80", "v80-100")
CATEGORIES = {  # to instances of a scene, nearly in the shares of nuScenes; a bicycle rack is in each fifth
    "vehicle.car": 33,
    "human.pedestrian.adult": 15,
    "movable_object.barrier": 10,
    "movable_object.trafficcone": 7,
    "vehicle.truck": 7,
    "vehicle.bicycle": 1,
    "vehicle.motorcycle": 1,
    "animal": 1,
}
RACK = "static_object.bicycle_rack"


@dataclass(frozen=True)
class Rig:
    """A vehicle's sensors: channel to modality and readings in a keyframe's half second."""

    version: str
    sensors: dict[str, tuple[str, int]]
    poses: int
    """Ego poses in a keyframe's half second; 0 where each reading has its own."""


def _rig(lidars: dict[str, int], cameras: int, camera_rate: int, radars: tuple[int, ...], **more: Any) -> Rig:
    sensors = {name: ("lidar", rate) for name, rate in lidars.items()}
    sensors |= {f"CAMERA_{number}": ("camera", camera_rate) for number in range(cameras)}
    sensors |= {f"RADAR_{number}": ("radar", rate) for number, rate in enumerate(radars)}
    return Rig(sensors=sensors, **more)


TRUCK_LIDARS = ("LEFT", "RIGHT", "REAR", "TOP_FRONT", "TOP_LEFT", "TOP_RIGHT")
RIGS = {
    "nuscenes": _rig({"LIDAR_TOP": 10}, 6, 6, (6, 6, 6, 7, 7), version="v1.0-trainval", poses=0),
    "truckscenes": _rig(
        {f"LIDAR_{name}": 5 for name in TRUCK_LIDARS}, 4, 5, (10,) * 6, version="v1.2-trainval", poses=50
    ),
}


class Tables:
    """Writes records to JSON files, one a line."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack, self._files, self._number = folder, stack, dict[str, Any](), 0

    def add(self, table: str, row: Row) -> None:
        """Write one record."""
        if table not in self._files:
            file = self._files[table] = self._stack.enter_context((self.folder / f"{table}.json").open("w"))
            self._stack.callback(file.write, "]\n")
            file.write("[\n")
        else:
            self._files[table].write(",\n")
        self._files[table].write(json.dumps(row))

    def token(self) -> str:
        """A new one, as long as nuScenes'."""
        self._number += 1
        return f"{self._number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


def make_dataset(root: Path, format: str, scenes: int) -> None:
    """Write the tables of the first scenes of splits train and val, and two empty files of each."""
    rig = RIGS[format]
    (root / rig.version).mkdir(parents=True)
    (root / "maps").mkdir()
    Image.new("L", (8, 8)).save(root / "maps" / "map.png")
    splits = import_module(f"{format}.utils.splits").create_splits_scenes()
    names = [*splits["train"], *splits["val"]][:scenes]
    (root / "splits.txt").write_text("train val" if set(names) & set(splits["val"]) else "train")
    with ExitStack() as stack:
        tables = Tables(root / rig.version, stack)
        shared = _shared_tables(tables, rig)
        for number, name in enumerate(names):
            _scene(tables, root, rig, shared, name, START_US + number * SCENE_US)
        tables.add("map", {"token": "map", "log_tokens": ["log"], "category": "", "filename": "maps/map.png"})


def _shared_tables(tables: Tables, rig: Rig) -> dict[str, str]:
    """Write what belongs to no scene; return calibrated sensors by channel."""
    tables.add("log", {"token": "log", "logfile": "", "vehicle": "", "date_captured": "", "location": ""})
    tables.add("attribute", {"token": "moving", "name": "vehicle.moving", "description": ""})
    for number, level in enumerate(LEVELS, 1):
        tables.add("visibility", {"token": str(number), "level": level, "description": ""})
    for name in (*CATEGORIES, RACK):
        tables.add("category", {"token": name, "name": name, "description": ""})
    for name in ("ego_motion_cabin", "ego_motion_chassis", "weather_annotation"):
        tables.add(name, {"token": name, "timestamp": START_US})
    for channel, (modality, _) in rig.sensors.items():
        mounting = {"translation": [1.0, 0.0, 1.8], "rotation": IDENTITY}
        intrinsic = {"camera_intrinsic": INTRINSIC if modality == "camera" else []}
        tables.add("sensor", {"token": channel, "channel": channel, "modality": modality})
        tables.add("calibrated_sensor", {"token": channel, "sensor_token": channel} | mounting | intrinsic)
    return {channel: channel for channel in rig.sensors}


def _linked(tables: Tables, count: int) -> Iterator[Row]:
    tokens = ["", *(tables.token() for _ in range(count)), ""]
    return ({"token": tokens[at], "prev": tokens[at - 1], "next": tokens[at + 1]} for at in range(1, count + 1))


def _scene(tables: Tables, root: Path, rig: Rig, sensors: dict[str, str], name: str, start_us: int) -> None:
    scene = tables.token()
    samples = list(_linked(tables, KEYFRAMES))
    ends = {"first_sample_token": samples[0]["token"], "last_sample_token": samples[-1]["token"]}
    about = {"log_token": "log", "nbr_samples": KEYFRAMES, "name": name, "description": ""}
    tables.add("scene", {"token": scene} | about | ends)
    for number, sample in enumerate(samples):
        tables.add("sample", sample | {"timestamp": start_us + number * KEYFRAME_US, "scene_token": scene})
    stream = _stream(tables, rig, start_us)
    for channel, (modality, rate) in rig.sensors.items():
        _readings(tables, samples, start_us, (name, channel, modality, rate), stream)
    lidar, (_, rate) = next(iter(rig.sensors.items()))
    for folder, time_us in (("samples", start_us), ("sweeps", start_us + KEYFRAME_US // rate)):
        (root / folder).mkdir(exist_ok=True)
        (root / folder / f"{name}__{lidar}__{time_us}").touch()
    names = [name for name, count in CATEGORIES.items() for _ in range(count)]
    for number, category in enumerate([*names, RACK if start_us // SCENE_US % 5 == 0 else "vehicle.car"]):
        _track(tables, samples, number, category)


def _pose(tables: Tables, start_us: int, time_us: int) -> str:
    token, x_m = tables.token(), SPEED_MPS * (time_us - start_us) * 1e-6
    tables.add("ego_pose", {"token": token, "timestamp": time_us, "rotation": IDENTITY, "translation": [x_m, 0.0, 0.0]})
    return token


def _stream(tables: Tables, rig: Rig, start_us: int) -> str | None:
    """A scene's stream of ego poses from a second before to one after; the token of one of them."""
    step_us = KEYFRAME_US // rig.poses if rig.poses else 0
    times_us = range(start_us - 10**6, start_us + KEYFRAMES * KEYFRAME_US + 10**6, step_us) if rig.poses else ()
    return [*(_pose(tables, start_us, time_us) for time_us in times_us), None][0]


def _readings(
    tables: Tables, samples: list[Row], start_us: int, sensor: tuple[str, str, str, int], stream: str | None
) -> None:
    name, channel, modality, rate = sensor
    size = (1600, 900) if modality == "camera" else (0, 0)
    for number, links in enumerate(_linked(tables, (KEYFRAMES - 1) * rate + 1)):
        time_us, key = start_us + number * KEYFRAME_US // rate, number % rate == 0
        own = {"sample_token": samples[-(-number // rate)]["token"], "timestamp": time_us, "is_key_frame": key}
        own |= {"ego_pose_token": stream or _pose(tables, start_us, time_us), "calibrated_sensor_token": channel}
        file = {"filename": f"{'samples' if key else 'sweeps'}/{name}__{channel}__{time_us}", "fileformat": "x"}
        tables.add("sample_data", links | own | file | {"width": size[0], "height": size[1]})


def _track(tables: Tables, samples: list[Row], number: int, category: str) -> None:
    instance, first = tables.token(), number % (KEYFRAMES - FOLLOWED)
    annotations = list(_linked(tables, FOLLOWED))
    ends = {"first_annotation_token": annotations[0]["token"], "last_annotation_token": annotations[-1]["token"]}
    tables.add("instance", {"token": instance, "category_token": category, "nbr_annotations": FOLLOWED} | ends)
    for step, links in enumerate(annotations):
        place = {"translation": [number * 3.0 + step * 0.5, 5.0 + number % 7, 1.0], "rotation": IDENTITY}
        seen = {"visibility_token": str(number % 4 + 1), "attribute_tokens": ["moving"] if number % 3 else []}
        points = {"num_lidar_pts": number % 11, "num_radar_pts": number % 2, "size": [2.0, 4.5, 1.6]}
        who = {"sample_token": samples[first + step]["token"], "instance_token": instance}
        tables.add("sample_annotation", links | who | place | seen | points)


def by_us(root: Path, format: str, output: Path) -> None:
    """Write the index."""
    write_index(root, TableOptions(RIGS[format].version), "x", _splits(root), output, format=format)


def by_devkit(root: Path, format: str, output: Path) -> None:
    """Write the index through the devkit, and say how long its loading took."""
    started = time.process_time()
    loaded = ByDevkit(format, root, RIGS[format].version)
    sys.stdout.write(f"its loading  {time.process_time() - started:6.1f} s\n")
    for split in _splits(root):
        rows = ({"dataset": "x", "split": split} | row for row in loaded.rows(split))
        tables = (storage.table_of([row], schemas.INDEX) for row in rows)
        storage.write_parquet(output / f"{split}.parquet", schemas.INDEX, tables, {})


def _splits(root: Path) -> list[str]:
    return (root / "splits.txt").read_text().split()


WAYS: dict[str, Callable[[Path, str, Path], None]] = {"us": by_us, "the devkit": by_devkit}


def main() -> None:
    """Make the tables, run both ways, print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=list(RIGS), default="nuscenes")
    parser.add_argument("--scenes", type=int, default=850)
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        _one_way(args.way, args.root, args.format)
        return
    with tempfile.TemporaryDirectory() as folder:
        make_dataset(Path(folder) / "data", args.format, args.scenes)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.json"))
        sys.stdout.write(f"{args.scenes} scenes, {size / 1e9:.2f} GB of tables\n")
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, "--root", f"{folder}/data", "--format", args.format]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def _one_way(way: str, root: Path, format: str) -> None:
    pa.set_cpu_count(1)
    started = time.process_time()
    WAYS[way](root, format, root / way)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(f"{way:10}  {time.process_time() - started:7.1f} s  {peak / 1e9:5.2f} GB\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
