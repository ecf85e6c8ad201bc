"""Machines that find each other: by SLURM's variables, by hand, over a network of two namespaces."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from blendclip.errors import UserError
from blendclip.training import launching
from blendclip.training.launching import Rendezvous, address_towards, is_here, rendezvous_of, wait_for
from blendclip.training.metrics_log import read_metrics_log
from tests.training import toy

SLURM = {"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": "gpu[07-08]", "SLURM_JOB_ID": "4711", "SLURM_NODEID": "0"}
FIRST, SECOND = "10.213.7.1", "10.213.7.2"


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """SLURM's command that spells out lists of machines."""
    path = tmp_path / "scontrol"
    path.write_text('#!/bin/sh\n[ "$*" = "show hostnames gpu[07-08]" ] && printf "gpu07\\ngpu08\\n"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_under_srun_the_first_machine_of_the_step_is_met(scontrol):
    assert rendezvous_of(2, None, SLURM) == Rendezvous(2, "gpu07", 34211, "4711", True)
    assert not rendezvous_of(2, None, SLURM | {"SLURM_NODEID": "1"}).is_first


def test_srun_is_asked_for_once_in_a_job():
    assert launching.is_outside_of_steps({"SLURM_JOB_ID": "4711"})
    assert not launching.is_outside_of_steps(SLURM) and not launching.is_outside_of_steps({})


def test_by_hand_it_is_said(scontrol):
    assert rendezvous_of(3, "localhost", {}) == Rendezvous(3, "localhost", 29500, "blendclip", True)
    elsewhere = rendezvous_of(2, "192.0.2.7:12345", SLURM)
    assert elsewhere.port == 12345 and not elsewhere.is_first


@pytest.mark.parametrize(
    ("endpoint", "environment", "sentence"),
    [
        (None, {}, "--nodes is 2, but srun started this on no machines: start it by"),
        (None, SLURM | {"SLURM_STEP_NUM_NODES": "4"}, "but srun started this on 4 machines"),
        ("node1:port", {}, "write HOST:PORT"),
        (":29500", {}, "write HOST:PORT"),
    ],
)
def test_what_says_no_place_is_a_sentence(endpoint, environment, sentence):
    with pytest.raises(UserError, match=sentence):
        rendezvous_of(2, endpoint, environment)


def test_a_machine_knows_its_own_addresses():
    assert is_here("127.0.0.1") and is_here("localhost") and not is_here("192.0.2.7")
    assert address_towards("127.0.0.1") == "127.0.0.1"
    with pytest.raises(UserError, match="the machine nowhere.invalid is not known here"):
        is_here("nowhere.invalid")


def test_it_waits_for_the_first_machine_and_not_for_ever():
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        with pytest.raises(UserError, match=f"nothing has listened at 127.0.0.1:{port} for 0 s"):
            wait_for("127.0.0.1", port, 0.0)
        threading.Timer(0.5, server.listen).start()
        before = time.monotonic()
        wait_for("127.0.0.1", port, 60.0)
        assert 0.5 < time.monotonic() - before < 10


@pytest.fixture
def machines():
    """Two namespaces that share a network, as prefixes of commands that run in them."""
    name = f"bc{os.getpid()}"
    spaces = [f"{name}a", f"{name}b"]
    if not shutil.which("ip") or subprocess.run(["ip", "netns", "add", spaces[0]], capture_output=True).returncode:
        pytest.skip("no right to make networks")
    ends = [f"v{space}" for space in spaces]
    lines = [f"netns add {spaces[1]}", f"link add {ends[0]} type veth peer name {ends[1]}"]
    for space, end, address in zip(spaces, ends, (FIRST, SECOND), strict=True):
        lines += [f"link set {end} netns {space}"]
        lines += [f"-n {space} {line}" for line in ("link set lo up", f"link set {end} name eth9")]
        lines += [f"-n {space} {line}" for line in (f"addr add {address}/24 dev eth9", "link set eth9 up")]
    try:
        for line in lines:
            subprocess.run(["ip", *line.split()], check=True)
        yield [["ip", "netns", "exec", space] for space in spaces]
    finally:
        for space in spaces:
            subprocess.run(["ip", "netns", "del", space], check=False)


@pytest.mark.slow
def test_two_machines_train_as_one_and_a_killed_one_comes_back(results, tmp_path, machines):
    recipe, output = toy.write_recipe(tmp_path / "recipe.json"), tmp_path / "run"
    command = toy.command(recipe, results, output, "--nodes", "2", "--rendezvous", f"{FIRST}:29511")
    environment = toy.environment() | {"GLOO_SOCKET_IFNAME": "eth9"}

    def start(machine):
        log = (tmp_path / f"{len(list(tmp_path.iterdir()))}.log").open("w+")
        run = [*machines[machine], *command]
        process = subprocess.Popen(run, env=environment, stdout=log, stderr=log)
        return process, log

    def said(log):
        log.seek(0)
        return log.read()

    second = start(1)
    until(lambda: f"waiting for the first machine at {FIRST}:29511" in said(second[1]))
    first = start(0)
    until(lambda: "step 5/20" in said(first[1]))
    pids = subprocess.run(["ip", "netns", "pids", machines[1][-1]], capture_output=True, text=True, check=True).stdout
    for pid in map(int, pids.split()):
        os.kill(pid, signal.SIGKILL)
    second[0].wait()
    assert first[0].wait(60) == 1, said(first[1])
    assert "waiting for 1 more of 2 machines" in said(first[1])
    assert "lost another one" in said(first[1]) and "run the same command on all hosts" in said(first[1])
    again = [start(machine) for machine in (0, 1)]
    assert [process.wait(120) for process, _ in again] == [0, 0], [said(log) for _, log in again]
    assert "going on from" in said(again[0][1])

    status, printed = toy.train(recipe, results, tmp_path / "one")
    assert status == 0, printed
    ours, theirs = (read_metrics_log(folder / "log.jsonl") for folder in (output, tmp_path / "one"))
    losses = [[entry["loss"] for entry in entries if "loss" in entry] for entries in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4) and len(losses[0]) == 20


def until(happened, seconds=120):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.1)


GROUP = """
import os, signal, sys, time
from datetime import timedelta
from blendclip.training import distributed
from blendclip.errors import UserError
distributed._PATIENCE, distributed._BEAT_S = timedelta(seconds=4), 0.5
try:
    with distributed.training_group() as group:
        group.led(lambda: time.sleep(9))
        print("measured", flush=True)
        if group.leads:
            os.kill(os.getpid(), signal.SIGSTOP)
        group.led(lambda: None)
except UserError as error:
    print(error, flush=True)
"""


@pytest.mark.slow
def test_the_others_wait_for_one_that_works_and_notice_one_that_is_gone():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": "2"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", GROUP],
            env=toy.environment() | place | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        printed, _ = both[1].communicate(timeout=90)
    finally:
        both[0].kill()
        both[0].communicate()
    measured, sentence = printed.splitlines()
    assert measured == "measured", "work that took longer than the patience"
    assert sentence.startswith("process 1 of 2 lost another one (") and "imed out" in sentence
