"""The cache of answers: one row for each answered request, on disk as soon as it has arrived.

SQLite with a write-ahead log: a committed row survives the death of the process at any instant, and several jobs on one
machine may share the file. It lies outside the outputs of the workflow, so that no rerun deletes it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from blendclip.errors import UserError

_KEYS_AT_ONCE = 900
_LOCK_WAIT_S = 60


@dataclass(frozen=True)
class Answer:
    """What a model said about a crop, as it said it."""

    text: str
    finish_reason: str
    refusal: str
    prompt_tokens: int | None
    completion_tokens: int | None
    asked_at_s: float
    """Unix time at which the request that was answered was sent."""
    seconds: float
    """From there to the answer."""


_COLUMNS = ", ".join(field.name for field in fields(Answer))


def request_key(crop: bytes, model: str, prompt_sha: str) -> bytes:
    """The key of a request. `prompt_sha` covers texts, sampling and image limits."""
    parts = [hashlib.sha256(crop).hexdigest(), model, prompt_sha]
    return hashlib.sha256(json.dumps(parts).encode()).digest()


class AnswerCache:
    """Answers by key. Every method raises UserError when the file cannot be read or written."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._clear():
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=_LOCK_WAIT_S)
            # With NORMAL, a power cut may cost the last answers, the end of a process none.
            self._connection.executescript(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, model TEXT, prompt_sha TEXT,"
                " text TEXT, finish_reason TEXT, refusal TEXT, prompt_tokens INTEGER, completion_tokens INTEGER,"
                " asked_at_s REAL, seconds REAL) WITHOUT ROWID;"
            )

    def put(self, key: bytes, model: str, prompt_sha: str, answer: Answer) -> None:
        """Keep an answer. The first for a key stays, should two jobs have asked at the same time."""
        with self._clear():
            self._connection.execute(
                f"INSERT OR IGNORE INTO answers (key, model, prompt_sha, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)",
                (key, model, prompt_sha, *vars(answer).values()),
            )

    def drop(self, keys: Sequence[bytes]) -> None:
        """Forget the answers for these keys, so that they are asked for again."""
        with self._clear():
            self._connection.executemany("DELETE FROM answers WHERE key = ?", ((key,) for key in keys))

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """The answers to those of the keys that have one."""
        found: dict[bytes, Answer] = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            marks = ",".join("?" * len(some))
            with self._clear():
                rows = self._connection.execute(f"SELECT key, {_COLUMNS} FROM answers WHERE key IN ({marks})", some)
                found.update((row[0], Answer(*row[1:])) for row in rows)
        return found

    @contextmanager
    def _clear(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UserError(
                f"the caption cache {self._path} cannot be used: {error}; what it holds is kept: "
                f"make room or mend the file, and run again"
            ) from None
