"""Servers that we start: ready or dead with a reason, and nothing left behind however it ends."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from blendclip.errors import UserError
from blendclip.mining.captions.servers import VLLMServer
from blendclip.mining.options import VLLMOptions
from tests.mining.captions.conftest import PROMPT, part, rows_of, view
from tests.mining.captions.stub import ROOT, Behaviour, answered, fake_python, records


def server(folder, behaviour=None, **options):
    behaviour = replace(behaviour or Behaviour(), helper=str(folder / "helper"), record=str(folder / "record"))
    return VLLMServer(
        "stub", VLLMOptions(python=fake_python(folder, behaviour), **options), folder / "logs" / "vllm.log"
    )


def processes_of(folder):
    """Processes whose command line names the folder, and the stub's helper; a dead one has no command line."""
    helper = folder / "helper"
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in command or (helper.exists() and command and path.parent.name == helper.read_text()):
            found.append(int(path.parent.name))
    return found


def gone(folder, within_s=15):
    end = time.monotonic() + within_s
    while processes_of(folder) and time.monotonic() < end:
        time.sleep(0.05)
    return not processes_of(folder)


def wait_until(condition, within_s=20):
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_server_is_up_inside_and_gone_with_its_helpers_after(tmp_path):
    with server(tmp_path, Behaviour(start_s=0.5)) as running:
        assert running.base_url.startswith("http://127.0.0.1:")
        assert len(processes_of(tmp_path)) >= 2
        running.check()
    assert gone(tmp_path, within_s=1)
    running.stop()  # twice is fine


def test_a_failure_inside_ends_the_server(tmp_path):
    with pytest.raises(KeyboardInterrupt), server(tmp_path):
        raise KeyboardInterrupt
    assert gone(tmp_path, within_s=1)


def test_a_server_that_dies_while_starting_says_why_at_once(tmp_path):
    start = time.monotonic()
    with (
        pytest.raises(UserError, match=r"did not start; the last lines of its log .*\n(.*\n)*.*no GPU found"),
        server(tmp_path, Behaviour(fail_at_start="no GPU found"), start_timeout_s=60),
    ):
        pass
    assert time.monotonic() - start < 10
    assert gone(tmp_path, within_s=1)


def test_a_server_that_never_is_ready_is_given_up(tmp_path):
    with (
        pytest.raises(UserError, match="not ready within 1 s"),
        server(tmp_path, Behaviour(start_s=60), start_timeout_s=1),
    ):
        pass
    assert gone(tmp_path, within_s=1)


def test_an_environment_without_vllm_or_without_python_is_one_clear_sentence(tmp_path):
    with pytest.raises(UserError, match="no vLLM environment .*blendclip vllm-env"):
        VLLMServer("stub", VLLMOptions(python=str(tmp_path / "nothing")), tmp_path / "log")
    options = VLLMOptions(python=sys.executable)
    with (
        pytest.raises(UserError, match="did not start.*\n(.*\n)*.*No module named 'vllm'"),
        VLLMServer("stub", options, tmp_path / "log"),
    ):
        pass


def status(url, headers):
    """The status of a server's list of models."""
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/models", headers=headers), timeout=20) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_server_of_ours_answers_nobody_without_its_key_which_is_written_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", "of somebody's shell")
    with server(tmp_path) as first:
        assert status(first.base_url, {}) == 401
        assert status(first.base_url, {"Authorization": "Bearer of somebody's shell"}) == 401
        assert status(first.base_url, first.headers) == 200
        key = first.headers["Authorization"].removeprefix("Bearer ")
        assert len(key) >= 32
        supervised = Path(f"/proc/{supervisor_of(tmp_path)}/cmdline").read_bytes()
        assert b"--served-model-name" in supervised and key.encode() not in supervised
    assert key.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    with server(tmp_path) as second:
        assert second.headers != first.headers and status(second.base_url, first.headers) == 401


@pytest.mark.parametrize("argument", ["--api-key", "--api-key=mine", "--api_key"])
def test_a_key_among_the_arguments_is_one_clear_sentence(tmp_path, argument):
    with pytest.raises(UserError, match="^caption.vllm.arguments has --api-key: leave it out"):
        server(tmp_path, arguments=(argument,))


def supervisor_of(folder):
    """The process that leads the group of the server."""
    (leader,) = [number for number in processes_of(folder) if os.getpgid(number) == number]
    return leader


