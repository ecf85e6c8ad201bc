"""Copies of a generated dataset to damage: files are links, tables one's own."""

from __future__ import annotations

import json
import os
import shutil

import pyarrow.parquet as pq

from blendclip.datasets.drives.index import write_index
from blendclip.datasets.drives.options import TableOptions


class Drive:
    """A dataset whose tables and files may be changed."""

    def __init__(self, source, root, version="v1.0-mini", format="nuscenes"):
        self.root, self.version, self.format = root, version, format
        shutil.copytree(source, root, copy_function=os.link)
        for table in (root / version).iterdir():
            content = table.read_bytes()
            table.unlink()
            table.write_bytes(content)

    def path(self, name):
        return self.root / self.version / f"{name}.json"

    def table(self, name):
        return json.loads(self.path(name).read_text())

    def write(self, name, rows):
        self.path(name).write_text(json.dumps(rows))

    def change(self, name, change):
        """Call a function with each row of a table, and drop the rows for which it answers False."""
        self.write(name, [row for row in self.table(name) if change(row) is not False])

    def channels(self):
        """Channel by token of a calibrated sensor."""
        names = {row["token"]: row["channel"] for row in self.table("sensor")}
        return {row["token"]: names[row["sensor_token"]] for row in self.table("calibrated_sensor")}

    def two_scenes(self):
        """Make the validation scene a second training scene, and return the names of both."""
        rows = self.table("scene")
        other = next(row for row in rows if row["name"] != "scene-0061")
        other["name"] = "scene-0553"
        self.write("scene", rows)
        return "scene-0061", "scene-0553"

    def files_of(self, scene_name):
        """Paths of all files of a scene."""
        (token,) = (row["token"] for row in self.table("scene") if row["name"] == scene_name)
        samples = {row["token"] for row in self.table("sample") if row["scene_token"] == token}
        return [self.root / row["filename"] for row in self.table("sample_data") if row["sample_token"] in samples]

    def index(self, folder, split="mini_train", **options):
        """The rows of a split's index."""
        write_index(self.root, TableOptions(self.version, **options), "x", [split], folder, format=self.format)
        return pq.read_table(folder / f"{split}.parquet").to_pylist()
