"""The client: keeps a server full of chat requests, and repeats those that fail for no fault of their own."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from blendclip.errors import UserError
from blendclip.mining import rules
from blendclip.mining.captions.cache import Answer
from blendclip.mining.captions.endpoints import Endpoint, Endpoints, Patience
from blendclip.mining.captions.judge import Caption, NoCaption, is_unusable
from blendclip.mining.captions.replies import (
    MOST_ANSWER_BYTES,
    MOST_LIST_BYTES,
    ListedModel,
    Reply,
    ReplyError,
    completion_in,
    in_one_line,
    is_same_model,
    models_in,
    names_of,
    pause_s,
    read_bounded,
    read_error,
)
from blendclip.mining.captions.servers import Server

Request = tuple[bytes, bytes]  # key, body
OnOutcome = Callable[[bytes, Answer | NoCaption], None]

log = logging.getLogger(__name__)
_CHECK_EVERY_S = 0.2
_LONGEST_RETRY_AFTER_S = 120.0
_REFUSED_BEFORE_GIVING_UP = 20
_TOO_MANY_REQUESTS, _SERVER_FAILS = 429, 500
_REPEATED = frozenset({408, _TOO_MANY_REQUESTS})  # and all from 500
_REDIRECTS = range(300, 400)
_MODELS_NAMED = 20
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
        self._under_way: set[asyncio.Task[Any] | None] = set()
        self._stopping = False

    def ask(self, requests: Iterator[Request], on_outcome: OnOutcome) -> None:
        """Send all requests and hand over each outcome as it arrives, in any order.

        Requests are drawn only when one can be sent. A NoCaption is a request that the server answers with an error
        of the request (4xx) or unusably, or one that it fails at again and again while it is up. What is under way
        when an error is raised is waited for and handed over before. Redirects are not followed.

        Raises:
            UserError: no server is there, well or alive, one lacks the model or refuses the key, or all refuse every
                request.
        """
        asyncio.run(self._ask(requests, on_outcome))

    async def _ask(self, requests: Iterator[Request], on_outcome: OnOutcome) -> None:
        timeout = aiohttp.ClientTimeout(total=self._options.timeout_s, connect=_CONNECT_TIMEOUT_S)
        local = all(url.startswith("http://127.0.0.1:") for url in self._server.base_urls)
        async with aiohttp.ClientSession(
            headers=self._server.headers | {"Content-Type": "application/json", "Accept-Encoding": "identity"},
            auto_decompress=False,  # a few compressed kilobytes may unfold to gigabytes
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
                if any(one.exception() for one in done):
                    await self._await_under_way(tasks)
                self._server.check()  # a dead server explains what else failed
                for one in done:
                    await one
            finally:
                for task in (*tasks, *watches):
                    task.cancel()
                await asyncio.gather(*tasks, *every, return_exceptions=True)

    async def _await_under_way(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Send nothing more, and wait for the answers that are under way: they are paid for."""
        self._stopping = True
        for task in tasks:
            if task not in self._under_way:
                task.cancel()
        if self._under_way:
            log.info(
                "the job cannot go on; it waits for %d answers under way, %.0f s at most",
                *(len(self._under_way), self._options.timeout_s),
            )
        await asyncio.gather(*tasks, return_exceptions=True)

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
            limit = aiohttp.ClientTimeout(_CONNECT_TIMEOUT_S)
            async with session.get(endpoint.health_url, timeout=limit, allow_redirects=False) as response:
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
            if self._stopping:
                return

    async def _outcome(self, session: aiohttp.ClientSession, key: bytes, body: bytes) -> Answer | NoCaption:
        attempt, doubted = 0, False
        endpoint: Endpoint | None = None
        while True:
            endpoint, sent_s = self._endpoints.next_one(avoided=endpoint), time.monotonic()
            try:
                outcome = await self._sent(session, endpoint, key, body)
            except _Retry as error:
                failure = error
            else:
                if isinstance(outcome, Answer) or not is_unusable(outcome):
                    return outcome
                if doubted or self._stopping or self._endpoints.left == [endpoint]:
                    return outcome
                doubted = True  # another endpoint may do better
                continue
            if self._stopping:
                raise asyncio.CancelledError
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

    async def _sent(
        self, session: aiohttp.ClientSession, endpoint: Endpoint, key: bytes, body: bytes
    ) -> Answer | NoCaption:
        task = asyncio.current_task()
        self._under_way.add(task)
        try:
            with endpoint.busy():
                return await self._attempt(session, endpoint, key, body)
        finally:
            self._under_way.discard(task)

    async def _attempt(
        self, session: aiohttp.ClientSession, endpoint: Endpoint, key: bytes, body: bytes
    ) -> Answer | NoCaption:
        asked_at_s, start = time.time(), time.perf_counter()
        url = f"{endpoint.base_url}/chat/completions"
        try:
            async with session.post(url, data=body, allow_redirects=False) as response:
                if response.status != 200:
                    return _failure(endpoint, response.status, response.headers, await read_error(response))
                content = await read_bounded(response, MOST_ANSWER_BYTES)
            reply = completion_in(content, asked_at_s, time.perf_counter() - start)
        except _BROKEN as error:
            raise _Retry(f"{_why(error)}", gone=not isinstance(error, TimeoutError)) from None
        except ReplyError as error:
            raise _Retry(str(error)) from None
        verdict = self._verdict(endpoint, reply)
        if not isinstance(verdict, NoCaption) or not is_unusable(verdict):
            endpoint.answered()
            return reply.answer
        if verdict.rule is rules.UNFINISHED:
            raise _Retry(verdict.reason)
        self._endpoints.answered_unusably(endpoint, key, verdict.reason)
        return verdict

    def _verdict(self, endpoint: Endpoint, reply: Reply) -> Caption | NoCaption:
        if endpoint.counts_tokens and not reply.counts_tokens:
            endpoint.counts_tokens = False
            log.warning("the server %s sends token counts that are none: these are left out", endpoint.base_url)
        if reply.model and not any(is_same_model(name, reply.model) for name in endpoint.names):
            answered = in_one_line(reply.model)
            return NoCaption(rules.OTHER_MODEL, rules.OTHER_MODEL.reason(answered=answered, asked=self._model))
        return self._judged(reply.answer)

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
        endpoint.names = names_of(self._model, models)
        if not endpoint.names:
            raise UserError(f"the server {where} has no model {self._model!r}; it has {_named(models)}")
        status = await self._health(session, endpoint)
        if status is not None and status >= _SERVER_FAILS:
            self._endpoints.leave_out(endpoint, _unwell(endpoint, status))
        endpoint.tells_health = status == 200

    async def _models(self, session: aiohttp.ClientSession, endpoint: Endpoint) -> list[ListedModel]:
        url, limit = f"{endpoint.base_url}/models", aiohttp.ClientTimeout(30)
        async with session.get(url, timeout=limit, allow_redirects=False) as response:
            if response.status in (401, 403, *_REDIRECTS):
                _failure(endpoint, response.status, response.headers, await read_error(response))
            if response.status != 200:
                raise _Retry(f"GET /models answers {response.status}: {await read_error(response)}")
            try:
                return models_in(await read_bounded(response, MOST_LIST_BYTES))
            except ReplyError as error:
                raise _Retry(f"GET /models: {error}") from None