def test_the_death_of_the_supervisor_ends_the_server_and_its_helpers(tmp_path):
    with server(tmp_path) as running:
        os.kill(supervisor_of(tmp_path), signal.SIGKILL)
        assert gone(tmp_path, within_s=5)
        with pytest.raises(UserError, match="vLLM ended before its work was done"):
            running.check()


def test_job_and_supervisor_killed_together_leave_no_process(tmp_path):
    job = Job(tmp_path, Behaviour(latency_s=0.03))
    wait_until(lambda: answered(tmp_path / "record"))
    group = os.getpgid(int((tmp_path / "helper").read_text()))
    for number in (job.process.pid, group):
        os.kill(number, signal.SIGKILL)
    job.end()
    assert gone(tmp_path, within_s=5)


class Job:
    """`blendclip caption` with a server of its own, in another process."""

    def __init__(self, folder, behaviour, views=300):
        self.folder, self.record = folder, folder / "record"
        path = folder / "views" / "part-00000.parquet"
        self.files = part(folder, 0, [view(number) for number in range(views)]) if not path.exists() else None
        behaviour = replace(behaviour, record=str(self.record), helper=str(folder / "helper"))
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "blendclip", "caption", "--backend", "vllm", "--model", "stub"),
                *("--vllm-python", fake_python(folder, behaviour), "--views", path, "--prompt", PROMPT),
                *("--output", folder / "captions", "--rejects", folder / "rejects", "--cache", folder / "cache.sqlite"),
                *("--server-log", folder / "vllm.log", "--max-in-flight", "8"),
            ],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background jobs ignore
            cwd=ROOT,
        )

    def end(self):
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors

    @property
    def captions(self):
        return rows_of(self.folder / "captions" / "part-00000.parquet")


def test_a_server_that_dies_in_the_middle_fails_the_job_with_its_last_words(tmp_path):
    status, errors = Job(tmp_path, Behaviour(die_after=100, latency_s=0.01)).end()
    assert status == 1
    assert "vLLM ended before its work was done; the last lines of its log" in errors
    assert "CUDA error: the stub dies" in errors and "Traceback" not in errors
    assert gone(tmp_path, within_s=1)
    first = answered(tmp_path / "record")
    (tmp_path / "record").unlink()

    again = Job(tmp_path, Behaviour())
    assert again.end()[0] == 0
    assert len(again.captions) == 300
    second = answered(tmp_path / "record")
    assert len(set(first) & set(second)) <= 8  # at most what was on its way
    assert len(set(first) | set(second)) == 300 and len(second) == len(set(second)) <= 208


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_job_leaves_no_process_and_its_rerun_asks_for_the_rest(tmp_path, number):
    job = Job(tmp_path, Behaviour(latency_s=0.03))
    wait_until(lambda: len(answered(tmp_path / "record")) > 50)
    job.process.send_signal(number)
    status, errors = job.end()
    assert status == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in errors
    assert gone(tmp_path)
    first = answered(tmp_path / "record")
    (tmp_path / "record").unlink()

    again = Job(tmp_path, Behaviour())
    assert again.end()[0] == 0
    assert len(again.captions) == 300
    second = answered(tmp_path / "record")
    assert len(set(first) & set(second)) <= 8
    assert len(set(first) | set(second)) == 300 and len(second) == len(set(second))

    (tmp_path / "record").unlink()
    before = (tmp_path / "captions" / "part-00000.parquet").read_bytes()
    full = Job(tmp_path, Behaviour())
    assert full.end()[0] == 0
    assert records(tmp_path / "record") == []  # nothing was missing, so not even a server was started
    assert (tmp_path / "captions" / "part-00000.parquet").read_bytes() == before


def test_a_disk_without_room_is_one_clear_sentence(tmp_path):
    """On a real file system that is full."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "none", small], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        job = Job(tmp_path, Behaviour())
        job.end()
        (tmp_path / "cache.sqlite").unlink()
        command = [str(word) for word in job.process.args]
        command[command.index("--cache") + 1] = str(small / "cache.sqlite")
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    finally:
        subprocess.run(["umount", "-l", small], check=True)
    assert done.returncode == 1
    assert "cache.sqlite cannot be used" in done.stderr and "Traceback" not in done.stderr
    assert gone(tmp_path)
