"""Writes the dataset as a folder of meshes with a table, in format `meshes`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import trimesh

from blendclip import storage
from blendclip.errors import UserError
from blendclip.randomness import stable_rng
from blendclip.synthetic.meshes.catalog import Mesh
from blendclip.synthetic.shapes.captions import captions_of
from blendclip.synthetic.shapes.classes import CLASSES

TABLE = "objects.jsonl"  # written last: the dataset is finished
_CAPTIONS = 6


@dataclass(frozen=True)
class _Job:
    """One variant of a class."""

    root: Path
    name: str
    split: str
    number: int
    seed: int


def generate_shapes(root: Path, *, train: int = 20, test: int = 6, seed: int = 0, workers: int = 1) -> int:
    """Write `train` and `test` variants of each class under root; return the number of objects.

    The same arguments give the same bytes whatever workers is. No variant is in both splits.

    Raises:
        UserError: no object is asked for.
    """
    if min(train, test) < 0 or train + test == 0:
        raise UserError(f"shapes cannot make {train} train and {test} test variants: ask for at least one of either")
    jobs = [
        _Job(root, name, split, number, seed)
        for split, count in (("train", train), ("test", test))
        for number in range(count)
        for name in CLASSES
    ]
    (root / "meshes").mkdir(parents=True, exist_ok=True)
    with storage.replacing(root / TABLE) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in _rows(jobs, workers)))
    return len(jobs)


def _rows(jobs: list[_Job], workers: int) -> Iterator[dict[str, Any]]:
    """The table's row of each job, in the jobs' order."""
    if workers <= 1:
        yield from map(_make, jobs)
        return
    chunks = [jobs[start : start + 64] for start in range(0, len(jobs), 64)]
    # spawn: a forked child would inherit the threads of Open3D and numba in an unknown state.
    with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=get_context("spawn")) as pool:
        yield from itertools.chain.from_iterable(pool.map(_make_all, chunks))


def _make_all(jobs: list[_Job]) -> list[dict[str, Any]]:
    return [_make(job) for job in jobs]


def _make(job: _Job) -> dict[str, Any]:
    """Write one mesh and return its row of the table."""
    shape, rng = CLASSES[job.name], stable_rng("shapes", job.seed, job.name, job.split, job.number)
    mesh = shape.builders[job.number % len(shape.builders)](rng)
    name = f"{job.name.replace(' ', '_')}_{job.split}_{job.number:03d}"
    path = f"meshes/{name}.ply"
    with storage.replacing(job.root / path) as temporary:
        temporary.write_bytes(_ply(mesh))
    return {
        "path": path,
        "id": name,
        "names": list(shape.nouns),
        "captions": captions_of(shape, mesh, _CAPTIONS, rng),
        "category": job.name,
        "split": job.split,
        "up": "z",
        "front": "x",
    }


def _ply(mesh: Mesh) -> bytes:
    shown = trimesh.Trimesh(mesh.vertices_m, mesh.triangles, face_colors=mesh.colors, process=False)
    content = shown.export(file_type="ply")
    assert isinstance(content, bytes)  # of other types it is text or a dict
    return content
