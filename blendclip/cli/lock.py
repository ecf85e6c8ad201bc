"""One run of the workflow at a time in a results folder."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path

from blendclip.errors import UserError

_NAME = ".lock"
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


def hold(results: Path) -> None:
    """Keep a results folder to this process until it ends, however it ends; where nothing can be written, do nothing.

    The lock is the kernel's (flock), so that a killed run leaves none behind.

    Raises:
        UserError: another process has it.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(results / _NAME, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if error.errno in _READ_ONLY:
            return
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
        os.close(descriptor)
        raise UserError(
            f"{results} is being written to by {holder}: wait for it, stop it, or set `results` to another folder"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())  # it stays open
