"""CAD objects as rows of the project's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from blendclip import schemas
from blendclip.datasets.cad.objects import CadObject, CadView

VIEW_COLUMNS = ("channel", "image", "crop_xyxy_px", "covered_fraction")


@dataclass(frozen=True)
class Named:
    """An object with its names."""

    id: str
    """Unique in the dataset."""
    category: str | None
    """As the source spells it; None where it names no category."""
    object: CadObject
    """What was read of it."""


def clouds(dataset: str, split: str, objects: Sequence[Named]) -> pa.Table:
    """Objects as rows of `schemas.CLOUDS`."""
    return _table(schemas.CLOUDS, [_who(dataset, split, named) for named in objects], _cloud_columns(objects))


def triplets(dataset: str, split: str, objects: Sequence[Named]) -> pa.Table:
    """Objects, each with its main view, as rows of `schemas.TRIPLETS`."""
    rows = [
        _who(dataset, split, named)
        | _view(named.id, named.object.views[0])
        | {
            "triplet_id": f"{dataset}/{named.id}",
            "view_time_gap_us": 0,
            "caption": named.object.caption,
            "caption_model": named.object.caption_model,
        }
        for named in objects
    ]
    return _table(schemas.TRIPLETS, rows, _cloud_columns(objects))


def views(dataset: str, split: str, objects: Sequence[Named]) -> pa.Table:
    """All views of objects as rows of `schemas.VIEWS`."""
    rows = [
        _who(dataset, split, named)
        | _view(named.id, view)
        | {
            "view_id": view_id(dataset, named.id, view),
            "attributes": [],
            "camera_distance_m": view.distance_m,
            "camera_azimuth_rad": view.azimuth_rad,
        }
        for named in objects
        for view in named.object.views
    ]
    return _table(schemas.VIEWS, rows)


def captions(dataset: str, split: str, objects: Sequence[Named]) -> pa.Table:
    """The captions of views, which the source gave, as rows of `schemas.CAPTIONS`."""
    rows = [
        {
            "view_id": view_id(dataset, named.id, view),
            "caption": view.caption,
            "caption_model": named.object.caption_model,
        }
        for named in objects
        for view in named.object.views
        if view.caption
    ]
    return _table(schemas.CAPTIONS, rows)


def embeddings(dataset: str, split: str, objects: Sequence[Named]) -> pa.Table:
    """The CLIP features that came with objects as rows of `schemas.EMBEDDINGS`."""
    pairs = [(named, feature) for named in objects for feature in named.object.features]
    rows = [
        {
            "dataset": dataset,
            "split": split,
            "triplet_id": f"{dataset}/{named.id}",
            "view_id": f"{dataset}/{named.id}/{feature.view}" if feature.view else None,
            "kind": feature.kind,
            "source": feature.source,
            "text": feature.text,
        }
        for named, feature in pairs
    ]
    vectors = [feature.vector for _, feature in pairs]
    return _table(schemas.EMBEDDINGS, rows, {"embedding": _halves(vectors)})


def view_id(dataset: str, object_id: str, view: CadView) -> str:
    """The id of a view, as mining makes it: dataset/annotation_token/channel."""
    return f"{dataset}/{object_id}/{view.name}"


def _who(dataset: str, split: str, named: Named) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "split": split,
        "instance_token": named.id,
        "annotation_token": named.id,
        "timestamp_us": 0,
        "category": named.category,
        "class_name": named.category,
        "translation": [0.0, 0.0, 0.0],  # not null: Parquet readers fail on a null list of fixed size
        "rotation_wxyz": [1.0, 0.0, 0.0, 0.0],
        "size_lwh_m": named.object.size_lwh_m.tolist(),
        "evaluated": False,
    }


def _view(object_id: str, view: CadView) -> dict[str, Any]:
    crop = [0.0, 0.0, *map(float, view.size_px or (0, 0))]
    image = (
        None if view.jpeg is None else {"bytes": view.jpeg, "path": f"{object_id.replace('/', '_')}_{view.name}.jpg"}
    )
    return dict(zip(VIEW_COLUMNS, (view.name, image, crop, 0.0), strict=True))


def _cloud_columns(objects: Sequence[Named]) -> dict[str, pa.Array]:
    clouds = [named.object for named in objects]
    counts = np.array([len(cloud.points_m) for cloud in clouds], np.int32)
    ends = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    xyz = np.concatenate([np.zeros((0, 3), np.float32), *(cloud.points_m for cloud in clouds)])
    points = pa.ListArray.from_arrays(ends, pa.FixedSizeListArray.from_arrays(pa.array(xyz.ravel()), 3))
    return {"points": points, "rgb": _rgb(clouds), "num_points": pa.array(counts)}


def _rgb(clouds: Sequence[CadObject]) -> pa.Array:
    """Colours of points; null for an object without any."""
    counts = [0 if cloud.rgb is None else len(cloud.rgb) for cloud in clouds]
    values = np.concatenate([np.zeros((0, 3), np.uint8), *(cloud.rgb for cloud in clouds if cloud.rgb is not None)])
    inner = pa.ListArray.from_arrays(np.arange(len(values) + 1, dtype=np.int32) * 3, pa.array(values.ravel()))
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(ends), inner, mask=pa.array([cloud.rgb is None for cloud in clouds], pa.bool_())
    )


def _halves(vectors: Sequence[NDArray[np.float16]]) -> pa.Array:
    ends = np.cumsum([0, *map(len, vectors)]).astype(np.int32)
    values = np.concatenate([np.zeros(0, np.float16), *vectors])
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(values))


def _table(schema: pa.Schema, rows: Sequence[Mapping[str, Any]], ready: dict[str, pa.Array] | None = None) -> pa.Table:
    """A table with `schema`; what neither `ready` columns nor rows hold has no meaning for CAD and is null."""
    columns = {
        field.name: pa.array([row.get(field.name) for row in rows], field.type)
        for field in schema
        if field.name not in (ready or {})
    }
    columns |= {name: array.cast(schema.field(name).type) for name, array in (ready or {}).items()}
    return pa.table({name: columns[name] for name in schema.names}, schema)
