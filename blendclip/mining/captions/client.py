"""The client: keeps a server full of chat requests, and repeats those that fail for no fault of their own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from blendclip.errors import UserError
from blendclip.mining import rules
from blendclip.mining.captions.cache import Answer
from blendclip.mining.captions.judge import NoCaption
from blendclip.mining.captions.servers import Server

Request = tuple[bytes, bytes]  # key, body
OnOutcome = Callable[[bytes, Answer | NoCaption], None]

_CHECK_EVERY_S = 0.2
_LONGEST_RETRY_AFTER_S = 120.0
_REFUSED_BEFORE_GIVING_UP = 20
_REPEATED = frozenset({408, 429})  # and all from 500
_CONNECT_TIMEOUT_S = 20.0
_BROKEN = (aiohttp.ClientError, asyncio.TimeoutError)


@dataclass(frozen=True)
class ClientOptions:
    """How requests are sent."""

    max_in_flight: int = 256
    """Requests under way at a time; more than the server works on at once, so that it never waits."""
    timeout_s: float = 300.0
    """For one answer."""
    max_attempts: int = 8
    """Attempts at one request; the pauses between them add up to about a minute."""
    first_pause_s: float = 0.5
    """It doubles from attempt to attempt ..."""
    longest_pause_s: float = 20.0
    """... up to this."""


class _Retry(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, reason: str, status: int | None = None, pause_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.status, self.pause_s = reason, status, pause_s


class Client:
    """Asks one server, once a context of it is open."""

    def __init__(self, server: Server, model: str, options: ClientOptions) -> None:
        self._server, self._model, self._options = server, model, options
        self._answered = self._refused = 0

    def ask(self, requests: Iterator[Request], on_outcome: OnOutcome) -> None:
        """Send all requests and hand over each outcome as it arrives, in any order.

        Requests are drawn only when one can be sent. A NoCaption is a request that the server answers with an error
        of the request (4xx), or one that it fails at again and again while it is up.

        Raises:
            UserError: the server is not there, dead, lacks the model, refuses the key or refuses every request.
        """
        asyncio.run(self._ask(requests, on_outcome))

    async def _ask(self, requests: Iterator[Request], on_outcome: OnOutcome) -> None:
        timeout = aiohttp.ClientTimeout(total=self._options.timeout_s, connect=_CONNECT_TIMEOUT_S)
        async with aiohttp.ClientSession(
            headers=self._server.headers | {"Content-Type": "application/json"},
            connector=aiohttp.TCPConnector(limit=self._options.max_in_flight + 1),
            timeout=timeout,
            trust_env=not self._server.base_url.startswith("http://127.0.0.1:"),  # proxies are for the world outside
        ) as session:
            await self._verify(session)
            tasks = [
                asyncio.ensure_future(self._work(session, requests, on_outcome))
                for _ in range(self._options.max_in_flight)
            ]
            work, watch = asyncio.gather(*tasks), asyncio.ensure_future(self._watch())
            both: list[asyncio.Future[Any]] = [work, watch]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                self._server.check()  # a dead server explains what else failed
                await work
            finally:
                for task in (*tasks, watch):
                    task.cancel()
                await asyncio.gather(*tasks, watch, work, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_EVERY_S)
            self._server.check()

    async def _work(self, session: aiohttp.ClientSession, requests: Iterator[Request], on_outcome: OnOutcome) -> None:
        for key, body in requests:
            outcome = await self._outcome(session, key, body)
            on_outcome(key, outcome)
            if isinstance(outcome, Answer):
                self._answered += 1
                continue
            self._refused += 1
            if not self._answered and self._refused >= _REFUSED_BEFORE_GIVING_UP:
                raise UserError(f"the server {self._server.base_url} refuses every request: {outcome.reason}")

    async def _outcome(self, session: aiohttp.ClientSession, key: bytes, body: bytes) -> Answer | NoCaption:
        for attempt in range(1, self._options.max_attempts + 1):
            try:
                return await self._attempt(session, body)
            except _Retry as error:
                failure = error
            if attempt < self._options.max_attempts:
                await asyncio.sleep(max(failure.pause_s, self._pause_s(key, attempt)))
        where = f"the server {self._server.base_url}"
        if failure.status == 429:
            raise UserError(f"{where} answers 429 (too many requests) again and again: lower caption.max_in_flight")
        try:
            await self._models(session)
        except (*_BROKEN, _Retry):
            raise UserError(
                f"{where} is gone ({failure.reason}): bring it back and run again; answers so far are kept"
            ) from None
        reason = rules.SERVER_ERROR.reason(attempts=self._options.max_attempts, error=failure.reason)
        return NoCaption(rules.SERVER_ERROR, reason)

    def _pause_s(self, key: bytes, attempt: int) -> float:
        """Between half and all of the attempt's pause, so that failed requests do not come back all together."""
        share = hashlib.sha256(key + bytes([attempt])).digest()[0] / 255
        longest = min(self._options.longest_pause_s, self._options.first_pause_s * 2.0 ** (attempt - 1))
        return longest * (0.5 + 0.5 * share)

    async def _attempt(self, session: aiohttp.ClientSession, body: bytes) -> Answer | NoCaption:
        asked_at_s, start = time.time(), time.perf_counter()
        try:
            async with session.post(f"{self._server.base_url}/chat/completions", data=body) as response:
                content = await response.read()
        except _BROKEN as error:
            raise _Retry(f"{_why(error)}") from None
        seconds = time.perf_counter() - start
        if response.status == 200:
            return _answer(content, asked_at_s, seconds)
        return self._failure(response.status, response.headers.get("Retry-After", ""), content)

    def _failure(self, status: int, retry_after: str, content: bytes) -> NoCaption:
        said = _message(content)
        if status in _REPEATED or status >= 500:
            pause_s = min(float(retry_after), _LONGEST_RETRY_AFTER_S) if retry_after.isdigit() else 0.0
            raise _Retry(f"status {status}: {said}", status, pause_s)
        where = f"the server {self._server.base_url} answers {status}"
        if status in (401, 403):
            raise UserError(f"{where}: {said}; set the environment variable that caption.api_key_env names to its key")
        if status == 404:
            raise UserError(f"{where}: {said}; look at caption.model and caption.base_url")
        return NoCaption(rules.REQUEST_REFUSED, rules.REQUEST_REFUSED.reason(status=status, message=said))

    async def _verify(self, session: aiohttp.ClientSession) -> None:
        """Fail early where no request could succeed."""
        where = self._server.base_url
        try:
            models = await self._models(session)
        except _Retry as error:
            raise UserError(f"base_url {where} is no OpenAI-compatible API ({error.reason}); it ends in /v1") from None
        except _BROKEN as error:
            self._server.check()
            raise UserError(f"there is no server at base_url {where}: {_why(error)}") from None
        # Some hosts list "models/name" or "owner/name" and take the bare name.
        if not any(name == self._model or name.endswith(f"/{self._model}") for name in models):
            raise UserError(f"the server {where} has no model {self._model!r}; it has {', '.join(models) or 'none'}")

    async def _models(self, session: aiohttp.ClientSession) -> list[str]:
        async with session.get(f"{self._server.base_url}/models", timeout=aiohttp.ClientTimeout(30)) as response:
            content = await response.read()
        if response.status in (401, 403):
            self._failure(response.status, "", content)
        try:
            return [str(model["id"]) for model in json.loads(content)["data"]]
        except (ValueError, KeyError, TypeError):
            raise _Retry(f"GET /models answers {response.status}: {_message(content)}") from None


def _answer(content: bytes, asked_at_s: float, seconds: float) -> Answer:
    try:
        found = json.loads(content)
        choice = found["choices"][0]
        message, usage = choice["message"], found.get("usage") or {}
        return Answer(
            text=message.get("content") or "",
            finish_reason=choice.get("finish_reason") or "",
            refusal=message.get("refusal") or "",
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
            asked_at_s=asked_at_s,
            seconds=seconds,
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise _Retry(f"the answer is no chat completion: {_message(content)}") from None


def _why(error: aiohttp.ClientError | TimeoutError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _message(content: bytes) -> str:
    """What an error answer says, in one line."""
    try:
        found = json.loads(content)
        said = found.get("error", found.get("message", found)) if isinstance(found, dict) else found
        said = said.get("message", said) if isinstance(said, dict) else said
    except ValueError:
        said = content.decode(errors="replace")
    text = " ".join(str(said).split())
    return text[:200] + ("..." if len(text) > 200 else "") if text else "no message"
