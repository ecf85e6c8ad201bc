"""The captioner that asks a vision-language model, and asks nothing twice."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blendclip.mining.captions.cache import Answer, AnswerCache, request_key
from blendclip.mining.captions.choice import ChosenViews
from blendclip.mining.captions.client import Client, ClientOptions, Request
from blendclip.mining.captions.judge import Caption, NoCaption, is_unusable, judge
from blendclip.mining.captions.progress import RequestProgress, merged
from blendclip.mining.captions.prompts import ChatPrompt
from blendclip.mining.captions.servers import Server

log = logging.getLogger(__name__)
_CROPS_AT_ONCE = 64
_ANSWERS_AT_ONCE = 4096


class ModelCaptioner:
    """Captions by a model behind a server, which is opened only when an answer is missing in the cache."""

    def __init__(
        self,
        model: str,
        prompt: ChatPrompt,
        open_server: Callable[[], Server],
        cache: Path,
        options: ClientOptions,
        known: Sequence[Path] = (),
    ) -> None:
        """Open the cache; `known` are others, whose answers are taken where it has none.

        Raises:
            UserError: the cache cannot be used.
        """
        self.model, self.prompt_sha = model, prompt.sha
        self._prompt, self._open_server, self._options = prompt, open_server, options
        self._cache, self._known = AnswerCache(cache), known
        self._keys: dict[Path, list[bytes]] = {}
        self._refused: dict[bytes, NoCaption] = {}

    def prepare(self, parts: Sequence[ChosenViews]) -> None:
        """Ask the model about every view whose answer is not in the cache. Unusable ones are not kept there.

        Raises:
            UserError: the server or the cache fails; answers so far are kept.
        """
        start = time.monotonic()
        missing: set[bytes] = set()
        for part in parts:
            self._keys[part.path] = keys = list(self._hashed(part))
            self._cache.adopt(keys, self._known)
            missing.update(set(keys) - self._usable(keys))
        total = sum(map(len, parts))
        log.info("%d views, %d crops to ask about (%.1f s)", total, len(missing), time.monotonic() - start)
        if not missing:
            return
        with self._open_server() as server:
            self._ask(server, self._requests(parts, missing), RequestProgress(len(missing)))

    def _usable(self, keys: list[bytes]) -> set[bytes]:
        """The keys whose answers are kept; unusable ones, which were kept by earlier versions, are forgotten."""
        verdicts = {key: self._judge(answer) for key, answer in self._cache.find(keys).items()}
        unusable = {key for key, verdict in verdicts.items() if is_unusable(verdict)}
        self._cache.drop(sorted(unusable))
        return verdicts.keys() - unusable

    def _judge(self, answer: Answer) -> Caption | NoCaption:
        return judge(answer, self._prompt.refusals, self._prompt.text)

    def _ask(self, server: Server, requests: Iterator[Request], progress: RequestProgress) -> None:
        def on_outcome(key: bytes, outcome: Answer | NoCaption) -> None:
            if isinstance(outcome, Answer):
                self._cache.put(key, self.model, self.prompt_sha, outcome)
            else:
                self._refused[key] = outcome
            progress.step()

        Client(server, self.model, self._options, self._judge).ask(requests, on_outcome)
        progress.end()

    def outcomes(self, views: ChosenViews) -> Iterator[Caption | NoCaption]:
        """What came of each chosen view of a part, in order."""
        for keys in _batches(self._keys[views.path], _ANSWERS_AT_ONCE):
            answers = self._cache.find(keys)
            for key in keys:
                yield self._judge(answers[key]) if key in answers else self._refused[key]

    def statistics(self, views: ChosenViews) -> dict[str, Any]:
        """What the answers to a part's requests cost: tokens, and the Unix times between which some were under way."""
        found = self._cache.find(sorted(set(self._keys[views.path])))
        answers = list(found.values())
        return {
            "requests": len(answers),
            "prompt_tokens": sum(answer.prompt_tokens or 0 for answer in answers),
            "completion_tokens": sum(answer.completion_tokens or 0 for answer in answers),
            "busy_s": merged((answer.asked_at_s, answer.asked_at_s + answer.seconds) for answer in answers),
        }

    def _hashed(self, part: ChosenViews) -> Iterator[bytes]:
        for table in part.tables(["image.bytes"], _CROPS_AT_ONCE):
            for image in table["image"].to_pylist():
                yield request_key(image["bytes"], self.model, self.prompt_sha)

    def _requests(self, parts: Sequence[ChosenViews], missing: set[bytes]) -> Iterator[Request]:
        """Each missing request once, in the order of the views."""
        for part in parts:
            rows, keys = self._first_rows(part, missing)
            crops = (
                image["bytes"]
                for table in part.tables(["image.bytes"], _CROPS_AT_ONCE, only=rows)
                for image in table["image"].to_pylist()
            )
            for key, crop in zip(keys, crops, strict=True):
                yield key, self._prompt.body(self.model, crop)

    def _first_rows(self, part: ChosenViews, missing: set[bytes]) -> tuple[NDArray[np.bool_], list[bytes]]:
        """Rows of the part that hold a missing crop for the first time, which then is missing no more; their keys."""
        rows, keys = np.zeros(len(part.chosen), bool), []
        for row, key in zip(np.flatnonzero(part.chosen), self._keys[part.path], strict=True):
            if key in missing:
                missing.remove(key)
                rows[row] = True
                keys.append(key)
        return rows, keys


def _batches(keys: list[bytes], size: int) -> Iterator[list[bytes]]:
    rest = iter(keys)
    while batch := list(itertools.islice(rest, size)):
        yield batch
