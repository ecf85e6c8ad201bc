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
from blendclip.mining.captions.endpoints import Endpoint, Endpoints, Patience
from blendclip.mining.captions.judge import Caption, NoCaption, is_unusable
from blendclip.mining.captions.servers import Server

Request = tuple[bytes, bytes]  # key, body
OnOutcome = Callable[[bytes, Answer | NoCaption], None]

_CHECK_EVERY_S = 0.2
_LONGEST_RETRY_AFTER_S = 120.0
_REFUSED_BEFORE_GIVING_UP = 20
_TOO_MANY_REQUESTS, _SERVER_FAILS = 429, 500
_REPEATED = frozenset({408, _TOO_MANY_REQUESTS})  # and all from 500
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
    patience: Patience = Patience()
    """When a server is given up."""


class _Retry(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, reason: str, status: int | None = None, pause_s: float = 0.0, gone: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.status, self.pause_s, self.gone = reason, status, pause_s, gone


class Client:
    """Asks one server, or several endpoints that share the requests, once a context of it is open."""

    def __init__(
        self, server: Server, model: str, options: ClientOptions, judged: Callable[[Answer], Caption | NoCaption]
    ) -> None:
        """`judged` says whether an answer is a caption, and if not, whether that is the server's fault."""
        self._server, self._model, self._options, self._judged = server, model, options, judged
        self._endpoints = Endpoints(server.base_urls, options.patience)
        self._answered = self._refused = 0

    def ask(self, requests: Iterator[Request], on_outcome: OnOutcome) -> None:
        """Send all requests and hand over each outcome as it arrives, in any order.

        Requests are drawn only when one can be sent. A NoCaption is a request that the server answers with an error
        of the request (4xx) or unusably, or one that it fails at again and again while it is up.

        Raises:
            UserError: no server is there, well or alive, one lacks the model or refuses the key, or all refuse every
                request.
        """
        asyncio.run(self._ask(requests, on_outcome))

    async def _ask(self, requests: Iterator[Request], on_outcome: OnOutcome) -> None:
        timeout = aiohttp.ClientTimeout(total=self._options.timeout_s, connect=_CONNECT_TIMEOUT_S)
        local = all(url.startswith("http://127.0.0.1:") for url in self._server.base_urls)
        async with aiohttp.ClientSession(
            headers=self._server.headers | {"Content-Type": "application/json"},
            connector=aiohttp.TCPConnector(limit=self._options.max_in_flight + 1 + len(self._server.base_urls)),
            timeout=timeout,
            trust_env=not local,  # proxies are for the world outside
        ) as session:
            for endpoint in self._endpoints.left:
                await self._verify(session, endpoint)
            tasks = [
                asyncio.ensure_future(self._work(session, requests, on_outcome))
                for _ in range(self._options.max_in_flight)
            ]
            watches = [asyncio.ensure_future(watch) for watch in (self._watch(), self._watch_health(session))]
            work = asyncio.gather(*tasks)
            every: list[asyncio.Future[Any]] = [work, *watches]
            try:
                done, _ = await asyncio.wait(every, return_when=asyncio.FIRST_COMPLETED)
                self._server.check()  # a dead server explains what else failed
                for one in done:
                    await one
            finally:
                for task in (*tasks, *watches):
                    task.cancel()
                await asyncio.gather(*tasks, *every, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_EVERY_S)
            self._server.check()

    async def _watch_health(self, session: aiohttp.ClientSession) -> None:
        unwell: set[str] = set()
        while True:
            await asyncio.sleep(self._options.patience.health_every_s)
            for endpoint in self._endpoints.left:
                status = await self._health(session, endpoint) if endpoint.tells_health else None
                if status is None or status < _SERVER_FAILS:
                    unwell.discard(endpoint.base_url)
                elif endpoint.base_url in unwell:  # twice is no accident
                    self._endpoints.leave_out(endpoint, _unwell(endpoint, status))
                else:
                    unwell.add(endpoint.base_url)

    async def _health(self, session: aiohttp.ClientSession, endpoint: Endpoint) -> int | None:
        """The status of its answer about its health; None without an answer, of which requests will tell."""
        try:
            async with session.get(endpoint.health_url, timeout=aiohttp.ClientTimeout(_CONNECT_TIMEOUT_S)) as response:
                return response.status
        except _BROKEN:
            return None

    async def _work(self, session: aiohttp.ClientSession, requests: Iterator[Request], on_outcome: OnOutcome) -> None:
        for key, body in requests:
            outcome = await self._outcome(session, key, body)
            on_outcome(key, outcome)
            if isinstance(outcome, Answer):
                self._answered += 1
            elif not is_unusable(outcome):
                self._refused += 1
                if not self._answered and self._refused >= _REFUSED_BEFORE_GIVING_UP:
                    where = ", ".join(endpoint.base_url for endpoint in self._endpoints.left)
                    raise UserError(f"the server {where} refuses every request: {outcome.reason}")

    async def _outcome(self, session: aiohttp.ClientSession, key: bytes, body: bytes) -> Answer | NoCaption:
        attempt, doubted = 0, False
        endpoint: Endpoint | None = None
        while True:
            endpoint, sent_s = self._endpoints.next_one(avoided=endpoint), time.monotonic()
            try:
                with endpoint.busy():
                    outcome = await self._attempt(session, endpoint, key, body)
            except _Retry as error:
                failure = error
            else:
                if isinstance(outcome, Answer) or not is_unusable(outcome):
                    return outcome
                if doubted or self._endpoints.left == [endpoint]:
                    return outcome
                doubted = True  # another endpoint may do better
                continue
            await self._note(session, endpoint, key, sent_s, failure)
            if endpoint.left_out:
                continue
            attempt += 1
            if attempt == self._options.max_attempts:
                await self._check_is_up(session, endpoint, failure)
                if not endpoint.left_out:
                    reason = rules.SERVER_ERROR.reason(attempts=attempt, error=failure.reason)
                    return NoCaption(rules.SERVER_ERROR, reason)
                attempt = 0
            await asyncio.sleep(max(failure.pause_s, self._pause_s(key, attempt)))

    async def _note(
        self, session: aiohttp.ClientSession, endpoint: Endpoint, key: bytes, sent_s: float, failure: _Retry
    ) -> None:
        """Note that a request failed at an endpoint; leave it out if it is gone and others are there."""
        if failure.status != _TOO_MANY_REQUESTS:
            self._endpoints.failed(endpoint, key, sent_s, failure.reason)
        if failure.gone and len(self._endpoints.left) > 1:
            await self._check_is_up(session, endpoint, failure)

    async def _check_is_up(self, session: aiohttp.ClientSession, endpoint: Endpoint, failure: _Retry) -> None:
        """Leave an endpoint out that does not even list its models after a request failed."""
        where = f"the server {endpoint.base_url}"
        if failure.status == _TOO_MANY_REQUESTS:
            raise UserError(f"{where} answers 429 (too many requests) again and again: lower caption.max_in_flight")
        try:
            await self._models(session, endpoint)
        except (*_BROKEN, _Retry):
            self._endpoints.leave_out(endpoint, f"{where} is gone ({failure.reason})")

    def _pause_s(self, key: bytes, attempt: int) -> float:
        """Between half and all of the attempt's pause, so that failed requests do not come back all together."""
        share = hashlib.sha256(key + bytes([attempt])).digest()[0] / 255
        longest = min(self._options.longest_pause_s, self._options.first_pause_s * 2.0 ** (attempt - 1))
        return longest * (0.5 + 0.5 * share)

    async def _attempt(
        self, session: aiohttp.ClientSession, endpoint: Endpoint, key: bytes, body: bytes
    ) -> Answer | NoCaption:
        asked_at_s, start = time.time(), time.perf_counter()
        try:
            async with session.post(f"{endpoint.base_url}/chat/completions", data=body) as response:
                content = await response.read()
        except _BROKEN as error:
            raise _Retry(f"{_why(error)}", gone=not isinstance(error, TimeoutError)) from None
        seconds = time.perf_counter() - start
        if response.status != 200:
            return _failure(endpoint, response.status, response.headers.get("Retry-After", ""), content)
        answer = _answer(content, asked_at_s, seconds)
        verdict = self._judged(answer)
        if not isinstance(verdict, NoCaption) or not is_unusable(verdict):
            endpoint.answered()
            return answer
        if verdict.rule is rules.UNFINISHED:
            raise _Retry(verdict.reason)
        self._endpoints.answered_unusably(endpoint, key, verdict.reason)
        return verdict

    async def _verify(self, session: aiohttp.ClientSession, endpoint: Endpoint) -> None:
        """Fail early where no request could succeed."""
        where = endpoint.base_url
        try:
            models = await self._models(session, endpoint)
        except _Retry as error:
            raise UserError(f"base_url {where} is no OpenAI-compatible API ({error.reason}); it ends in /v1") from None
        except _BROKEN as error:
            self._server.check()
            self._endpoints.leave_out(endpoint, f"there is no server at base_url {where} ({_why(error)})")
            return
        # Some hosts list "models/name" or "owner/name" and take the bare name.
        if not any(name == self._model or name.endswith(f"/{self._model}") for name in models):
            raise UserError(f"the server {where} has no model {self._model!r}; it has {', '.join(models) or 'none'}")
        status = await self._health(session, endpoint)
        if status is not None and status >= _SERVER_FAILS:
            self._endpoints.leave_out(endpoint, _unwell(endpoint, status))
        endpoint.tells_health = status == 200

    async def _models(self, session: aiohttp.ClientSession, endpoint: Endpoint) -> list[str]:
        async with session.get(f"{endpoint.base_url}/models", timeout=aiohttp.ClientTimeout(30)) as response:
            content = await response.read()
        if response.status in (401, 403):
            _failure(endpoint, response.status, "", content)
        try:
            return [str(model["id"]) for model in json.loads(content)["data"]]
        except (ValueError, KeyError, TypeError):
            raise _Retry(f"GET /models answers {response.status}: {_message(content)}") from None


def _unwell(endpoint: Endpoint, status: int) -> str:
    return f"the server {endpoint.base_url} says that it is not well (GET {endpoint.health_url} answers {status})"


def _failure(endpoint: Endpoint, status: int, retry_after: str, content: bytes) -> NoCaption:
    """What an answer that reports an error says of its request.

    Raises:
        UserError: no request would be answered otherwise.
    """
    said = _message(content)
    if status in _REPEATED or status >= _SERVER_FAILS:
        pause_s = min(float(retry_after), _LONGEST_RETRY_AFTER_S) if retry_after.isdigit() else 0.0
        raise _Retry(f"status {status}: {said}", status, pause_s)
    where = f"the server {endpoint.base_url} answers {status}"
    if status in (401, 403):
        raise UserError(f"{where}: {said}; set the environment variable that caption.api_key_env names to its key")
    if status == 402:
        raise UserError(f"{where}: {said}; pay what it asks and run again, answers so far are kept")
    if status == 404:
        raise UserError(f"{where}: {said}; look at caption.model and caption.base_url")
    return NoCaption(rules.REQUEST_REFUSED, rules.REQUEST_REFUSED.reason(status=status, message=said))


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
