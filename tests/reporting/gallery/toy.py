"""Small results folders with benchmarks, triplets and predictions, made without the code under test."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blendclip import schemas, storage

CLASSES = ["car", "bus", "pedestrian", "traffic_cone", "barrier", "dog"]
TITLES = {name: name.replace("_", " ") for name in CLASSES}
SCRIPT = "<script>alert('caption')</script> & a car"
_NONE = dict.fromkeys(schemas.TRIPLETS.names)


def jpeg(number: int) -> bytes:
    """A picture that no other number has."""
    file = io.BytesIO()
    color = (40 * number % 256, 90 * number % 256, 13 * number % 256)
    Image.new("RGB", (24 + number, 24), color).save(file, "JPEG")
    return file.getvalue()


def make_results(results: Path, count: int = 60, runs: tuple[str, ...] = ("first", "second")) -> list[dict[str, Any]]:
    """A results folder with the benchmark `city` and evaluations; returns the benchmark's clouds.

    Every fourth cloud has no triplet; two clouds at a time are of one object; the other clouds' triplets are in two
    parts of city/val, with three of no class of the benchmark. The first triplet's caption is `SCRIPT`.
    """
    random = np.random.default_rng(3)
    clouds = [_cloud(number, random) for number in range(count)]
    write_benchmark(results, "city", clouds)
    triplets = [_triplet(cloud, number) for number, cloud in enumerate(clouds) if number % 4]
    triplets[0]["caption"] = SCRIPT
    for number in range(3):
        extra = _triplet(clouds[0] | {"cloud_id": f"extra{number}", "instance_token": f"extra{number}"}, count + number)
        triplets.append(extra | {"class_name": None, "category": "animal"})
    write_triplets(results, "city/val", [triplets[:25], triplets[25:]])
    for run in runs:
        write_evaluation(results, run, "city", clouds, random)
    return clouds


def write_benchmark(results: Path, name: str, clouds: list[dict[str, Any]]) -> None:
    about = storage.metadata("benchmarks", {"benchmark": name, "format": "mined", "classes": CLASSES, "left_out": {}})
    path = results / "evaluation" / "benchmarks" / f"{name}.parquet"
    parts = [clouds[:20], clouds[20:]]
    storage.write_parquet(
        path, schemas.BENCHMARKS, [storage.table_of(part, schemas.BENCHMARKS) for part in parts], about
    )


def write_triplets(results: Path, split: str, parts: list[list[dict[str, Any]]]) -> None:
    for number, rows in enumerate(parts):
        path = results / "triplets" / split / f"part-{number:05d}.parquet"
        table = storage.table_of(rows, schemas.TRIPLETS)
        storage.write_parquet(path, schemas.TRIPLETS, [table], storage.metadata("triplets", {}))


def write_evaluation(
    results: Path, run: str, benchmark: str, clouds: list[dict[str, Any]], random: np.random.Generator
) -> None:
    rows = []
    for cloud in clouds:
        scores = random.uniform(-0.1, 0.5, len(CLASSES)).astype(np.float32)
        top5 = np.argsort(-scores)[:5]
        made = {
            "rank": int((scores > scores[cloud["label"]]).sum()),
            "top5": top5.tolist(),
            "top5_scores": scores[top5].tolist(),
            "embedding": np.zeros(4, np.float16),
        }
        rows.append(cloud | made)
    folder = results / "evaluation" / "runs" / run / benchmark
    about = storage.metadata("evaluation", {})
    table = storage.table_of(rows, schemas.PREDICTIONS)
    storage.write_parquet(folder / "predictions.parquet", schemas.PREDICTIONS, [table], about)
    metrics = {"run": run, "benchmark": benchmark, "classes": CLASSES, "titles": list(TITLES.values())}
    (folder / "metrics.json").write_text(json.dumps(metrics))


def _cloud(number: int, random: np.random.Generator) -> dict[str, Any]:
    label = number // 2 % len(CLASSES)
    size = 5000 if number == 1 else 3 + 7 * number
    return {
        "cloud_id": f"cloud{number:03d}",
        "instance_token": f"object{number // 2}",
        "scene": "scene-1",
        "class_name": CLASSES[label],
        "label": label,
        "points": (random.normal(size=(size, 3)) * [2.0, 1.0, 0.8] + [10, 0, 1]).astype(np.float32).tolist(),
        "rgb": None,
        "num_points": size,
        "timestamp_us": number,
        "distance_m": float(number),
        "visibility": 4,
    }


def _triplet(cloud: dict[str, Any], number: int) -> dict[str, Any]:
    shared = ("scene", "class_name", "points", "num_points", "distance_m", "instance_token")
    own = {
        "triplet_id": f"city/{cloud['cloud_id']}",
        "dataset": "city",
        "split": "val",
        "annotation_token": cloud["cloud_id"],
        "category": "vehicle.car",
        "image": {"bytes": jpeg(number), "path": None},
        "caption": f"caption of {cloud['cloud_id']}",
    }
    zeros = {"translation": [0.0] * 3, "rotation_wxyz": [1.0, 0, 0, 0], "size_lwh_m": [1.0] * 3}
    return _NONE | zeros | {"crop_xyxy_px": [0.0] * 4} | {name: cloud[name] for name in shared} | own
