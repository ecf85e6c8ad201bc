"""Generate the whole dataset: scenes in parallel, tables, truth, and the atomic move into place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from nuscenes.utils.splits import create_splits_scenes
from tqdm import tqdm

from blendclip.datasets.city.plan import KINDS
from blendclip.datasets.city.recording import SceneJob, SceneRecord, record_scene
from blendclip.datasets.city.tables import TABLES, Row, Tables, fixed_tables, write_map, write_tables
from blendclip.errors import UserError
from blendclip.storage import STAGE_VERSIONS

DEFAULT_SCENES: Mapping[str, int] = {"mini_train": 6, "mini_val": 2}
DURATION_S = 3.0
IMAGE_SIZE_PX = (1280, 720)
RECIPE_FILE = "city.json"  # written last: the city is finished
OURS_FILE = ".city"  # marks a folder that may be replaced; nobody but us knows of it, so no one deletes it


def generate_city(
    root: Path,
    *,
    scenes: Mapping[str, int] = DEFAULT_SCENES,
    duration_s: float = DURATION_S,
    seed: int = 0,
    workers: int = 1,
    image_size_px: tuple[int, int] = IMAGE_SIZE_PX,
) -> None:
    """Write the generated driving dataset at root, in nuScenes format, version v1.0-mini.

    The same arguments give the same bytes whatever workers is. A finished city of the same recipe is left as it
    is, another one is replaced.

    Args:
        scenes: how many scenes of each split, mini_train and mini_val.
        duration_s: length of a scene; keyframes are half a second apart, the first at 0.
        workers: scenes recorded at the same time, each in its own process.
        image_size_px: width and height of the camera images.

    Raises:
        UserError: the recipe cannot be made, or root holds something else.
    """
    root = Path(root)
    recipe = make_recipe(scenes, duration_s, seed, image_size_px)
    if _recipe_at(root) == recipe:
        return
    unfinished, replaced = (root.with_name(f".{root.name}.{state}") for state in ("unfinished", "replaced"))
    for folder in (root, unfinished, replaced):
        _require_ours(folder)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    (unfinished / OURS_FILE).write_text("This folder was generated and may be replaced.\n")
    jobs = scene_jobs(unfinished, recipe)
    records = list(tqdm(_record_all(jobs, workers), desc="city", unit="scene", total=len(jobs)))
    counts = _write_shared(unfinished, records)
    (unfinished / RECIPE_FILE).write_text(json.dumps({**recipe, "counts": counts}, indent=2) + "\n")
    shutil.rmtree(replaced, ignore_errors=True)
    if root.exists():
        root.rename(replaced)
    unfinished.rename(root)
    shutil.rmtree(replaced, ignore_errors=True)


def make_recipe(scenes: Mapping[str, int], duration_s: float, seed: int, image_size_px: tuple[int, int]) -> dict:
    """Return what fixes every byte of a city, as it stands in city.json; raise UserError for what cannot be made."""
    official = create_splits_scenes()
    names = {}
    for split, count in scenes.items():
        if split not in ("mini_train", "mini_val"):
            raise UserError(f"city has no split {split!r}: ask for scenes of mini_train and mini_val.")
        if not 0 <= count <= len(official[split]):
            raise UserError(f"city cannot make {count} scenes of {split}: ask for 0 to {len(official[split])}.")
        names[split] = official[split][:count]
    if not any(names.values()):
        raise UserError("city was asked for no scene at all: ask for at least one of mini_train or mini_val.")
    if duration_s < 0.5:
        raise UserError(f"city cannot make scenes of {duration_s} s: duration_s must be 0.5 or more.")
    if min(image_size_px) < 16:
        raise UserError(f"city cannot make images of {image_size_px} px: ask for 16x16 or more.")
    return {
        "city_version": STAGE_VERSIONS["city"],
        "seed": seed,
        "scenes": names,
        "duration_s": duration_s,
        "image_size_px": list(image_size_px),
    }


def scene_jobs(root: Path, recipe: Mapping) -> list[SceneJob]:
    """Return a job per scene of a recipe; the kinds of drive alternate within each split."""
    width, height = recipe["image_size_px"]
    jobs = []
    for names in recipe["scenes"].values():
        for i, name in enumerate(names):
            job = SceneJob(
                root, name, KINDS[i % len(KINDS)], len(jobs), recipe["seed"], recipe["duration_s"], (width, height)
            )
            jobs.append(job)
    return jobs


def _recipe_at(root: Path) -> dict | None:
    """Return the recipe of the finished city at root, None if there is none."""
    path = root / RECIPE_FILE
    if not path.is_file():
        return None
    found = json.loads(path.read_text())
    return {key: value for key, value in found.items() if key != "counts"}


def _require_ours(folder: Path) -> None:
    """Raise UserError unless the folder may be deleted: it is missing, empty, or marked as a city."""
    if not folder.exists() or (folder / OURS_FILE).is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise UserError(f"{folder} exists and is not a generated city: choose another folder or remove it yourself.")


def _record_all(jobs: list[SceneJob], workers: int) -> Iterator[SceneRecord]:
    """Yield the record of each job, in the jobs' order."""
    if workers <= 1:
        yield from map(record_scene, jobs)
        return
    # spawn: a forked child would inherit the threads of Open3D and numba in an unknown state.
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(record_scene, jobs)


def _write_shared(root: Path, records: list[SceneRecord]) -> dict[str, int]:
    """Write the tables and the list of true instances over all scenes; return how many rows there are."""
    tables: Tables = {name: [] for name in TABLES} | fixed_tables()
    instances: list[Row] = []
    for record in records:
        for name, rows in record.tables.items():
            tables[name].extend(rows)
        _shift_truth(root, record, len(instances))
        instances.extend(record.instances)
    tables["map"] = write_map(root, [str(row["token"]) for row in tables["log"]])
    write_tables(root, tables)
    (root / "truth" / "instances.json").write_text(json.dumps(instances, indent=0) + "\n")
    return {name: len(tables[name]) for name in ("scene", "sample", "sample_data", "instance", "sample_annotation")}


def _shift_truth(root: Path, record: SceneRecord, offset: int) -> None:
    """Turn a scene's own numbers of things into numbers in the list of all scenes."""
    for name in record.truth_files:
        truth = np.load(root / "truth" / name)
        np.save(root / "truth" / name, np.where(truth > 0, truth + np.uint16(offset), truth).astype(np.uint16))