def _unwell(endpoint: Endpoint, status: int) -> str:
    return f"the server {endpoint.base_url} says that it is not well (GET {endpoint.health_url} answers {status})"


def _named(models: Sequence[ListedModel]) -> str:
    """The models that a server lists, for a message."""
    names = [in_one_line(model.id) for model in models[:_MODELS_NAMED]]
    return ", ".join(names + ["..."] * (len(models) > _MODELS_NAMED)) or "none"


def _failure(endpoint: Endpoint, status: int, headers: Mapping[str, str], said: str) -> NoCaption:
    """What an answer that reports an error says of its request.

    Raises:
        UserError: no request would be answered otherwise.
    """
    if status in _REPEATED or status >= _SERVER_FAILS:
        asked_s = pause_s(headers.get("Retry-After", ""))
        raise _Retry(f"status {status}: {said}", status, min(asked_s, _LONGEST_RETRY_AFTER_S))
    where = f"the server {endpoint.base_url} answers {status}"
    if status in _REDIRECTS:
        target = in_one_line(headers.get("Location", "").partition("?")[0]) or "nowhere"
        raise UserError(f"{where}, a redirect to {target}: crops are not sent on; set caption.base_url to where it is")
    if status in (401, 403):
        raise UserError(f"{where}: {said}; set the environment variable that caption.api_key_env names to its key")
    if status == 402:
        raise UserError(f"{where}: {said}; pay what it asks and run again, answers so far are kept")
    if status == 404:
        raise UserError(f"{where}: {said}; look at caption.model and caption.base_url")
    return NoCaption(rules.REQUEST_REFUSED, rules.REQUEST_REFUSED.reason(status=status, message=said))


def _why(error: aiohttp.ClientError | TimeoutError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
