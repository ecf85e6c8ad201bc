"""Accounting: what did not become a row of the next stage, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from blendclip import schemas, storage
from blendclip.errors import UserError

Kind = Literal["filtered", "fault"]


@dataclass
class Rejects:
    """Collects the rejects of one job of one stage."""

    stage: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    attempted: dict[str, int] = field(default_factory=dict)
    broken: dict[str, list[str]] = field(default_factory=dict)

    def attempt(self, what: str, count: int = 1) -> None:
        """Count `count` things of a kind ("annotation", "sweep", "image", "view", "object") that this job uses."""
        self.attempted[what] = self.attempted.get(what, 0) + count

    def add(self, *, path: str | None = None, **row: str | None) -> None:
        """Note a row of `schemas.REJECTS`, which is given but for its stage."""
        self.rows.append({**row, "stage": self.stage, "path": path})

    def write(self, path: Path, options: dict[str, Any]) -> None:
        """Write the rows (schema `schemas.REJECTS`); `options` are those of the stage."""
        about = storage.metadata(self.stage, options)
        storage.write_parquet(path, schemas.REJECTS, [storage.table_of(self.rows, schemas.REJECTS)], about)

    def checked(self, tables: Iterable[pa.Table], max_fault_fraction: float) -> Iterator[pa.Table]:
        """The tables of a job; raises after the last one, before the file is in place, when `check` fails."""
        yield from tables
        self.check(max_fault_fraction)

    def check(self, max_fault_fraction: float) -> None:
        """Fail when more than `max_fault_fraction` of the things of one kind are broken.

        Raises:
            UserError: names the first broken ones.
        """
        for what, broken in self.broken.items():
            attempted = self.attempted[what]
            if len(broken) > max_fault_fraction * attempted:
                shown = "; ".join(broken[:5]) + ("; ..." if len(broken) > 5 else "")
                raise UserError(
                    f"{len(broken)} of {attempted} {what}s are broken, more than max_fault_fraction "
                    f"{max_fault_fraction:g} allows: {shown}. Mend or restore them, or raise max_fault_fraction"
                )
