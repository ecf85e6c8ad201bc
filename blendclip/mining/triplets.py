"""Triplets: every cloud with the nearest view in time of the same instance, and that view's caption."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from blendclip import schemas, storage
from blendclip.mining import rules
from blendclip.rejects import Rejects

_OF_VIEW = ("channel", "image", "crop_xyxy_px", "covered_fraction")
_WHO = ("dataset", "split", "scene", "annotation_token", "category")
_OF_CAPTION = ("caption", "caption_model", "caption_prompt_sha")


def join_triplets(clouds: Path, views: Path, captions: Path, output: Path, rejects_output: Path) -> int:
    """Write the triplets of one part (schema `schemas.TRIPLETS`) and its rejects; return the number of triplets.

    Works scene by scene, since an instance never leaves its scene.

    Raises:
        UserError: one of the inputs is not there.
    """
    rejects = Rejects("triplets")
    sources = {"clouds": clouds, "views": views, "captions": captions}
    options = {stage: storage.options_of(path) for stage, path in sources.items()}
    tables, about = _tables(clouds, views, captions, rejects), storage.metadata("triplets", options)
    rows = storage.write_parquet(output, schemas.TRIPLETS, tables, about)
    rejects.write(rejects_output, options)
    return rows


def _tables(clouds: Path, views: Path, captions: Path, rejects: Rejects) -> Iterator[pa.Table]:
    captions_of_part = storage.read_parquet(captions)
    clouds_file, views_file = (storage.open_parquet(path) for path in (clouds, views))
    groups = _row_groups_by_scene(views_file)
    for scene, numbers in _row_groups_by_scene(clouds_file).items():
        scene_views = views_file.read_row_groups(groups.get(scene, []))
        row = pc.index_in(scene_views["view_id"], value_set=captions_of_part["view_id"])
        captioned = pc.is_valid(row)
        seen = set(scene_views["instance_token"].to_pylist())
        yield _join(
            clouds_file.read_row_groups(numbers),
            scene_views.filter(captioned),
            captions_of_part.take(row.filter(captioned)),
            seen,
            rejects,
        )


def _row_groups_by_scene(file: pq.ParquetFile) -> dict[str, list[int]]:
    groups = defaultdict(list)
    for number in range(file.num_row_groups):
        for scene in file.read_row_group(number, columns=["scene"])["scene"].unique().to_pylist():
            groups[scene].append(number)
    return groups


def _join(clouds: pa.Table, views: pa.Table, captions: pa.Table, seen: set[str], rejects: Rejects) -> pa.Table:
    """The triplets of one scene; `views` and `captions` have one order, `seen` are the instances with any view."""
    view_of = nearest_views(
        clouds["instance_token"].to_pylist(),
        clouds["timestamp_us"].to_numpy(),
        views["instance_token"].to_pylist(),
        views["timestamp_us"].to_numpy(),
        views["crop_xyxy_px"].combine_chunks().flatten().to_numpy().reshape(-1, 4),
    )
    for row in clouds.filter(pa.array(view_of < 0)).select([*_WHO, "instance_token"]).to_pylist():
        rule = rules.NO_CAPTION if row.pop("instance_token") in seen else rules.NO_VIEW
        rejects.add(row, rule, rule.reason())
    has_view = pa.array(view_of >= 0)
    clouds, view_of = clouds.filter(has_view), view_of[view_of >= 0]
    views, captions = views.take(view_of), captions.take(view_of)
    gap_us = views["timestamp_us"].to_numpy() - clouds["timestamp_us"].to_numpy()
    ids = pc.binary_join_element_wise(clouds["dataset"], clouds["annotation_token"], "/")
    columns = {name: clouds[name] for name in clouds.column_names} | {name: views[name] for name in _OF_VIEW}
    columns |= {name: captions[name] for name in _OF_CAPTION}
    columns |= {"triplet_id": ids, "view_time_gap_us": pa.array(gap_us)}
    return pa.table({name: columns[name] for name in schemas.TRIPLETS.names}, schemas.TRIPLETS)


def nearest_views(
    cloud_instance: list[str],
    cloud_time_us: NDArray[np.int64],
    view_instance: list[str],
    view_time_us: NDArray[np.int64],
    crop_xyxy_px: NDArray[np.float32],
) -> NDArray[np.int64]:
    """For each of C clouds the index (C,) of the nearest view in time of its instance, -1 where there is none.

    Of views equally near the larger crop is taken, then the first.

    Args:
        cloud_instance: instance tokens of the C clouds.
        cloud_time_us: (C,).
        view_instance: instance tokens of the V views.
        view_time_us: (V,).
        crop_xyxy_px: (V, 4).
    """
    views_of = defaultdict(list)
    for view, instance in enumerate(view_instance):
        views_of[instance].append(view)
    area = (crop_xyxy_px[:, 2] - crop_xyxy_px[:, 0]) * (crop_xyxy_px[:, 3] - crop_xyxy_px[:, 1])
    nearest = np.full(len(cloud_instance), -1)
    for i, instance in enumerate(cloud_instance):
        if instance in views_of:
            own = np.array(views_of[instance])
            gap = np.abs(view_time_us[own] - cloud_time_us[i])
            nearest[i] = own[np.lexsort((-area[own], gap))[0]]
    return nearest
