"""What the tables of every format in nuScenes' schema share: rows of fixed names, links, and the files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from blendclip.randomness import stable_token

Row = dict[str, object]
Tables = dict[str, list[Row]]


def attribute_rows(names: Iterable[str]) -> list[Row]:
    """Return the attribute table."""
    return [{"token": stable_token("attribute", name), "name": name, "description": name} for name in names]


def category_row(name: str, shapes: Iterable[str]) -> Row:
    """Return the row of a category that these shapes stand for."""
    token = stable_token("category", name)
    return {"token": token, "name": name, "description": ", ".join(shapes).replace("_", " ")}


def sensor_rows(lidars: Iterable[str], cameras: Iterable[str]) -> list[Row]:
    """Return the sensor table for channels of either modality."""
    channels = [*((channel, "lidar") for channel in lidars), *((channel, "camera") for channel in cameras)]
    return [{"token": stable_token("sensor", c), "channel": c, "modality": m} for c, m in channels]


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


def write_tables(folder: Path, tables: Tables, names: Sequence[str]) -> None:
    """Write the named tables as JSON into the version's folder."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / f"{name}.json").write_text(json.dumps(tables[name], indent=0) + "\n")
