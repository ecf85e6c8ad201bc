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


@dataclass(frozen=True)
class Rule:
    """A reason to reject: what the rows of `schemas.REJECTS` that it makes have in common."""

    name: str
    """Column `rule`, short and countable."""
    stages: tuple[str, ...]
    """Columns `stage` under which it is met."""
    kind: Kind
    """Whether what it rejects is left out on purpose, or broken."""
    sentences: tuple[str, ...]
    """Templates of column `reason`, as `str.format` fills them."""
    key: str | None = None
    """Key of config.yaml that decides, such as views.min_side_px."""

    def __str__(self) -> str:
        return self.name

    def reason(self, **values: object) -> str:
        """The only sentence of this rule, filled with values."""
        (sentence,) = self.sentences
        return sentence.format(**values)


@dataclass
class Rejects:
    """Collects the rejects of one job of one stage."""

    stage: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Of `schemas.REJECTS`."""
    attempted: dict[str, int] = field(default_factory=dict)
    """How many things of each kind the job uses."""
    broken: dict[str, list[str]] = field(default_factory=dict)
    """Which things of each kind are broken, and why."""

    def attempt(self, what: str, count: int = 1) -> None:
        """Count `count` things of a kind ("annotation", "sweep", "image", "view", "object") that this job uses."""
        self.attempted[what] = self.attempted.get(what, 0) + count

    def add(self, who: dict[str, str | None], rule: Rule, reason: str, *, path: str | None = None) -> None:
        """Note one reject by a rule of this stage.

        Args:
            who: columns `dataset`, `split`, `scene`, `annotation_token` and `category` of the row.
            rule: one that this stage has.
            reason: one of the rule's sentences, filled.
            path: what is broken, where it is a file; the crop, where it is a view.
        """
        assert self.stage in rule.stages, f"{rule.name} is no rule of stage {self.stage}"
        self.rows.append(
            {**who, "stage": self.stage, "kind": rule.kind, "rule": rule.name, "reason": reason, "path": path}
        )

    def blame(self, what: str, name: str, reason: str) -> None:
        """Count one of the things of a kind as broken; `check` names it when there are too many."""
        self.broken.setdefault(what, []).append(f"{name}: {reason}")

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
