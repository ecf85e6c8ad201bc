"""A stand-in for a model server, of asyncio alone, in its own process: it answers, fails, hangs and dies on demand.

Every request and every answer that left whole is written down, which is what tests compare with.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import hashlib
import heapq
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from blendclip.mining.captions.servers import free_port

ROOT = Path(__file__).parents[3]


@dataclass
class Behaviour:
    """What the stub does."""

    record: str = ""  # file: a JSON line for each request and each answer
    models: tuple[str, ...] = ("stub",)
    latency_s: float = 0.0
    slots: int = 1000
    fault_share: float = 0.0  # of the requests: 500, 429, no answer, cut before and cut within the answer, in turn
    key: str = ""
    well_for: int = 0  # answers that are given as if status, text, finish_reason and health were not set
    status: int = 200  # of every chat request
    text: str = ""  # of every answer; by default a sentence that depends on the picture
    finish_reason: str = "stop"
    health: int = 200  # status of GET /health
    refusal: str = ""
    answer: dict = field(default_factory=dict)  # merged into every answer
    body: str = ""  # of every answer, in place of a completion ...
    body_times: int = 1  # ... so often
    compressed: bool = False  # `body`
    headers: str = ""  # lines of every head
    refused_at: int = 0  # the number of the request that is answered 401, at once
    moved: str = ""  # paths that begin so are answered 307 ...
    moved_to: str = ""  # ... to this origin
    die_after: int = 0  # answers
    start_s: float = 0.0
    fail_at_start: str = ""
    helper: str = ""  # file: start a second process and write its id there


def sentence(url):
    """What the stub says about a picture."""
    return f"A thing of kind {hashlib.sha256(url.encode()).hexdigest()[:12]}."


class Stub:
    def __init__(self, behaviour):
        self.b, self.requests, self.answers = behaviour, 0, 0
        self.free_at_s = [0.0] * behaviour.slots  # when each slot is free, a heap
        self.record = Path(behaviour.record).open("a", buffering=1) if behaviour.record else None  # noqa: SIM115

    async def connection(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(h[15:]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:")), 0)
                body = await reader.readexactly(length)
                if not await self.serve(head, body, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def serve(self, head, body, writer):
        """Answer one request; False when the connection is to be cut."""
        if head.startswith(b"GET /health "):
            return await self.send(writer, self.b.health if self.answers >= self.b.well_for else 200, {})
        if self.b.key and f"Authorization: Bearer {self.b.key}\r\n".encode() not in head:
            return await self.send(writer, 401, {"error": {"message": "wrong key"}})
        path = head.split()[1].decode()
        if self.b.moved and path.startswith(self.b.moved):
            return await self.send(writer, 307, {}, f"Location: {self.b.moved_to}{path}?secret\r\n")
        if head.startswith(b"GET /v1/models "):
            return await self.send(writer, 200, {"data": [{"id": name} for name in self.b.models]})
        if not head.startswith(b"POST /v1/chat/completions "):
            return await self.send(writer, 404, {"detail": "Not Found"})
        self.requests += 1
        if self.record:
            self.note({"request": body.decode(), "head": head.decode()})
        if self.requests == self.b.refused_at:
            return await self.send(writer, 401, {"error": {"message": "the key has expired"}})
        if self.b.fault_share and (self.requests * 7919) % 1000 < 1000 * self.b.fault_share:
            fault = ("500", "429", "hang", "cut", "cut_within")[self.requests % 5]
            self.note({"fault": fault})
            if fault == "hang":
                await asyncio.sleep(60)
            if fault == "cut_within":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
                await writer.drain()
            return fault.isdigit() and await self.send(writer, int(fault), {"error": {"message": "busy"}})
        # Slots are exact: late timers of this process do not lower what they can do.
        done_s = max(time.monotonic(), self.free_at_s[0]) + self.b.latency_s
        heapq.heapreplace(self.free_at_s, done_s)
        await asyncio.sleep(done_s - time.monotonic())
        well = self.answers < self.b.well_for
        if self.b.status != 200 and not well:
            return await self.send(writer, self.b.status, {"error": {"message": "I do not like it"}})
        own_text = "" if well else self.b.text
        url = "" if own_text else json.loads(body)["messages"][-1]["content"][0]["image_url"]["url"]
        text = own_text or sentence(url)
        message = {"role": "assistant", "content": text, "refusal": self.b.refusal or None}
        usage = {"prompt_tokens": 300, "completion_tokens": len(text.split())}
        choice = {"message": message, "finish_reason": "stop" if well else self.b.finish_reason}
        self.note({"answer": url})
        content = {"choices": [choice], "usage": usage} | self.b.answer
        await self.send(writer, 200, self.b.body.encode() * self.b.body_times if self.b.body and not well else content)
        self.answers += 1
        if self.answers == self.b.die_after:
            sys.stderr.write("CUDA error: the stub dies\n")
            os._exit(3)
        return True

    async def send(self, writer, status, content, headers=""):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers += f"{self.b.headers}\r\n" if self.b.headers else ""
        if self.b.compressed and isinstance(content, bytes):
            data, headers = gzip.compress(data), headers + "Content-Encoding: gzip\r\n"
        writer.write(f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        await writer.drain()
        return True

    def note(self, row):
        if self.record:
            self.record.write(json.dumps(row) + "\n")


@contextmanager
def running(behaviour):
    """A stub in its own process; yields its base URL."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", __name__, *arguments(behaviour), "--port", str(port)], cwd=ROOT)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def arguments(behaviour):
    return ["--behaviour", json.dumps(asdict(behaviour))]


def fake_python(folder, behaviour):
    """An "interpreter" that runs the stub whatever module it is asked to run, as if it were vLLM."""
    path = folder / "python"
    command = " ".join(f"'{word}'" for word in [sys.executable, "-m", __name__, *arguments(behaviour)])
    path.write_text(f'#!/bin/sh\ncd {ROOT}\nshift 2\nexec {command} --key="$VLLM_API_KEY" "$@"\n')
    path.chmod(0o755)
    return str(path)


def records(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()] if Path(path).exists() else []


def answered(path):
    """Pictures answered about, one entry for each answer."""
    return [row["answer"] for row in records(path) if "answer" in row]


def wait_for(port):
    end = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            assert time.monotonic() < end, "the stub does not come up"
            time.sleep(0.02)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--behaviour", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", default="")
    args, _ = parser.parse_known_args()
    behaviour = Behaviour(**json.loads(args.behaviour))
    behaviour.key = behaviour.key or args.key
    if behaviour.fail_at_start:
        sys.stderr.write("loading weights\n" + behaviour.fail_at_start + "\n")
        sys.exit(1)
    if behaviour.helper:
        helper = subprocess.Popen(["sleep", "1000"])
        Path(behaviour.helper).write_text(str(helper.pid))
    await asyncio.sleep(behaviour.start_s)
    server = await asyncio.start_server(Stub(behaviour).connection, "127.0.0.1", args.port, limit=2**24, backlog=2000)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
