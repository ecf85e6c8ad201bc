"""The endpoints that share the requests, and when one of them is given up."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from blendclip.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long endpoints are trusted that give no usable answer."""

    requests: int = 20
    """Different requests in a row without a usable answer before an endpoint is given up ..."""
    seconds: float = 30.0
    """... and the time that they fail for, in which a server may restart; unusable answers are not waited for."""
    health_every_s: float = 5.0
    """Between two questions to an endpoint whether it is well."""


@dataclass
class Endpoint:
    """One base URL, and how it does."""

    base_url: str
    in_flight: int = 0
    """Requests under way."""
    left_out: bool = False
    """Whether it is asked nothing more."""
    tells_health: bool = False
    """Whether it answered GET /health."""
    names: frozenset[str] = frozenset()
    """All names under which it lists the model that is asked for."""
    counts_tokens: bool = True
    """Whether all token counts of its answers were counts."""
    failed: set[bytes] = field(default_factory=set)
    """Keys of the requests that failed since the last usable answer ..."""
    failing_since_s: float = 0.0
    """... and when the first of these was sent, by `time.monotonic`."""
    unusable: set[bytes] = field(default_factory=set)
    """Keys of the requests that were answered unusably since then."""

    @property
    def health_url(self) -> str:
        """Where vLLM and its like say whether they are well."""
        return f"{self.base_url.removesuffix('/v1')}/health"

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While a request is under way."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def answered(self) -> None:
        """Note a usable answer."""
        self.failed.clear()
        self.unusable.clear()


class Endpoints:
    """Shares requests over the endpoints that are not given up."""

    def __init__(self, base_urls: Sequence[str], patience: Patience) -> None:
        self._all = [Endpoint(url) for url in base_urls]
        self._patience = patience

    @property
    def left(self) -> list[Endpoint]:
        """Those that are not given up."""
        return [endpoint for endpoint in self._all if not endpoint.left_out]

    def next_one(self, avoided: Endpoint | None) -> Endpoint:
        """The one with the fewest requests under way, another than `avoided` where there is one."""
        return min(self.left, key=lambda endpoint: (endpoint is avoided, endpoint.in_flight))

    def leave_out(self, endpoint: Endpoint, reason: str) -> None:
        """Ask an endpoint nothing more.

        Raises:
            UserError: it was the last one; says `reason`.
        """
        if endpoint.left_out:
            return
        if self.left == [endpoint]:
            others = "; the others were left out before" if len(self._all) > 1 else ""
            raise UserError(f"{reason}: bring it back or mend it, and run again; answers so far are kept{others}")
        endpoint.left_out = True
        log.warning("%s: it is left out, the others take its requests", reason)

    def failed(self, endpoint: Endpoint, key: bytes, sent_s: float, reason: str) -> None:
        """Note that a request, sent at `sent_s`, failed; leave the endpoint out where all do, for a while.

        Raises:
            UserError: it was the last one.
        """
        endpoint.failing_since_s = min(endpoint.failing_since_s, sent_s) if endpoint.failed else sent_s
        endpoint.failed.add(key)
        seconds = time.monotonic() - endpoint.failing_since_s
        if len(endpoint.failed) >= self._patience.requests and seconds >= self._patience.seconds:
            all_of_them = f"{len(endpoint.failed)} requests in a row, for {seconds:.0f} s"
            self.leave_out(endpoint, f"the server {endpoint.base_url} has failed at {all_of_them} ({reason})")

    def answered_unusably(self, endpoint: Endpoint, key: bytes, reason: str) -> None:
        """Note an answer that is no caption; leave the endpoint out where all are such.

        Raises:
            UserError: it was the last one.
        """
        endpoint.unusable.add(key)
        if len(endpoint.unusable) >= self._patience.requests:
            all_of_them = f"{len(endpoint.unusable)} answers in a row are no captions"
            self.leave_out(endpoint, f"the server {endpoint.base_url} is sick, {all_of_them} ({reason})")
