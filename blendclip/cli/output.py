"""What a command prints, kept in a file too."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
_LAST_WORDS_S = 5.0


def copy_output(path: Path) -> None:
    """Have all that this process and its children print from now on stand on stdout and in a file.

    A `tee` does it that outlives the signals which a cluster sends to all processes of a job: a pipe to one of the
    shell's would break under a command that is about to stop in order.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.open("wb").close()  # `tee` would complain, and go on
    tee = subprocess.Popen(
        ["tee", "-p", path], stdin=subprocess.PIPE, start_new_session=True, preexec_fn=_ignore_signals
    )
    assert tee.stdin is not None
    for stream in (1, 2):
        os.dup2(tee.stdin.fileno(), stream)
    tee.stdin.close()
    atexit.register(_finish, tee)


def _ignore_signals() -> None:
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)


def _finish(tee: subprocess.Popen[bytes]) -> None:
    """Wait until the file is whole, a traceback included, before this process is seen to have ended."""
    with suppress(OSError):
        sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    with suppress(subprocess.TimeoutExpired):  # a child of ours may print on
        tee.wait(_LAST_WORDS_S)
