"""Generate the whole dataset: scenes in parallel, tables, truth, and the atomic move into place."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from blendclip.errors import UserError
from blendclip.schemas import STAGE_VERSIONS
from blendclip.synthetic.city.av2 import AV2
from blendclip.synthetic.city.car import CAR
from blendclip.synthetic.city.rig import Rig, SceneJob, SceneRecord
from blendclip.synthetic.city.tables import Row, Tables, write_tables
from blendclip.synthetic.city.truck import TRUCK

RIGS: Mapping[str, Rig] = {"car": CAR, "truck": TRUCK, "av2": AV2}
RECIPE_FILE = "city.json"  # written last: the city is finished
COUNTED = ("scene", "sample", "sample_data", "instance", "sample_annotation")
"""Tables whose numbers of rows `city.json` tells."""
OURS_FILE = ".city"  # marks a folder that may be replaced; nobody but us knows of it, so no one deletes it


def generate_city(
    root: Path,
    *,
    rig: str = "car",
    scenes: Mapping[str, int] | None = None,
    duration_s: float | None = None,
    seed: int = 0,
    workers: int = 1,
    image_size_px: tuple[int, int] | None = None,
) -> None:
    """Write the generated driving dataset at root.

    The same arguments give the same bytes whatever workers is. A finished city of the same recipe is left as it
    is, another one is replaced.

    Args:
        rig: the recording vehicle: car writes nuScenes format, version v1.0-mini; truck writes MAN TruckScenes
            format, version v1.2-mini; av2 writes Argoverse 2's.
        scenes: how many scenes of each split, mini_train and mini_val, of av2 train and val; by default what suits the
            rig.
        duration_s: length of a scene; keyframes are half a second apart, the first at 0; of av2 every sweep has boxes.
        workers: scenes recorded at the same time, each in its own process.
        image_size_px: width and height of the camera images.

    Raises:
        UserError: the recipe cannot be made, or root holds something else.
    """
    root = Path(root)
    if rig not in RIGS:
        raise UserError(f"there is no rig {rig!r}: choose one of {', '.join(RIGS)}.")
    vehicle = RIGS[rig]
    recipe = make_recipe(vehicle, seed, scenes, duration_s, image_size_px)
    if _recipe_at(root) == recipe:
        return
    unfinished, replaced = (root.with_name(f".{root.name}.{state}") for state in ("unfinished", "replaced"))
    for folder in (root, unfinished, replaced):
        _require_ours(folder)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    (unfinished / OURS_FILE).write_text("This folder was generated and may be replaced.\n")
    jobs = scene_jobs(vehicle, unfinished, recipe)
    records = list(tqdm(_record_all(vehicle, jobs, workers), desc=vehicle.dataset, unit="scene", total=len(jobs)))
    counts = _write_shared(vehicle, unfinished, records)
    (unfinished / RECIPE_FILE).write_text(json.dumps({**recipe, "counts": counts}, indent=2) + "\n")
    shutil.rmtree(replaced, ignore_errors=True)
    if root.exists():
        root.rename(replaced)
    unfinished.rename(root)
    shutil.rmtree(replaced, ignore_errors=True)


def make_recipe(
    rig: Rig,
    seed: int = 0,
    scenes: Mapping[str, int] | None = None,
    duration_s: float | None = None,
    image_size_px: tuple[int, int] | None = None,
) -> dict:
    """Return what fixes every byte of a city, as it stands in city.json; raise UserError for what cannot be made."""
    duration_s = rig.duration_s if duration_s is None else duration_s
    image_size_px = image_size_px or rig.image_size_px
    official, name = rig.official_scenes(), rig.dataset
    names = {}
    for split, count in (rig.scenes if scenes is None else scenes).items():
        if split not in rig.scenes:
            raise UserError(f"{name} has no split {split!r}: ask for scenes of {' and '.join(rig.scenes)}.")
        if not 0 <= count <= len(official[split]):
            raise UserError(f"{name} cannot make {count} scenes of {split}: ask for 0 to {len(official[split])}.")
        names[split] = official[split][:count]
    if not any(names.values()):
        raise UserError(f"{name} was asked for no scene at all: ask for at least one of {' or '.join(rig.scenes)}.")
    if duration_s < 0.5:
        raise UserError(f"{name} cannot make scenes of {duration_s} s: duration_s must be 0.5 or more.")
    if min(image_size_px) < 16:
        raise UserError(f"{name} cannot make images of {image_size_px} px: ask for 16x16 or more.")
    return {
        f"{name}_version": STAGE_VERSIONS[name],
        "seed": seed,
        "scenes": names,
        "duration_s": duration_s,
        "image_size_px": list(image_size_px),
    }


def scene_jobs(rig: Rig, root: Path, recipe: Mapping) -> list[SceneJob]:
    """Return a job per scene of a recipe; the kinds of drive alternate within each split."""
    width, height = recipe["image_size_px"]
    jobs: list[SceneJob] = []
    for split, names in recipe["scenes"].items():
        for i, name in enumerate(names):
            kind, more = rig.kinds[i % len(rig.kinds)], (recipe["seed"], recipe["duration_s"], (width, height))
            jobs.append(SceneJob(root, name, split, kind, len(jobs), *more))
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


def _record_all(rig: Rig, jobs: list[SceneJob], workers: int) -> Iterator[SceneRecord]:
    """Yield the record of each job, in the jobs' order."""
    if workers <= 1:
        yield from map(rig.record_scene, jobs)
        return
    # spawn: a forked child would inherit the threads of Open3D and numba in an unknown state.
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(rig.record_scene, jobs)


def _write_shared(rig: Rig, root: Path, records: list[SceneRecord]) -> dict[str, int]:
    """Write the tables and the list of true instances over all scenes; return how many rows there are."""
    tables: Tables = defaultdict(list)
    instances: list[Row] = []
    for record in records:
        for name, rows in record.tables.items():
            tables[name].extend(rows)
        _shift_truth(root, record, len(instances))
        instances.extend(record.instances)
    if rig.tables is not None:
        tables |= rig.tables.of_no_scene(root, tables)
        write_tables(root / rig.tables.version, tables, rig.tables.names)
    (root / "truth" / "instances.json").write_text(json.dumps(instances, indent=0) + "\n")
    return {name: len(tables[name]) for name in COUNTED}


def _shift_truth(root: Path, record: SceneRecord, offset: int) -> None:
    """Turn a scene's own numbers of things into numbers in the list of all scenes."""
    for name in record.truth_files:
        truth = np.load(root / "truth" / name)
        np.save(root / "truth" / name, np.where(truth > 0, truth + np.uint16(offset), truth).astype(np.uint16))
