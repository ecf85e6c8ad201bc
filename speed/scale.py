"""Time and peak memory of every stage on one part of 1, 3, 10 and 30 scenes.

    python speed/scale.py                  # on a city of one scene, generated at the first call
    python speed/scale.py --scenes 1 30 --stages pack-clouds benchmark

Each scene is the same recording under another name, so that work grows with their number alone. A stage is a job of its
own, as the workflow starts it: seconds hold its start, and peak memory is the most that the process had resident.
`growth` is what a scene more costs, seconds and MB, from the least to the most of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import pyarrow as pa

from blendclip import schemas, storage
from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import DriveOptions
from blendclip.results import Results
from blendclip.synthetic.city.generate import generate_city

PROMPTS = Path(__file__).parents[1] / "prompts"
WHERE = ("city", "mini_train")
RENAMED = ("scene", "sample_token", "instance_token", "annotation_token", "token")


def main() -> None:
    """Measure the stages and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, nargs="+", default=[1, 3, 10, 30])
    parser.add_argument("--stages", nargs="+", help="those to print; those before them run all the same")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of the scene, when it is generated")
    args = parser.parse_args()
    root = Path("build") / "scale_car"
    generate_city(root, scenes={"mini_train": 1, "mini_val": 0}, duration_s=args.seconds)
    measured: dict[str, list[tuple[float, float]]] = {}
    for count in args.scenes:
        with tempfile.TemporaryDirectory() as folder:
            files = Results(Path(folder))
            write_index(root, DriveOptions("v1.0-mini"), WHERE[0], [WHERE[1]], files.index(*WHERE).parent)
            repeat_scenes(files.index(*WHERE), count)
            for stage, command in jobs(files, root):
                measured.setdefault(stage, []).append(run(command))
    print(f"{'stage':14}" + "".join(f"{count:>18} scenes" for count in args.scenes) + f"{'growth':>25}")
    for stage, numbers in measured.items():
        if not args.stages or stage in args.stages:
            print(line(stage, numbers, args.scenes))


def repeat_scenes(index: Path, count: int) -> None:
    """Write the first scene of an index `count` times into it, under other names and tokens."""
    (scene,) = storage.read_parquet(index).slice(0, 1).to_pylist()
    about = {"blendclip": storage.open_parquet(index).schema_arrow.metadata[b"blendclip"].decode()}
    tables = (storage.table_of([renamed(scene, f"-{number:03d}")], schemas.INDEX) for number in range(count))
    storage.write_parquet(index, schemas.INDEX, tables, about)


def renamed(value: object, ending: str, name: str = "") -> object:
    """A value of the index with `ending` behind every name and token in it."""
    if isinstance(value, dict):
        return {key: renamed(one, ending, key) for key, one in value.items()}
    if isinstance(value, list):
        return [renamed(one, ending, name) for one in value]
    return f"{value}{ending}" if name in RENAMED else value


def jobs(files: Results, root: Path) -> Iterator[tuple[str, list[str]]]:
    """Each stage with its command, in an order in which each finds what it needs."""
    index = ["--index", files.index(*WHERE), "--root", root]
    clouds, views, captions, triplets = (
        files.part(stage, *WHERE, 0) for stage in ("clouds", "views", "captions", "triplets")
    )
    features, weights = files.embeddings("tiny", *WHERE, 0), '{"model": "tiny"}'
    mined = ["--output", clouds, "--rejects", files.rejects("clouds", *WHERE, 0)]
    yield "clouds", words("clouds", *index, *mined)
    yield "views", words("views", *index, "--output", views, "--rejects", files.rejects("views", *WHERE, 0))
    prompt = ["--prompt", PROMPTS / "caption" / "template.yaml", "--output", captions.parent]
    yield (
        "caption",
        words("caption", "--views", views, *prompt, "--rejects", files.rejects("captions", *WHERE, 0).parent),
    )
    joined = ["--clouds", clouds, "--views", views, "--captions", captions]
    yield (
        "triplets",
        words("triplets", *joined, "--output", triplets, "--rejects", files.rejects("triplets", *WHERE, 0)),
    )
    yield "embed", words("embed", *joined[2:], "--clip", weights, "--output", features.parent)
    yield "pack-clouds", words("pack-clouds", "--triplets", triplets, "--output", files.packed_clouds(*WHERE, 0))
    packed = files.packed_features("tiny", *WHERE, 0)
    told = ["--triplets", triplets, *joined[2:], "--embeddings", features]
    yield "pack-features", words("pack-features", *told, "--output", packed)
    made = ["--options", '{"split": "' + "/".join(WHERE) + '"}', "--classes", PROMPTS / "classes" / "city.yaml"]
    for kind in ("mined", "cad"):
        place = ["--results", files.root, "--output", files.benchmark(kind)]
        yield f"benchmark {kind}", words("benchmark", "--name", kind, "--format", kind, *made, *place)


def words(*command: str | Path) -> list[str]:
    """A command line of the product."""
    return [sys.executable, "-m", "blendclip", *map(str, command)]


def run(command: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds and its peak memory in MB."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            said.seek(0)
            sys.exit(said.read().decode())
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def line(stage: str, numbers: list[tuple[float, float]], scenes: list[int]) -> str:
    """A line of the table."""
    cells = "".join(f"{seconds:12.1f} s {memory:7.0f} MB" for seconds, memory in numbers)
    more = max(scenes[-1] - scenes[0], 1)
    slope = [(last - first) / more for first, last in zip(numbers[0], numbers[-1], strict=True)]
    return f"{stage:14}{cells}{slope[0]:12.2f} s {slope[1]:7.1f} MB"


if __name__ == "__main__":
    pa.set_cpu_count(1)
    main()
