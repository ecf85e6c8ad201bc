"""The tables of the nuScenes schema: fixed rows, and the links between rows of one scene."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from blendclip.datasets.city.meshes import CATEGORY_SHAPES
from blendclip.datasets.city.seeds import stable_token
from blendclip.datasets.city.sensors import CAMERAS, LIDAR
from blendclip.datasets.city.street import CROSS_HALF_M, MAIN_HALF_M

Row = dict[str, object]
Tables = dict[str, list[Row]]

VERSION = "v1.0-mini"
TABLES = (
    *("category", "attribute", "visibility", "instance", "sensor", "calibrated_sensor", "ego_pose"),
    *("log", "scene", "sample", "sample_data", "sample_annotation", "map"),
)
ATTRIBUTES = (
    *("vehicle.moving", "vehicle.stopped", "vehicle.parked", "cycle.with_rider", "cycle.without_rider"),
    *("pedestrian.sitting_lying_down", "pedestrian.standing", "pedestrian.moving"),
)
VISIBILITY = (("1", "v0-40"), ("2", "v40-60"), ("3", "v60-80"), ("4", "v80-100"))
MAP_FILE = "maps/city.png"


def fixed_tables() -> Tables:
    """Return the tables whose rows do not depend on any scene."""
    channels = [(LIDAR, "lidar"), *((camera.channel, "camera") for camera in CAMERAS)]
    return {
        "category": [
            {"token": stable_token("category", name), "name": name, "description": ", ".join(shapes).replace("_", " ")}
            for name, shapes in CATEGORY_SHAPES.items()
        ],
        "attribute": [{"token": stable_token("attribute", n), "name": n, "description": n} for n in ATTRIBUTES],
        "visibility": [
            {"token": token, "level": level, "description": f"{level[1:]} % of the object is visible in the six images"}
            for token, level in VISIBILITY
        ],
        "sensor": [{"token": stable_token("sensor", c), "channel": c, "modality": m} for c, m in channels],
    }


def link(rows: list[Row]) -> list[Row]:
    """Fill prev and next of rows that follow each other; return the rows."""
    for i, row in enumerate(rows):
        row["prev"] = rows[i - 1]["token"] if i else ""
        row["next"] = rows[i + 1]["token"] if i + 1 < len(rows) else ""
    return rows


def instance_rows(annotations: list[Row], category_of: dict[str, str]) -> list[Row]:
    """Link the annotations of each instance in time and return a row per instance.

    Args: annotations in order of time; category_of maps instance tokens to category names.
    """
    tracks: dict[str, list[Row]] = defaultdict(list)
    for annotation in annotations:
        tracks[str(annotation["instance_token"])].append(annotation)
    return [
        {
            "token": token,
            "category_token": stable_token("category", category_of[token]),
            "nbr_annotations": len(track),
            "first_annotation_token": link(track)[0]["token"],
            "last_annotation_token": track[-1]["token"],
        }
        for token, track in tracks.items()
    ]


def write_map(root: Path, log_tokens: list[str]) -> list[Row]:
    """Draw the crossing as a small mask, 4 px a metre, and return the map table."""
    y, x = np.mgrid[-60:60:0.25, -60:60:0.25]
    road = (np.abs(y) < MAIN_HALF_M) | (np.abs(x) < CROSS_HALF_M)
    (root / MAP_FILE).parent.mkdir(parents=True)
    Image.fromarray(np.where(road, 255, 0).astype(np.uint8)).save(root / MAP_FILE)
    row: Row = {"token": stable_token("map"), "log_tokens": log_tokens, "category": "semantic_prior"}
    return [{**row, "filename": MAP_FILE}]


def write_tables(root: Path, tables: Tables) -> None:
    """Write the thirteen tables as JSON into the version's folder."""
    folder = root / VERSION
    folder.mkdir(parents=True)
    for name in TABLES:
        (folder / f"{name}.json").write_text(json.dumps(tables[name], indent=0) + "\n")
