"""Files that a dataset names: what stands under such a name may be a pipe or a device, which never ends."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotPlainError(OSError):
    """A pipe, a socket or a device stands where a file is expected; reading it might wait for ever."""


def check_plain(path: Path) -> int:
    """Refuse what is neither a file nor a folder, before it is opened; return its size in bytes.

    Raises:
        NotPlainError: it is a pipe, a socket or a device.
        OSError: nothing is there, or it cannot be looked at.
    """
    about = path.stat()
    kind = _KINDS.get(stat.S_IFMT(about.st_mode))
    if kind is not None:
        raise NotPlainError(errno.EINVAL, f"it is {kind}, not a file", str(path))
    return about.st_size
