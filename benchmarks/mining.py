"""Mining against the straightforward way, side by side in one process, on one core.

    python benchmarks/mining.py                       # on a city of one long scene, generated at the first call
    python benchmarks/mining.py --root /data/nuscenes --version v1.0-mini --split mini_train

Prints
- clouds: seconds per annotation against a loop over nuscenes-devkit that, for each annotation, takes its 10 sweeps
  (`LidarPointCloud`, files cached), moves them to the global frame and asks `points_in_box`; ours reads the files and
  writes the Parquet too. A second line grants the loop a cache of the points in the global frame as well;
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
from collections.abc import Callable
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import points_in_box
from PIL import Image
from pyquaternion import Quaternion

from blendclip import storage
from blendclip.datasets import write_index
from blendclip.datasets.city import generate_city
from blendclip.mining.clouds import CloudOptions, gather_clouds, scene_clouds
from blendclip.mining.rejects import Rejects
from blendclip.mining.scene import read_scenes
from blendclip.mining.views import ViewOptions, cut_views

SWEEPS = 10
PROMPT = Path(__file__).parents[1] / "prompts" / "caption" / "template.yaml"
Loaded = tuple[LidarPointCloud, dict, dict]


def main() -> None:
    """Run all comparisons and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("build/benchmark_city"))
    parser.add_argument("--version", default="v1.0-mini")
    parser.add_argument("--split", default="mini_train")
    parser.add_argument("--annotations", type=int, default=60, help="annotations that the devkit loop is timed on")
    args = parser.parse_args()
    pa.set_cpu_count(1)
    if args.root == parser.get_default("root"):  # long, so that windows are full, as in a nuScenes scene of 20 s
        generate_city(args.root, scenes={"mini_train": 1, "mini_val": 0}, duration_s=8.0)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_index(args.root, args.version, "data", [args.split], work)
        index = work / f"{args.split}.parquet"
        tables = NuScenes(args.version, str(args.root), verbose=False)
        compare_clouds(index, args.root, work, tables, args.annotations)
        compare_views(repeated(index, 20, work), args.root, work)
        measure_jobs(index, args.root, work)


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def fastest_in_turn(ways: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """Seconds of each way, the best of several rounds in which they take turns, so that noise hits all alike."""
    times = [{name: timed(call) for name, call in ways.items()} for _ in range(rounds)]
    return {name: min(round_[name] for round_ in times) for name in ways}


def compare_clouds(index: Path, root: Path, work: Path, tables: NuScenes, count: int) -> None:
    """Clouds of all annotations, ours, against the devkit loop over some of them."""
    output, rejects = work / "clouds.parquet", work / "clouds.rejects.parquet"
    options = CloudOptions(sweeps=SWEEPS)

    def ours() -> None:
        gather_clouds(index, root, 0, 1, output, rejects, options, 0.01)

    def gathering() -> None:
        for scene in read_scenes(index, 0, 1):
            scene_clouds(scene, root, options, Rejects("clouds"))

    ours()  # compiles the kernel, once per machine
    rows = pq.read_table(output, columns=["annotation_token"])
    annotations = rows.num_rows + pq.read_metadata(rejects).num_rows
    tokens = rows["annotation_token"].to_pylist()[:: max(1, rows.num_rows // count)]
    files: dict[str, Loaded] = {}
    for token in tokens:
        for data in sweeps_of(tables, token):
            load(tables, data, files)
    in_global = {name: to_global(loaded) for name, loaded in files.items()}
    loops = {
        "devkit loop, files cached": lambda: [loop_global(tables, token, files) for token in tokens],
        "devkit loop, global points cached": lambda: [loop_cached(tables, token, in_global) for token in tokens],
    }
    ways = {
        "ours, files read, Parquet written": (ours, annotations),
        "ours, files read, nothing written": (gathering, annotations),
    } | {name: (loop, len(tokens)) for name, loop in loops.items()}
    seconds = fastest_in_turn({name: call for name, (call, _) in ways.items()})
    each_ms = {name: seconds[name] / share * 1e3 for name, (_, share) in ways.items()}
    print(f"clouds: {annotations} annotations, ms each")
    whole, alone, *_ = each_ms.values()
    for name, ms in each_ms.items():
        print(f"  {name:<36}{ms:8.3f} = {ms / whole:6.1f} x ours with writing, {ms / alone:6.1f} x ours without")


def sweeps_of(tables: NuScenes, token: str) -> list[dict]:
    """The sweep records of an annotation's window."""
    sample = tables.get("sample", tables.get("sample_annotation", token)["sample_token"])
    data, window = tables.get("sample_data", sample["data"]["LIDAR_TOP"]), []
    while len(window) < SWEEPS:
        window.append(data)
        if not data["prev"]:
            break
        data = tables.get("sample_data", data["prev"])
    return window


def load(tables: NuScenes, data: dict, files: dict[str, Loaded]) -> Loaded:
    """A sweep's points with its poses, from the cache."""
    if data["token"] not in files:
        calibration = tables.get("calibrated_sensor", data["calibrated_sensor_token"])
        ego_pose = tables.get("ego_pose", data["ego_pose_token"])
        points = LidarPointCloud.from_file(str(Path(tables.dataroot) / data["filename"]))
        files[data["token"]] = (points, calibration, ego_pose)
    return files[data["token"]]


def to_global(loaded: Loaded) -> np.ndarray:
    """The points (3, N) of a sweep in the global frame."""
    points, calibration, ego_pose = loaded
    cloud = LidarPointCloud(points.points.copy())
    for record in (calibration, ego_pose):
        cloud.rotate(Quaternion(record["rotation"]).rotation_matrix)
        cloud.translate(np.array(record["translation"]))
    return cloud.points[:3]


def loop_global(tables: NuScenes, token: str, files: dict[str, Loaded]) -> np.ndarray:
    """An annotation's points, the straightforward way."""
    box = tables.get_box(token)
    found = []
    for data in sweeps_of(tables, token):
        points_global = to_global(load(tables, data, files))
        found.append(points_global[:, points_in_box(box, points_global)])
    return np.concatenate(found, axis=1)


def loop_cached(tables: NuScenes, token: str, in_global: dict[str, np.ndarray]) -> np.ndarray:
    """The same, with the points already in the global frame."""
    box = tables.get_box(token)
    sweeps = [in_global[data["token"]] for data in sweeps_of(tables, token)]
    return np.concatenate([points[:, points_in_box(box, points)] for points in sweeps], axis=1)


def compare_views(index: Path, root: Path, work: Path) -> None:
    """Views against the decoding of their images."""
    output, rejects = work / "views.parquet", work / "views.rejects.parquet"

    def ours() -> None:
        cut_views(index, root, 0, 1, output, rejects, ViewOptions(), 0.01)

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


def measure_jobs(index: Path, root: Path, work: Path) -> None:
    """Start of a job; time and peak memory of each stage on 2 and 20 scenes, each in its own process."""
    part = ["--index", str(index), "--root", str(root), "--output", str(work / "none.parquet")]
    part += ["--rejects", str(work / "none.rejects.parquet"), "--part", "99999", "--parts", "100000"]
    start_s = min(job(["clouds", *part])[0] for _ in range(3))
    print(f"start of a job (a part without scenes): {start_s:.2f} s")
    for stage in ("clouds", "views", "caption", "triplets"):
        (small_s, small_mb), (large_s, large_mb) = (stage_job(stage, index, root, work, scenes) for scenes in (2, 20))
        print(
            f"  {stage:<9} 2 scenes: {small_s:5.2f} s, {small_mb:4.0f} MB; "
            f"20 scenes: {large_s:5.2f} s, {large_mb:4.0f} MB; {large_s / small_s:.1f} x the time"
        )


def stage_job(stage: str, index: Path, root: Path, work: Path, scenes: int) -> tuple[float, float]:
    """Run one stage on the index's scenes, repeated up to `scenes`."""
    scenes_index = repeated(index, scenes, work)
    folder = scenes_index.parent
    paths = {name: str(folder / f"{name}.parquet") for name in ("clouds", "views", "triplets", "rejects")}
    paths["caption"] = str(folder / "captions" / "views.parquet")
    inputs = {
        "clouds": ["--index", str(scenes_index), "--root", str(root), "--rejects", paths["rejects"]],
        "views": ["--index", str(scenes_index), "--root", str(root), "--rejects", paths["rejects"]],
        "caption": ["--views", paths["views"], "--prompt", str(PROMPT)],
        "triplets": ["--clouds", paths["clouds"], "--views", paths["views"], "--captions", paths["caption"]],
    }
    if stage == "triplets":
        inputs[stage] += ["--rejects", paths["rejects"]]
    output = paths[stage]
    if stage == "caption":  # writes files named as the views
        inputs[stage] += ["--rejects", str(folder / "rejects")]
        output = str(folder / "captions")
    return job([stage, *inputs[stage], "--output", output])


def repeated(index: Path, scenes: int, work: Path) -> Path:
    """An index of so many scenes, those of `index` over and over."""
    path = work / str(scenes) / "index.parquet"
    if not path.exists():
        rows = pq.ParquetFile(index)
        tables = [renamed(rows.read_row_group(n % rows.num_row_groups), n) for n in range(scenes)]
        storage.write_parquet(path, storage.INDEX, tables, {})
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
