"""The cache of answers: one row for each answered request, on disk as soon as it has arrived.

SQLite with a write-ahead log: a committed row survives the death of the process at any instant, and several jobs on one
machine may share the file; jobs on several need one each. It lies outside the outputs of the workflow, so that no rerun
deletes it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from blendclip.errors import UserError

log = logging.getLogger(__name__)
_KEYS_AT_ONCE = 900
_LOCK_WAIT_S = 60
_NAMED = 5  # rows in a warning

MOST_CHARACTERS = 2**16
"""Of an answer; a caption has some hundreds."""
Tokens = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""A number of tokens, as the column `caption_tokens` holds it."""
_Text = Annotated[str, Meta(max_length=MOST_CHARACTERS)]
_Seconds = Annotated[float, Meta(ge=0, le=1e12)]


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a model said about a crop, as it said it."""

    text: _Text
    finish_reason: _Text
    refusal: _Text
    prompt_tokens: Tokens | None
    completion_tokens: Tokens | None
    asked_at_s: _Seconds
    """Unix time at which the request that was answered was sent."""
    seconds: _Seconds
    """From there to the answer."""


_COLUMNS = ", ".join(Answer.__struct_fields__)


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
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=_LOCK_WAIT_S, uri=True)
            self._connection.text_factory = _text
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
                (key, model, prompt_sha, *msgspec.structs.astuple(answer)),
            )

    def drop(self, keys: Sequence[bytes]) -> None:
        """Forget the answers for these keys, so that they are asked for again."""
        with self._clear():
            self._connection.executemany("DELETE FROM answers WHERE key = ?", ((key,) for key in keys))

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """The answers to those of the keys that have one.

        Rows that are damaged are dropped, with a warning that names them, as if their keys had none.
        """
        found: dict[bytes, Answer] = {}
        damaged: dict[bytes, str] = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            with self._clear():
                rows = self._connection.execute(
                    f"SELECT key, {_COLUMNS} FROM answers WHERE key IN ({_marks(some)})", some
                )
                for key, *row in rows:
                    try:
                        found[key] = msgspec.convert(row, Answer)
                    except msgspec.ValidationError as error:
                        damaged[key] = _complaint(str(error))
        if damaged:
            self._forget(damaged)
        return found

    def adopt(self, keys: Sequence[bytes], known: Sequence[Path]) -> None:
        """Copy the answers for those keys that have none here from other files, which nobody writes to any more."""
        missing = sorted(set(keys) - self._held(keys))
        for path in known:
            if not missing:
                return
            # Without a log there is nothing to replay, and no lock to take, which a network file system may not have.
            mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
            with self._clear(path):
                self._connection.execute("ATTACH DATABASE ? AS known", (f"{path.resolve().as_uri()}?{mode}",))
                columns = f"key, model, prompt_sha, {_COLUMNS}"
                self._connection.executemany(
                    f"INSERT OR IGNORE INTO main.answers ({columns}) SELECT {columns} FROM known.answers WHERE key = ?",
                    ((key,) for key in missing),
                )
                self._connection.execute("DETACH DATABASE known")
            missing = sorted(set(missing) - self._held(missing))

    def _held(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of the keys that have a row."""
        held: set[bytes] = set()
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            with self._clear():
                rows = self._connection.execute(f"SELECT key FROM answers WHERE key IN ({_marks(some)})", some)
                held.update(key for (key,) in rows)
        return held

    def _forget(self, damaged: dict[bytes, str]) -> None:
        """Drop rows that cannot be used, and say so."""
        named = "; ".join(f"key X'{key.hex()}': {why}" for key, why in list(damaged.items())[:_NAMED])
        more = "; ..." if len(damaged) > _NAMED else ""
        log.warning(
            "the caption cache %s has %d damaged rows, whose crops are asked about again (%s%s)",
            *(self._path, len(damaged), named, more),
        )
        self.drop(list(damaged))

    @contextmanager
    def _clear(self, path: Path | None = None) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UserError(
                f"the caption cache {path or self._path} cannot be used: {error}; what it holds is kept: "
                f"make room or mend the file, and run again"
            ) from None


def _marks(values: Sequence[bytes]) -> str:
    return ",".join("?" * len(values))


def _text(stored: bytes) -> str | bytes:
    """A text that SQLite holds; its bytes, which no answer has, where these are no UTF-8."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def _complaint(error: str) -> str:
    """What msgspec finds wrong, with the name of the column in place of its number."""
    why, _, place = error.partition(" - at `$[")
    return f"{Answer.__struct_fields__[int(place.rstrip('`]'))]}: {why}" if place else why
