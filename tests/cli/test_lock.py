"""A results folder belongs to one run at a time."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from blendclip.cli.lock import hold
from blendclip.errors import UserError

HOLDER = """
import sys, time
from pathlib import Path
from blendclip.cli.lock import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def holder(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_told_who_has_the_folder_and_a_killed_one_leaves_it(tmp_path):
    folder = tmp_path / "results"
    process = holder(folder)
    try:
        with pytest.raises(UserError, match=rf"results is being written to by process {process.pid} on \S+: wait for"):
            hold(folder)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    after = holder(folder)
    after.kill()
    after.wait()


def test_a_folder_that_cannot_be_written_needs_no_lock(tmp_path, monkeypatch):
    def refuse(path, *_):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(os, "open", refuse)
    hold(tmp_path)
    assert not list(tmp_path.iterdir())
