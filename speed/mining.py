"""Mining against the straightforward way, side by side in one process, on one core.

    python speed/mining.py                       # on a city of one long scene, generated at the first call
    python speed/mining.py --format truckscenes  # on a citytruck
    python speed/mining.py --format argoverse2   # on a cityav2
    python speed/mining.py --root /data/nuscenes --version v1.0-mini --split mini_train
    python speed/mining.py --format argoverse2 --root /data/av2/sensor --split val

Prints
- clouds: milliseconds per annotation against a loop over the devkit that, for each annotation, takes its 10 sweeps of
  each LiDAR (`LidarPointCloud`, files cached), moves them to the global frame and asks `points_in_box`; ours reads the
  files too, and in one line writes the Parquet. Argoverse 2 has a loop of numpy in its place, which does what its API
  does: feather files, poses by their time stamps, a point is inside by its coordinates along the box. Another line
  grants the loop a cache of the points in the global frame; the last is what reading the files alone takes, ours and
  the peer's way;
- views: seconds against the bare decoding of the images that hold a kept view;
- the start of a job, and peak memory and time of each stage on 2 and on 20 scenes.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from pyarrow import feather
from pyquaternion import Quaternion

from blendclip import schemas, storage
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import Argoverse2Options, DriveOptions
from blendclip.mining.clouds import gather_clouds, scene_clouds
from blendclip.mining.options import CloudOptions, ViewOptions
from blendclip.mining.scene import read_scenes
from blendclip.mining.scene_rejects import SceneRejects
from blendclip.mining.sweeps import read_sweep_of
from blendclip.mining.views import cut_views
from blendclip.options import Options
from blendclip.synthetic.city.generate import generate_city

SWEEPS = 10
PROMPT = Path(__file__).parents[1] / "prompts" / "caption" / "template.yaml"


class DevkitPeer:
    """A devkit with its tables. Keys of sweeps are their records."""

    def __init__(self, format: str, root: Path, version: str) -> None:
        opened = getattr(import_module(format), {"nuscenes": "NuScenes", "truckscenes": "TruckScenes"}[format])
        self.tables = opened(version, str(root), verbose=False)
        self.read = import_module(f"{format}.utils.data_classes").LidarPointCloud.from_file
        self.points_in_box = import_module(f"{format}.utils.geometry_utils").points_in_box
        self.get, self.root = self.tables.get, root
        self.files: dict[str, Any] = {}

    def sweeps_of(self, token: str) -> list[str]:
        """The tokens of the sweep records of an annotation's window."""
        sample = self.get("sample", self.get("sample_annotation", token)["sample_token"])
        window = []
        for channel in (channel for channel in sample["data"] if channel.startswith("LIDAR")):
            data = self.get("sample_data", sample["data"][channel])
            for _ in range(SWEEPS):
                window.append(data["token"])
                if not data["prev"]:
                    break
                data = self.get("sample_data", data["prev"])
        return window

    def to_global(self, sweep: str) -> np.ndarray:
        """The points (3, N) of a sweep in the global frame, its file from the cache."""
        data = self.get("sample_data", sweep)
        if sweep not in self.files:
            self.files[sweep] = self.read(str(self.root / data["filename"]))
        cloud = type(self.files[sweep])(self.files[sweep].points.copy())
        calibration = self.get("calibrated_sensor", data["calibrated_sensor_token"])
        for record in (calibration, self.get("ego_pose", data["ego_pose_token"])):
            cloud.rotate(Quaternion(record["rotation"]).rotation_matrix)
            cloud.translate(np.array(record["translation"]))
        return cloud.points[:3]

    def inside(self, token: str, points_global: np.ndarray) -> np.ndarray:
        """Which points (3, N) lie in an annotation's box (N,)."""
        return self.points_in_box(self.tables.get_box(token), points_global)


