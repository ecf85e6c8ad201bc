"""Captions: a sentence for every view, or the reason why it has none."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from blendclip import schemas, storage
from blendclip.mining import rules
from blendclip.mining.captions.choice import ChosenViews, choose_views
from blendclip.mining.captions.judge import Caption, NoCaption
from blendclip.mining.scene_rejects import SceneRejects

_ROWS_AT_ONCE = 1024
_WHO = ["dataset", "split", "scene", "annotation_token", "category"]
_COLUMNS = ["view_id", *_WHO, "instance_token", "image.path"]


class Captioner(Protocol):
    """What a captioning backend offers."""

    model: str
    prompt_sha: str

    def prepare(self, parts: Sequence[ChosenViews]) -> None:
        """Do what is best done for all parts together; called once, before `outcomes`."""
        ...

    def outcomes(self, views: ChosenViews) -> Iterator[Caption | NoCaption]:
        """What came of each chosen view of a part, in order."""
        ...

    def statistics(self, views: ChosenViews) -> dict[str, Any]:
        """What the captions of a part cost."""
        ...


@dataclass(frozen=True)
class PartFiles:
    """Where one part is read and written."""

    views: Path
    captions: Path
    rejects: Path
    statistics: Path | None = None
    """What the captions of the part cost, as JSON; not written without."""


def caption_views(
    parts: Sequence[PartFiles],
    captioner: Captioner,
    max_views_per_instance: int | None = None,
    max_fault_fraction: float = 0.01,
) -> int:
    """Write the captions (schema `schemas.CAPTIONS`), rejects and statistics of parts; return the number of captions.

    Every view of a part ends as a caption or as a reject.

    Raises:
        UserError: views are missing, the captioner's server or cache fails, or more than `max_fault_fraction` of a
            part's views got no caption.
    """
    chosen = [choose_views(part.views, max_views_per_instance) for part in parts]
    captioner.prepare(chosen)
    return sum(
        _write(part, views, captioner, max_views_per_instance, max_fault_fraction)
        for part, views in zip(parts, chosen, strict=True)
    )


def _write(
    part: PartFiles,
    views: ChosenViews,
    captioner: Captioner,
    max_views_per_instance: int | None,
    max_fault_fraction: float,
) -> int:
    rejects = SceneRejects("captions")
    options = {
        "model": captioner.model,
        "prompt_sha": captioner.prompt_sha,
        "max_views_per_instance": max_views_per_instance,
    }
    tables = rejects.checked(_tables(views, captioner, rejects), max_fault_fraction)
    rows = storage.write_parquet(part.captions, schemas.CAPTIONS, tables, storage.metadata("captions", options))
    _reject_left_out(views, rejects, max_views_per_instance)
    rejects.write(part.rejects, options)
    if part.statistics is not None:
        with storage.replacing(part.statistics) as temporary:
            temporary.write_text(json.dumps(captioner.statistics(views)) + "\n")
    return rows


def _tables(views: ChosenViews, captioner: Captioner, rejects: SceneRejects) -> Iterator[pa.Table]:
    outcomes = captioner.outcomes(views)
    rejects.attempt("view", len(views))
    for table in views.tables(_COLUMNS, _ROWS_AT_ONCE):
        rows = []
        for view, outcome in zip(table.to_pylist(), itertools.islice(outcomes, table.num_rows), strict=True):
            if isinstance(outcome, Caption):
                rows.append({"view_id": view["view_id"], "caption": outcome.text, "caption_tokens": outcome.tokens})
            else:
                rejects.view(_who(view), view["image"]["path"], outcome.rule, outcome.reason)
        made_by = {"caption_model": captioner.model, "caption_prompt_sha": captioner.prompt_sha}
        yield storage.table_of([row | made_by for row in rows], schemas.CAPTIONS)


def _reject_left_out(views: ChosenViews, rejects: SceneRejects, most: int | None) -> None:
    rule = rules.MAX_VIEWS_PER_INSTANCE
    for table in views.tables(_COLUMNS, _ROWS_AT_ONCE, only=views.left_out):
        for view in table.to_pylist():
            reason = rule.reason(views=views.views_of_instance[view["instance_token"]], most=most)
            rejects.view(_who(view), view["image"]["path"], rule, reason)


def _who(view: dict[str, Any]) -> dict[str, str | None]:
    return {name: view[name] for name in _WHO}
