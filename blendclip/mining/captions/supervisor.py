"""Runs a server for as long as its owner lives: `python supervisor.py COMMAND ...`, of the standard library alone.

The owner holds the other end of standard input. When that closes, because the owner is done or because it was killed,
the whole process group of this process ends: the server, and whatever the server started. It ends likewise with the
server itself, and with this process, even where a SIGKILL ends it: a guard, forked from it, holds the end of a pipe
that closes then. The owner must start it as the leader of a new session.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

_LOOK_EVERY_S = 0.1
_GRACE_S = 10.0


def supervise(command: list[str]) -> None:
    """Run the command until it ends or standard input closes, then kill the group, this process included."""
    _fork_guard()
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        while server.poll() is None and not _owner_is_gone():
            pass
        if server.returncode is None:
            server.terminate()  # it ends its own processes in order; those that stay are killed below
            _wait(server)
        else:
            sys.stderr.write(f"the server ended with status {server.returncode}\n")
            sys.stderr.flush()
    finally:
        os.killpg(0, signal.SIGKILL)


def _fork_guard() -> None:
    """Start a process that kills the group once this process is dead."""
    watched, held = os.pipe()  # `held` is open in this process alone, and for as long as it lives
    if os.fork():
        os.close(watched)
        return
    os.close(held)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):  # as sent to a whole group
        signal.signal(number, signal.SIG_IGN)
    os.read(watched, 1)
    os.killpg(0, signal.SIGKILL)


def _owner_is_gone() -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], _LOOK_EVERY_S)
    return bool(readable) and not os.read(sys.stdin.fileno(), 1)


def _wait(server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _GRACE_S
    while server.poll() is None and time.monotonic() < end:
        time.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    supervise(sys.argv[1:])