class Argoverse2Peer:
    """The tables of a split's logs in numpy. Keys of sweeps are log and time."""

    def __init__(self, root: Path, split: str) -> None:
        self.folder = root / split
        self.boxes: dict[str, tuple[str, int, np.ndarray, np.ndarray]] = {}
        self.poses: dict[tuple[str, int], np.ndarray] = {}
        self.sweeps: dict[str, list[int]] = {}
        self.files: dict[tuple[str, int], np.ndarray] = {}
        for folder in sorted(self.folder.iterdir()):
            self.sweeps[folder.name] = sorted(int(path.stem) for path in (folder / "sensors" / "lidar").iterdir())
            for row in feather.read_table(folder / "city_SE3_egovehicle.feather").to_pylist():
                self.poses[folder.name, row["timestamp_ns"]] = _pose(row)
            for row in feather.read_table(folder / "annotations.feather").to_pylist():
                token = f"{folder.name}-{row['timestamp_ns']}-{row['track_uuid']}"
                half = np.array([row["length_m"], row["width_m"], row["height_m"]]) / 2
                self.boxes[token] = (folder.name, row["timestamp_ns"], _pose(row), half)

    def read(self, path: str) -> np.ndarray:
        """The points (3, N) of a sweep's file."""
        table = feather.read_table(path)
        return np.stack([table[axis].to_numpy().astype(np.float64) for axis in "xyz"])

    def sweeps_of(self, token: str) -> list[tuple[str, int]]:
        """The sweeps of an annotation's window."""
        log, time_ns, _, _ = self.boxes[token]
        return [(log, one) for one in self.sweeps[log] if one <= time_ns][-SWEEPS:]

    def to_global(self, sweep: tuple[str, int]) -> np.ndarray:
        """The points (3, N) of a sweep in the city frame, its file from the cache."""
        if sweep not in self.files:
            log, time_ns = sweep
            self.files[sweep] = self.read(str(self.folder / log / "sensors" / "lidar" / f"{time_ns}.feather"))
        city_SE3_ego = self.poses[sweep]
        return city_SE3_ego[:3, :3] @ self.files[sweep] + city_SE3_ego[:3, 3:]

    def inside(self, token: str, points_global: np.ndarray) -> np.ndarray:
        """Which points (3, N) lie in an annotation's box (N,)."""
        log, time_ns, ego_SE3_box, half = self.boxes[token]
        city_SE3_box = self.poses[log, time_ns] @ ego_SE3_box
        along = city_SE3_box[:3, :3].T @ (points_global - city_SE3_box[:3, 3:])
        return (np.abs(along) <= half[:, None]).all(axis=0)


Peer = DevkitPeer | Argoverse2Peer


def _pose(row: dict[str, float]) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Quaternion(row["qw"], row["qx"], row["qy"], row["qz"]).rotation_matrix
    pose[:3, 3] = row["tx_m"], row["ty_m"], row["tz_m"]
    return pose


