"""The four tables of a part, made by hand."""

import numpy as np

from blendclip import schemas, storage

WIDTH = 6
FIXED = {
    "translation": [0.0] * 3,
    "rotation_wxyz": [1.0, 0.0, 0.0, 0.0],
    "size_lwh_m": [1.0] * 3,
    "crop_xyxy_px": [0.0] * 4,
    "covered_fraction": 0.0,
    "timestamp_us": 0,
    "view_time_gap_us": 0,
    "evaluated": False,
}
STAGES = ("triplets", "views", "captions", "embeddings")


class Tables:
    """Rows of the four files of one part, to be changed and written."""

    def __init__(self, dataset, seed, split="train"):
        self.dataset, self.split, self.random = dataset, split, np.random.default_rng(seed)
        self.rows = {stage: [] for stage in STAGES}

    def view(self, instance, name, time_us=0, image=True, caption=None):
        view_id = f"{self.dataset}/{instance}/{name}"
        who = {"view_id": view_id, "instance_token": instance, "channel": name, "timestamp_us": time_us}
        self.add("views", schemas.VIEWS, who, attributes=[])
        if image:
            self.embedding("image", view_id=view_id)
        if caption is not None:
            self.add("captions", schemas.CAPTIONS, {"view_id": view_id, "caption": caption})
            self.embedding("text", view_id=view_id, text=caption)

    def triplet(self, name, instance, channel, caption, count, time_us=0, gap_us=0, colors=True, lidar=True, **more):
        rgb = [self.random.integers(0, 256, 3).tolist() if k % 3 else None for k in range(count)] if colors else None
        of_lidar = {name: self.random.random(count).tolist() if lidar else None for name in ("intensity", "time_lag_s")}
        row = {
            "triplet_id": f"{self.dataset}/{name}",
            "instance_token": instance,
            "channel": channel,
            "caption": caption,
        }
        row |= {"timestamp_us": time_us, "view_time_gap_us": gap_us, "num_points": count, "rgb": rgb} | of_lidar
        row["points"] = self.random.normal(size=(count, 3)).tolist()
        self.add("triplets", schemas.TRIPLETS, row, **more)

    def embedding(self, kind, **more):
        vector = (5 * self.random.normal(size=WIDTH)).astype(np.float16)
        self.add("embeddings", schemas.EMBEDDINGS, {"kind": kind, "source": kind, "embedding": vector}, **more)

    def add(self, stage, schema, row, **more):
        known = {name: FIXED.get(name) for name in schema.names} | {"dataset": self.dataset, "split": self.split}
        row = known | row | more
        self.rows[stage].append({name: row[name] for name in schema.names})

    def write(self, results, part=0, rows_per_group=2, options=None):
        of_stages = (schemas.TRIPLETS, schemas.VIEWS, schemas.CAPTIONS, schemas.EMBEDDINGS)
        for stage, schema in zip(STAGES, of_stages, strict=True):
            rows = self.rows[stage]
            groups = [rows[start : start + rows_per_group] for start in range(0, len(rows), rows_per_group)]
            tables = [storage.table_of(group, schema) for group in groups]
            storage.write_parquet(
                path_of(results, stage, self.dataset, part, self.split),
                schema,
                tables,
                storage.metadata("cad", options or {}),
            )
        return self


def path_of(results, stage, dataset, part=0, split="train"):
    clip = "tiny/" if stage == "embeddings" else ""
    return results / stage / f"{clip}{dataset}" / split / f"part-{part:05d}.parquet"
