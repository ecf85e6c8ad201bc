"""A results folder to train on in seconds: four classes of shapes as CAD objects and as a LiDAR would see them."""

import json
import os
import re
import subprocess
import sys

import numpy as np

from blendclip import schemas, storage
from blendclip.evaluation import class_weights
from blendclip.training.data.packing import pack_clouds
from blendclip.training.data.packing_features import FeatureSources, pack_features
from blendclip.training.recipe import as_recipe
from tests.training.tables import STAGES, Tables, path_of

WIDTH = 16
SIDES = {"ball": None, "rod": (3.0, 0.2, 0.2), "plate": (2.0, 2.0, 0.1), "cube": (1.0, 1.0, 1.0)}
CLASSES = tuple(SIDES)
DIRECTIONS = dict(zip(CLASSES, np.linalg.qr(np.random.default_rng(3).normal(size=(WIDTH, 4)))[0].T, strict=True))
RECIPE = {
    "clip": "tiny",
    "data": {"synthetic": ["cad/train"], "real": ["road/train"], "max_points": 96},
    "encoder": {"preset": "tiny", "depth": 2, "width": 32, "heads": 2, "encoder_width": 16, "max_patches": 8},
    "mixture": {"max_real_ratio": 0.5, "warmup": 0.0},
    "epochs": {"count": 4, "coverage": 1.0, "rule": "distinct"},  # 20 steps
    "batch_size": 8,
    "same_caption": 0.97,
    "validation": [{"split": "road/val", "classes": "toys", "templates": "plain"}],
    "checkpoint_every": 4,
    "log_every": 1,
}


def recipe_of(**changes):
    """The toy recipe with other values, `group__key=value` within a group."""
    content = json.loads(json.dumps(RECIPE))
    for name, value in changes.items():
        *group, key = name.split("__")
        (content.setdefault(group[0], {}) if group else content)[key] = value
    return content


def toy_recipe(**changes):
    return as_recipe(recipe_of(**changes))


def make(results):
    """Packed CAD objects, recordings to train on and to test with, and weights of the classes."""
    _objects().write(results)
    _recordings("train", 16, 1).write(results)
    _recordings("val", 12, 2).write(results)
    for dataset, split in (("cad", "train"), ("road", "train"), ("road", "val")):
        pack(results, dataset, split)
    rows = [{"class_name": name, "words": [name], "weight": DIRECTIONS[name].astype(np.float32)} for name in CLASSES]
    table = storage.table_of(rows, class_weights.SCHEMA)
    path = results / "embeddings" / "tiny" / "classes" / "toys.plain.parquet"
    storage.write_parquet(path, class_weights.SCHEMA, [table], storage.metadata("class_weights", {}))
    return results


def pack(results, dataset, split):
    """Pack the tables of a split."""
    sources = [path_of(results, stage, dataset, 0, split) for stage in STAGES]
    clouds, features = (results / "packed" / place / dataset / split / "part-00000.arrow" for place in ("", "tiny"))
    pack_clouds(sources[0], clouds)
    pack_features(FeatureSources(*sources), features)


def surface(random, name, count):
    """`count` points of a ball, or of a box that is turned about z."""
    if SIDES[name] is None:
        points = random.normal(size=(count, 3))
        return points / np.linalg.norm(points, axis=1, keepdims=True)
    sides = np.array(SIDES[name]) * random.uniform(0.8, 1.25, 3)
    points = random.uniform(-0.5, 0.5, (count, 3))
    area = np.prod(sides) / sides
    axis = random.choice(3, count, p=area / area.sum())
    points[np.arange(count), axis] = random.choice([-0.5, 0.5], count)
    angle = random.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return points * sides @ turn.T


def one_sided(random, name, count):
    """`count` points of the half of its surface that is nearer to a sensor at x = -infinity."""
    points = surface(random, name, 4 * count)
    return points[np.argsort(points[:, 0], kind="stable")[: 2 * count]][random.permutation(2 * count)[:count]]


def _feature(random, name):
    return (4 * (DIRECTIONS[name] + 0.1 * random.normal(size=WIDTH))).astype(np.float16)


def _view(tables, name, instance, channel, time_us=0):
    view_id, caption = f"{tables.dataset}/{instance}/{channel}", f"a {name}, {instance} from {channel}"
    tables.view(instance, channel, time_us, image=False)
    tables.add("captions", schemas.CAPTIONS, {"view_id": view_id, "caption": caption})
    tables.embedding("image", view_id=view_id, embedding=_feature(tables.random, name))
    tables.embedding("text", view_id=view_id, text=caption, embedding=_feature(tables.random, name))
    return caption


def _triplet(tables, triplet, name, instance, channel, caption, points):
    what = {"class_name": name, "category": f"thing.{name}", "points": points.tolist(), "evaluated": True}
    tables.triplet(triplet, instance, channel, caption, len(points), colors=False, lidar=False, **what)


def _objects():
    tables = Tables("cad", 0)
    for number in range(40):
        name, instance = CLASSES[number % 4], f"o{number}"
        captions = [_view(tables, name, instance, f"view_{view}") for view in range(3)]
        _triplet(tables, instance, name, instance, "view_0", captions[0], surface(tables.random, name, 128))
    return tables


def _recordings(split, instances, seed):
    """Each instance with two views and a cloud beside each."""
    tables = Tables("road", seed, split)
    for number in range(instances):
        name, instance = CLASSES[number % 4], f"{split}{number}"
        for view in range(2):
            caption = _view(tables, name, instance, f"CAM_{view}")
            points = one_sided(tables.random, name, int(tables.random.integers(24, 120)))
            _triplet(tables, f"{instance}-{view}", name, instance, f"CAM_{view}", caption, points)
    return tables


def write_recipe(path, **changes):
    """The toy recipe as a file of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(recipe_of(**changes)))
    return path


def command(recipe, results, output, *more, ranks=1, log=None):
    """`blendclip train`, by torchrun for several ranks; with one it prints to the file `log` too, if any."""
    paths = ["--recipe", recipe, "--results", results, "--output", output]
    arguments = ["train", *map(str, paths), "--threads", "1", *more]
    if ranks > 1:
        start = f"import sys; from blendclip.training import launching as l; l.become_torchrun(sys.argv[1:], {ranks})"
        return [sys.executable, "-c", start, *arguments]
    return [sys.executable, "-m", "blendclip", *([] if log is None else ["--log", str(log)]), *arguments]


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1"}


def train(*arguments, **options):
    """Run `blendclip train`; return exit status and what it printed."""
    done = subprocess.run(command(*arguments, **options), env=environment(), capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def timeless(entries):
    """Entries of a metrics log without what depends on the clock."""
    return [{key: entry[key] for key in entry if not re.fullmatch(r"samples_per_s|\w+_s", key)} for entry in entries]