def main() -> None:
    """Run all comparisons and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=["nuscenes", "truckscenes", "argoverse2"], default="nuscenes")
    parser.add_argument("--root", type=Path, help="a generated city in build/ when not given")
    parser.add_argument("--version", help="v1.0-mini or v1.2-mini when not given; not of argoverse2")
    parser.add_argument("--split", help="mini_train, or of argoverse2 val, train of a generated one, when not given")
    parser.add_argument("--annotations", type=int, default=60, help="annotations that the peer's loop is timed on")
    args = parser.parse_args()
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        root, split, options, peer = opened(args)
        write_index(root, options, "data", [split], work, format=args.format)
        index = work / f"{split}.parquet"
        views = ViewOptions(min_visibility=1) if args.format == "argoverse2" else ViewOptions()
        compare_clouds(index, root, work, peer, args.annotations)
        stages = ["clouds"]
        if any(len(images) for images in pq.read_table(index, columns=["images"])["images"].to_pylist()):
            compare_views(repeated(index, 20, work), root, work, views)
            stages += ["views", "caption", "triplets"]
        measure_jobs(index, root, work, views, stages)


def opened(args: argparse.Namespace) -> tuple[Path, str, Options, Peer]:
    """Root and split of the dataset, generated if need be, its options, and the peer."""
    if args.format == "argoverse2":
        root, split = args.root or Path("build") / "benchmark_av2", args.split or ("val" if args.root else "train")
        if args.root is None:
            generate_city(root, rig="av2", scenes={"train": 1, "val": 0}, duration_s=8.0)
        return root, split, Argoverse2Options(distorted_images=args.root is None), Argoverse2Peer(root, split)
    rig, version = {"nuscenes": ("car", "v1.0-mini"), "truckscenes": ("truck", "v1.2-mini")}[args.format]
    root, version = args.root or Path("build") / f"benchmark_{rig}", args.version or version
    if args.root is None:  # long, so that windows are full, as in a nuScenes scene of 20 s
        generate_city(root, rig=rig, scenes={"mini_train": 1, "mini_val": 0}, duration_s=8.0)
    return root, args.split or "mini_train", DriveOptions(version), DevkitPeer(args.format, root, version)


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def fastest_in_turn(ways: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """Seconds of each way, the best of several rounds in which they take turns, so that noise hits all alike."""
    times = [{name: timed(call) for name, call in ways.items()} for _ in range(rounds)]
    return {name: min(round_[name] for round_ in times) for name in ways}


def compare_clouds(index: Path, root: Path, work: Path, peer: Peer, count: int) -> None:
    """Clouds of all annotations, ours, against the peer's loop over some of them."""
    output, rejects = work / "clouds.parquet", work / "clouds.rejects.parquet"
    options = CloudOptions(sweeps=SWEEPS)

    def ours() -> None:
        gather_clouds(index, root, 0, 1, output, rejects, options, 0.01)

    def gathering() -> None:
        for scene in read_scenes(index, 0, 1):
            scene_clouds(scene, root, options, SceneRejects("clouds"))

    def reading() -> None:
        for scene in read_scenes(index, 0, 1):
            for sweep in range(len(scene.sweeps)):
                read_sweep_of(scene, root, sweep, options.motion)

    ours()  # compiles the kernel, once per machine
    rows = pq.read_table(output, columns=["annotation_token"])
    annotations = rows.num_rows + pq.read_metadata(rejects).num_rows
    tokens = rows["annotation_token"].to_pylist()[:: max(1, rows.num_rows // count)]
    in_global = {sweep: peer.to_global(sweep) for token in tokens for sweep in peer.sweeps_of(token)}
    sweeps = [path for scene in read_scenes(index, 0, 1) for path in scene.sweeps.path]
    ways = {
        "ours, files read, Parquet written": (ours, annotations),
        "ours, files read, nothing written": (gathering, annotations),
        "peer loop, files cached": (lambda: [loop_global(peer, token) for token in tokens], len(tokens)),
        "peer loop, global points cached": (
            lambda: [loop_cached(peer, token, in_global) for token in tokens],
            len(tokens),
        ),
        "our reading of the files": (reading, annotations),
        "the peer's reading of the files": (lambda: [peer.read(str(root / path)) for path in sweeps], annotations),
    }
    seconds = fastest_in_turn({name: call for name, (call, _) in ways.items()})
    each_ms = {name: seconds[name] / share * 1e3 for name, (_, share) in ways.items()}
    print(f"clouds: {annotations} annotations, {len(sweeps)} sweeps, ms an annotation")
    whole, alone, *_ = each_ms.values()
    for name, ms in each_ms.items():
        print(f"  {name:<36}{ms:8.3f} = {ms / whole:6.2f} x ours with writing, {ms / alone:6.2f} x ours without")
    print(f"  ours without writing: {seconds['ours, files read, nothing written'] / len(sweeps) * 1e3:.2f} ms a sweep")


def loop_global(peer: Peer, token: str) -> np.ndarray:
    """An annotation's points, the straightforward way."""
    found = []
    for sweep in peer.sweeps_of(token):
        points_global = peer.to_global(sweep)
        found.append(points_global[:, peer.inside(token, points_global)])
    return np.concatenate(found, axis=1)


def loop_cached(peer: Peer, token: str, in_global: dict[Any, np.ndarray]) -> np.ndarray:
    """The same, with the points already in the global frame."""
    sweeps = [in_global[sweep] for sweep in peer.sweeps_of(token)]
    return np.concatenate([points[:, peer.inside(token, points)] for points in sweeps], axis=1)


def compare_views(index: Path, root: Path, work: Path, options: ViewOptions) -> None:
    """Views against the decoding of their images."""
    output, rejects = work / "views.parquet", work / "views.rejects.parquet"

    def ours() -> None:
        cut_views(index, root, 0, 1, output, rejects, options, 0.01)

    ours()
    views = pq.read_table(output, columns=["scene", "sample_token", "channel"]).to_pylist()
    used = {(view["scene"], view["sample_token"], view["channel"]) for view in views}
    paths = [
        root / image["path"]
        for scene in pq.read_table(index, columns=["scene", "keyframes", "images"]).to_pylist()
        for image in scene["images"]
        if (scene["scene"], scene["keyframes"][image["keyframe"]]["sample_token"], image["channel"]) in used
    ]

    def decode() -> None:
        for path in paths:
            with Image.open(path) as image:
                image.load()

    crops = [Image.open(io.BytesIO(row["bytes"])).convert("RGB") for row in pq.read_table(output)["image"].to_pylist()]

    def encode() -> None:
        for crop in crops:
            crop.save(io.BytesIO(), "JPEG", quality=95, subsampling=0)

    seconds, bare, encoding = fastest_in_turn({"ours": ours, "decode": decode, "encode": encode}, 3).values()
    per_image = len(views) / len(paths)
    print(f"views: {len(views)} from {len(paths)} images ({per_image:.1f} an image), {seconds:.2f} s")
    print(f"  bare decoding of the images {bare:.2f} s, bare encoding of the crops {encoding:.2f} s")
    print(f"  ours / bare decoding: {seconds / bare:.2f}; / decoding and encoding: {seconds / (bare + encoding):.2f}")


def measure_jobs(index: Path, root: Path, work: Path, views: ViewOptions, stages: Sequence[str]) -> None:
    """Start of a job; time and peak memory of stages on 2 and 20 scenes, each in its own process."""
    part = ["--index", str(index), "--root", str(root), "--output", str(work / "none.parquet")]
    part += ["--rejects", str(work / "none.rejects.parquet"), "--part", "99999", "--parts", "100000"]
    start_s = min(job(["clouds", *part])[0] for _ in range(3))
    print(f"start of a job (a part without scenes): {start_s:.2f} s")
    for stage in stages:
        (small_s, small_mb), (large_s, large_mb) = (
            stage_job(stage, index, root, work, scenes, views) for scenes in (2, 20)
        )
        print(
            f"  {stage:<9} 2 scenes: {small_s:5.2f} s, {small_mb:4.0f} MB; "
            f"20 scenes: {large_s:5.2f} s, {large_mb:4.0f} MB; {large_s / small_s:.1f} x the time"
        )


def stage_job(
    stage: str, index: Path, root: Path, work: Path, scenes: int, options: ViewOptions
) -> tuple[float, float]:
    """Run one stage on the index's scenes, repeated up to `scenes`."""
    scenes_index = repeated(index, scenes, work)
    folder = scenes_index.parent
    clouds, views, triplets = (str(folder / f"{name}.parquet") for name in ("clouds", "views", "triplets"))
    rejects = ["--rejects", str(folder / "rejects.parquet")]
    part = ["--index", str(scenes_index), "--root", str(root), *rejects]
    captions = ["--prompt", str(PROMPT), "--output", str(folder / "captions"), "--rejects", str(folder / "rejects")]
    joined = ["--clouds", clouds, "--views", views, "--captions", str(folder / "captions" / "views.parquet"), *rejects]
    arguments = {
        "clouds": [*part, "--output", clouds],
        "views": [*part, "--output", views, "--min-visibility", str(options.min_visibility)],
        "caption": ["--views", views, *captions],
        "triplets": [*joined, "--output", triplets],
    }
    return job([stage, *arguments[stage]])


def repeated(index: Path, scenes: int, work: Path) -> Path:
    """An index of so many scenes, those of `index` over and over."""
    path = work / str(scenes) / "index.parquet"
    if not path.exists():
        rows = pq.ParquetFile(index)
        tables = [renamed(rows.read_row_group(n % rows.num_row_groups), n) for n in range(scenes)]
        storage.write_parquet(path, schemas.INDEX, tables, {})
    return path


def renamed(scene: pa.Table, number: int) -> pa.Table:
    """A scene of the index under another name, so that repeated scenes are not taken for one."""
    return scene.set_column(scene.column_names.index("scene"), "scene", pa.array([f"scene-{number}"]))


def job(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak memory in MB of one `blendclip` process.

    A small process starts it and asks for the peak: started from here, it would inherit this process's.
    """
    ask = "import resource as r, subprocess as s, sys; s.run(sys.argv[1:], check=True, stderr=s.DEVNULL);"
    ask += "print(r.getrusage(r.RUSAGE_CHILDREN).ru_maxrss)"
    command = [sys.executable, "-S", "-c", ask, sys.executable, "-m", "blendclip", *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, int(done.stdout) / 1024


if __name__ == "__main__":
    main()
