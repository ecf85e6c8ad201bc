"""Servers that answer chat requests, as context managers: one that we start (vLLM), one that is already up."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import urlsplit

from blendclip.errors import UserError
from blendclip.mining.options import VLLMOptions
from blendclip.results import Commands

log = logging.getLogger(__name__)
_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_POLL_EVERY_S = 0.25
_STOP_WITHIN_S = 20.0
_TAIL_LINES = 20
_KEY_VARIABLE, _KEY_ARGUMENT = "VLLM_API_KEY", "--api-key"
_KEY_BYTES = 32
_ERROR = re.compile(r"(Error|Exception): .")


class Server(Protocol):
    """What the client needs of a server."""

    headers: dict[str, str]

    @property
    def base_urls(self) -> tuple[str, ...]:
        """Where requests go, shared among them; each ends in /v1, as a rule."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def check(self) -> None:
        """Raise UserError when the server is known to be dead."""
        ...


class EndpointServer:
    """Servers of the same model that somebody else runs, one or several."""

    def __init__(self, base_urls: str | Sequence[str], api_key_env: str | None = None) -> None:
        """Note where they are; `api_key_env` names the environment variable that holds their key.

        Raises:
            UserError: one is no URL or there twice, or the variable is not set.
        """
        given = [base_urls] if isinstance(base_urls, str) else base_urls
        for base_url in given:
            url = urlsplit(base_url)
            if url.scheme not in ("http", "https") or not url.hostname:
                raise UserError(f"base_url {base_url!r} is no URL such as http://host:8000/v1")
        self.base_urls = tuple(base_url.rstrip("/") for base_url in given)
        if len(set(self.base_urls)) < len(self.base_urls):
            raise UserError(f"base_url names a server twice, of {', '.join(self.base_urls)}: name each once")
        self.headers = {}
        if api_key_env:
            key = os.environ.get(api_key_env, "").strip()
            if not key:
                raise UserError(f"the environment variable {api_key_env}, which is to hold the API key, is not set")
            self.headers["Authorization"] = f"Bearer {key}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def check(self) -> None:
        """Nothing is known about it but its answers."""


class VLLMServer:
    """vLLM's OpenAI-compatible server on a free port of this machine, up while the context is open.

    Its API wants a key that is made up for it, so that other users of the machine cannot use it.
    """

    def __init__(self, model: str, options: VLLMOptions, log_file: Path) -> None:
        """Note what to start.

        Raises:
            UserError: there is no such interpreter, or the options set a key.
        """
        if any(argument.replace("_", "-").startswith(_KEY_ARGUMENT) for argument in options.arguments):
            raise UserError(
                f"caption.vllm.arguments has {_KEY_ARGUMENT}: leave it out, the server gets a key of its own"
            )
        self._model, self._options, self._log_file = model, options, log_file
        python = shutil.which(options.python)
        if python is None:
            raise UserError(
                f"there is no vLLM environment with the interpreter {options.python}: make one with "
                f"`{Commands.vllm_env('.venv-vllm')}`, or set caption.vllm.python"
            )
        self._python = python
        self._process: subprocess.Popen[bytes] | None = None
        self.base_url = ""
        self._key = secrets.token_urlsafe(_KEY_BYTES)
        self.headers = {"Authorization": f"Bearer {self._key}"}

    def __enter__(self) -> Self:
        """Start the server and wait until it answers.

        Raises:
            UserError: it ends or is not ready in time; with the last lines of its log.
        """
        port = free_port()
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_SUPERVISOR), *self._command(port)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=os.environ | {_KEY_VARIABLE: self._key},  # not in the command, which all users of a machine see
                start_new_session=True,
            )
        try:
            self._wait_until_ready(port)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def base_urls(self) -> tuple[str, ...]:
        """Its only one."""
        return (self.base_url,)

    def check(self) -> None:
        """Raise UserError, with the last lines of the log, when the server has ended."""
        if self._has_ended():
            raise UserError(f"vLLM ended before its work was done; {self._tail()}")

    def _has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def stop(self) -> None:
        """End the server and every process that it started; twice is fine."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()  # the supervisor does the rest
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.info("vLLM is stopped")

    def _command(self, port: int) -> Sequence[str]:
        return (
            *(self._python, "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", self._model, "--served-model-name", self._model),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--data-parallel-size", str(self._options.data_parallel_size)),
            *("--limit-mm-per-prompt", '{"image": 1}', "--max-model-len", "4096"),
            *("--generation-config", "vllm"),  # sampling is what the prompt file says
            *("--uvicorn-log-level", "warning"),  # no line per request
            *self._options.arguments,
        )

    def _wait_until_ready(self, port: int) -> None:
        log.info("starting vLLM with %s; its log is %s", self._model, self._log_file)
        start = time.monotonic()
        while not is_up(port):
            if self._has_ended():
                raise UserError(f"vLLM did not start; {self._tail()}")
            if time.monotonic() - start > self._options.start_timeout_s:
                raise UserError(f"vLLM was not ready within {self._options.start_timeout_s:.0f} s; {self._tail()}")
            time.sleep(_POLL_EVERY_S)
        log.info("vLLM is ready after %.0f s", time.monotonic() - start)

    def _tail(self) -> str:
        """The end of the log, after the first error: later ones often only say that something failed."""
        lines = self._log_file.read_text(errors="replace").splitlines()
        cause = [line for line in lines[:-_TAIL_LINES] if _ERROR.search(line)][:1]
        shown = "\n".join(f"  {line}" for line in (*cause, *lines[-_TAIL_LINES:]))
        return f"the last lines of its log {self._log_file}:\n{shown}"


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_up(port: int) -> bool:
    """Whether a server on this port of the loopback interface says that it is well."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
