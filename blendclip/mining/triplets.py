"""Triplets: every cloud with the nearest view in time of the same instance, and that view's caption."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from blendclip import schemas, storage
from blendclip.mining import rules
from blendclip.rejects import Rejects

_OF_VIEW = ("channel", "crop_xyxy_px", "covered_fraction")
_LIGHT = (*_OF_VIEW, "image.path")
_OF_CLOUD = ("instance_token", "timestamp_us")
_WHO = ("dataset", "split", "scene", "annotation_token", "category")
_OF_CAPTION = ("caption", "caption_model", "caption_prompt_sha")
_ROWS_AT_ONCE = 64


def join_triplets(clouds: Path, views: Path, captions: Path, output: Path, rejects_output: Path) -> int:
    """Write the triplets of one part (schema `schemas.TRIPLETS`) and its rejects; return the number of triplets.

    Works scene by scene, since an instance never leaves its scene. Of a scene, memory holds what is light of its views,
    and `storage.ROW_GROUP_BYTES` of clouds and crops.

    Raises:
        UserError: one of the inputs is not there.
    """
    rejects = Rejects("triplets")
    sources = {"clouds": clouds, "views": views, "captions": captions}
    options = {stage: storage.options_of(path) for stage, path in sources.items()}
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=output.parent) as spool:
        tables, about = _tables(clouds, views, captions, spool, rejects), storage.metadata("triplets", options)
        rows = storage.write_parquet(output, schemas.TRIPLETS, tables, about)
    rejects.write(rejects_output, options)
    return rows


def _tables(clouds: Path, views: Path, captions: Path, spool: IO[bytes], rejects: Rejects) -> Iterator[pa.Table]:
    captions_of_part = storage.read_parquet(captions)
    clouds_file, views_file = (storage.open_parquet(path) for path in (clouds, views))
    groups = _row_groups_by_scene(views_file)
    for scene, numbers in _row_groups_by_scene(clouds_file).items():
        scene_views = _Views(views_file, groups.get(scene, []), captions_of_part)
        view_of = scene_views.nearest_to(clouds_file.read_row_groups(numbers, columns=[*_WHO, *_OF_CLOUD]), rejects)
        crops = _Crops(spool, scene_views, np.unique(view_of[view_of >= 0]))
        yield from _row_groups(_joined(clouds_file, numbers, view_of, scene_views, crops))


def _row_groups_by_scene(file: pq.ParquetFile) -> dict[str, list[int]]:
    groups = defaultdict(list)
    for number in range(file.num_row_groups):
        for scene in file.read_row_group(number, columns=["scene"])["scene"].unique().to_pylist():
            groups[scene].append(number)
    return groups


class _Views:
    """The V views of a scene but for their crops, and the captions of those that have one."""

    def __init__(self, file: pq.ParquetFile, groups: list[int], captions: pa.Table) -> None:
        self.file, self.groups = file, groups
        self.rows = file.read_row_groups(groups, columns=["view_id", "instance_token", "timestamp_us", *_LIGHT])
        caption_of = pc.index_in(self.rows["view_id"], value_set=captions["view_id"])
        self.captions = captions.take(caption_of)  # (V,), null where a view has none
        self._captioned = np.flatnonzero(pc.is_valid(caption_of).to_numpy())

    def nearest_to(self, clouds: pa.Table, rejects: Rejects) -> NDArray[np.int64]:
        """For each of C clouds the number (C,) of its view, -1 for one without, which becomes a reject."""
        captioned = self.rows.take(self._captioned)
        nearest = nearest_views(
            clouds["instance_token"].to_pylist(),
            clouds["timestamp_us"].to_numpy(),
            captioned["instance_token"].to_pylist(),
            captioned["timestamp_us"].to_numpy(),
            captioned["crop_xyxy_px"].combine_chunks().flatten().to_numpy().reshape(-1, 4),
        )
        seen = set(self.rows["instance_token"].to_pylist())
        for row in clouds.filter(pa.array(nearest < 0)).select([*_WHO, "instance_token"]).to_pylist():
            rule = rules.NO_CAPTION if row.pop("instance_token") in seen else rules.NO_VIEW
            rejects.add(row, rule, rule.reason())
        return np.where(nearest < 0, -1, np.append(self._captioned, -1)[nearest])


class _Crops:
    """Crops of a scene in a temporary file: views lie by camera, clouds by track, and memory holds neither whole."""

    def __init__(self, spool: IO[bytes], views: _Views, wanted: NDArray[np.int64]) -> None:
        """Copy the crops of the wanted views (W,), ascending, into the file, over those of the scene before."""
        self._spool, self._bounds = spool, dict[int, tuple[int, int]]()
        spool.seek(0)
        spool.truncate()
        start = 0
        for table in storage.stream(views.file, views.groups, _ROWS_AT_ONCE, ["image.bytes"]):
            end = start + table.num_rows
            for row in wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, end)].tolist():
                crop = table["image"][row - start].as_py()["bytes"]
                self._bounds[row] = (spool.tell(), len(crop))
                spool.write(crop)
            start = end

    @property
    def largest_bytes(self) -> int:
        """Size of the largest one."""
        return max((length for _, length in self._bounds.values()), default=0)

    def images(self, views: NDArray[np.int64], paths: pa.ChunkedArray) -> pa.StructArray:
        """The images of views (N,), whose names are `paths` (N,)."""
        crops = []
        for start, length in (self._bounds[view] for view in views.tolist()):
            self._spool.seek(start)
            crops.append(self._spool.read(length))
        fields = list(schemas.TRIPLETS.field("image").type)
        return pa.StructArray.from_arrays([pa.array(crops, pa.binary()), paths.combine_chunks()], fields=fields)


def _joined(
    file: pq.ParquetFile, groups: list[int], view_of: NDArray[np.int64], views: _Views, crops: _Crops
) -> Iterator[pa.Table]:
    """The triplets of the clouds in some row groups, a few rows at a time; `view_of` (C,) is of `_Views.nearest_to`."""
    start = 0
    for clouds in storage.stream(file, groups, storage.rows_within(crops.largest_bytes, _ROWS_AT_ONCE)):
        of_these = view_of[start : start + clouds.num_rows]
        start += clouds.num_rows
        yield _triplets(clouds.filter(pa.array(of_these >= 0)), of_these[of_these >= 0], views, crops)


def _triplets(clouds: pa.Table, view_of: NDArray[np.int64], views: _Views, crops: _Crops) -> pa.Table:
    """Clouds (N,), each with its view of `view_of` (N,)."""
    rows, captions = views.rows.take(view_of), views.captions.take(view_of)
    gap_us = rows["timestamp_us"].to_numpy() - clouds["timestamp_us"].to_numpy()
    ids = pc.binary_join_element_wise(clouds["dataset"], clouds["annotation_token"], "/")
    columns = {name: clouds[name] for name in clouds.column_names} | {name: rows[name] for name in _OF_VIEW}
    columns |= {name: captions[name] for name in _OF_CAPTION}
    columns |= {"triplet_id": ids, "view_time_gap_us": pa.array(gap_us)}
    columns |= {"image": crops.images(view_of, pc.struct_field(rows["image"], "path"))}
    return pa.table({name: columns[name] for name in schemas.TRIPLETS.names}, schemas.TRIPLETS)


def _row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Tables joined to one, or to several of about `storage.ROW_GROUP_BYTES`."""
    joined: list[pa.Table] = []
    for table in tables:
        if sum(one.nbytes for one in joined) >= storage.ROW_GROUP_BYTES:
            yield pa.concat_tables(joined).combine_chunks()
            joined = []
        joined.append(table)
    yield pa.concat_tables(joined).combine_chunks()


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
