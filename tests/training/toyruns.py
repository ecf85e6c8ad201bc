"""A results folder in which training takes seconds: four shapes, whole as CAD and one-sided as LiDAR sees them."""

import json

import numpy as np

from blendclip import storage
from blendclip.evaluation.class_weights import SCHEMA as CLASS_WEIGHTS
from blendclip.training.packing import pack_clouds
from blendclip.training.packing_features import FeatureSources, pack_features

CLASSES = ("ball", "rod", "plate", "box")
WIDTH = 16
_AXES = np.linalg.qr(np.random.default_rng(0).normal(size=(WIDTH, WIDTH)))[0][: len(CLASSES)]


def cloud(name, count, random):
    """Points of a shape, (n, 3)."""
    points = random.uniform(-1, 1, (count, 3))
    if name == "ball":
        return points / np.linalg.norm(points, axis=1, keepdims=True)
    return points * {"rod": (0.1, 0.1, 1.0), "plate": (1.0, 1.0, 0.05), "box": (1.0, 1.0, 1.0)}[name]


def write_split(results, dataset, split, per_class, points, views, lidar, seed):
    """Packed clouds and features of CLIP `toy`; with `lidar` two clouds an instance, of the half that faces x."""
    random = np.random.default_rng(seed)
    rows = {stage: [] for stage in ("triplets", "views", "captions", "embeddings")}
    for number in range(per_class * len(CLASSES)):
        name = CLASSES[number % len(CLASSES)]
        who = {"instance_token": f"{split}-{number}", "category": name, "class_name": name, "timestamp_us": 0}
        for view in range(views):
            view_id = f"{dataset}/{split}-{number}/{view}"
            caption = f"{name} {number} {view}"
            rows["views"].append(who | {"view_id": view_id, "channel": str(view), "attributes": []})
            rows["captions"].append({"view_id": view_id, "caption": caption})
            for kind in ("image", "text"):
                feature = _AXES[number % len(CLASSES)] + 0.1 * random.normal(size=WIDTH)
                rows["embeddings"].append(
                    {"kind": kind, "source": kind, "view_id": view_id, "text": caption, "embedding": feature}
                )
        for turn in range(2 if lidar else 1):
            xyz = cloud(name, points, random)
            xyz = xyz[xyz[:, 0] > 0] if lidar else xyz
            own = {"channel": "0", "caption": f"{name} {number} 0", "points": xyz, "num_points": len(xyz)}
            rows["triplets"].append(who | own | {"triplet_id": f"{dataset}/{split}-{number}-{turn}"})
    schemas = (storage.TRIPLETS, storage.VIEWS, storage.CAPTIONS, storage.EMBEDDINGS)
    paths = []
    for (stage, listed), schema in zip(rows.items(), schemas, strict=True):
        fixed = {"view_time_gap_us": 0, "dataset": dataset, "split": split, "evaluated": False}
        full = [{key: (fixed | row).get(key) for key in schema.names} for row in listed]
        for row in full:
            row |= {key: list(map(float, row[key])) for key in ("embedding",) if row.get(key) is not None}
            row |= {key: row[key].tolist() for key in ("points",) if row.get(key) is not None}
        paths.append(results / stage / dataset / split / "part-00000.parquet")
        table = storage.table_of(full, schema)
        storage.write_parquet(paths[-1], schema, [table], storage.metadata("cad", {}))
    pack_clouds(paths[0], results / "packed" / dataset / split / "part-00000.arrow")
    pack_features(FeatureSources(*paths), results / "packed" / "toy" / dataset / split / "part-00000.arrow")


def write_results(results):
    """cad/train, road/train, road/val and the weights of their classes."""
    write_split(results, "cad", "train", per_class=10, points=300, views=3, lidar=False, seed=1)
    write_split(results, "road", "train", per_class=5, points=80, views=2, lidar=True, seed=2)
    write_split(results, "road", "val", per_class=6, points=80, views=1, lidar=True, seed=3)
    rows = [
        {"class_name": name, "words": [name], "weight": axis.tolist()}
        for name, axis in zip(CLASSES, _AXES, strict=True)
    ]
    path = results / "embeddings" / "toy" / "classes" / "toy.plain.parquet"
    about = storage.metadata("class_weights", {})
    storage.write_parquet(path, CLASS_WEIGHTS, [storage.table_of(rows, CLASS_WEIGHTS)], about)
    return results


def recipe(**changes):
    """Plain data of a recipe of 25 steps; changes replace keys."""
    content = {
        "clip": "toy",
        "data": {"synthetic": ["cad/train"], "real": ["road/train"], "max_points": 128},
        "encoder": {"preset": "tiny", "depth": 2, "width": 32, "heads": 2, "encoder_width": 16, "max_patches": 8},
        "mixture": {"schedule": "constant", "max_real_ratio": 0.4, "warmup": 0.0},
        "epochs": {"count": 5, "rule": "distinct", "coverage": 1.0, "warmup": 1},
        "batch_size": 8,
        "validation": [{"split": "road/val", "classes": "toy", "templates": "plain"}],
        "checkpoint_every": 3,
        "log_every": 1,
    }
    return content | changes


def write_recipe(path, **changes):
    """A file of `recipe`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(recipe(**changes)))
    return path
