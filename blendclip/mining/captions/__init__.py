"""Captions: a sentence for every view."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from blendclip import storage
from blendclip.mining.captions.template import TemplateCaptioner

BACKENDS = ("template",)
_VIEWS_AT_ONCE = 256


class Captioner(Protocol):
    """What a captioning backend offers."""

    model: str
    prompt_sha: str

    def captions(self, views: Iterable[dict[str, Any]]) -> Iterator[str]:
        """A caption for each view, in order."""
        ...


def caption_views(views: Path, output: Path, prompt: Path) -> int:
    """Write a caption for every view of one part (schema `storage.CAPTIONS`); return their number.

    Raises:
        UserError: the views or the prompt are not there.
    """
    captioner = TemplateCaptioner(prompt)
    about = storage.metadata("captions", {"backend": captioner.model})
    return storage.write_parquet(output, storage.CAPTIONS, _tables(views, captioner), about)


def _tables(views: Path, captioner: Captioner) -> Iterator[pa.Table]:
    for batch in pq.ParquetFile(storage.existing(views)).iter_batches(_VIEWS_AT_ONCE):
        rows = batch.to_pylist()
        yield pa.table(
            {
                "view_id": [row["view_id"] for row in rows],
                "caption": list(captioner.captions(rows)),
                "caption_model": [captioner.model] * len(rows),
                "caption_prompt_sha": [captioner.prompt_sha] * len(rows),
            },
            storage.CAPTIONS,
        )
