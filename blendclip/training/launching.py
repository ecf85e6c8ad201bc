"""How processes that train together are started: by `torchrun`, on one machine or on several, with SLURM or by hand."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from blendclip.errors import UserError

log = logging.getLogger(__name__)
PORT = 29500
_WAIT_S = 1800
_AGAIN_S = 1.0
_MOST_PORTS = 10000
_FORWARDED = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
_STOP_WITHIN_S = "600"  # a checkpoint of a large model takes longer than the 30 s that `torchrun` gives it


@dataclass(frozen=True)
class Rendezvous:
    """Where the machines of a run find each other."""

    machines: int
    """Number of machines."""
    host: str
    """Name or address of the first."""
    port: int
    """Of the first, where the others ask."""
    name: str
    """Of the run, the same on all machines."""
    is_first: bool
    """Whether this machine is the first."""


def is_outside_of_steps(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is in a job of SLURM, but not in a step of it that `srun` started."""
    return "SLURM_JOB_ID" in environment and "SLURM_STEP_NUM_NODES" not in environment


def become_srun(arguments: Sequence[str], machines: int) -> None:
    """Turn this process into an `srun` that runs `blendclip` with arguments once on each machine of a job of SLURM."""
    tasks = ["--nodes", str(machines), "--ntasks", str(machines), "--ntasks-per-node", "1", "--cpu-bind", "none"]
    os.execvp("srun", ["srun", *tasks, sys.executable, "-m", "blendclip", *arguments])


def rendezvous_of(machines: int, endpoint: str | None, environment: Mapping[str, str] = os.environ) -> Rendezvous:
    """Where machines meet: at `endpoint`, HOST or HOST:PORT, or by what `srun` says in the environment.

    Raises:
        UserError: neither says where, or the endpoint is none, or of a machine that is not known here.
    """
    if endpoint is not None:
        host, _, port = endpoint.partition(":")
        if not host or not (port or str(PORT)).isdecimal():
            raise UserError(f"--rendezvous is {endpoint!r}: write HOST:PORT of the first machine")
        return Rendezvous(machines, host, int(port or PORT), "blendclip", is_here(host))
    started = int(environment.get("SLURM_STEP_NUM_NODES", "0"))
    if started != machines:
        raise UserError(
            f"--nodes is {machines}, but srun started this on {started or 'no'} machines: start it by `srun --nodes "
            f"{machines} --ntasks-per-node 1`, or say --rendezvous HOST:PORT of the first machine on each of them"
        )
    job = environment["SLURM_JOB_ID"]
    first, number = _first_host(environment["SLURM_STEP_NODELIST"]), environment["SLURM_NODEID"]
    return Rendezvous(machines, first, PORT + int(job) % _MOST_PORTS, job, number == "0")


def _first_host(nodes: str) -> str:
    """The first of SLURM's list of machines, such as gpu[07-09]."""
    done = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
    return done.stdout.split()[0]


def become_torchrun(arguments: Sequence[str], processes: int, meeting: Rendezvous | None = None) -> None:
    """Turn this process into a `torchrun` that runs `blendclip` with arguments in several processes.

    Args:
        arguments: of each.
        processes: on this machine.
        meeting: where the machines of the run find each other; None where there is but this one.

    Raises:
        UserError: the first machine does not come.
    """
    where = ["--standalone"] if meeting is None else _meet(meeting)
    settings = {"PET_SIGNALS_TO_HANDLE": _FORWARDED, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": _STOP_WITHIN_S}
    command = ["-m", "torch.distributed.run", *where, f"--nproc-per-node={processes}", "-m", "blendclip", *arguments]
    os.execve(sys.executable, [sys.executable, *command], {**settings, **os.environ})


def _meet(meeting: Rendezvous) -> list[str]:
    """Options of `torchrun` for a machine among several; where it is not the first, wait for that one."""
    log.info(
        "waiting for %s at %s:%d, up to %d minutes",
        f"{meeting.machines - 1} more of {meeting.machines} machines" if meeting.is_first else "the first machine",
        *(meeting.host, meeting.port, _WAIT_S // 60),
    )
    if not meeting.is_first:
        wait_for(meeting.host, meeting.port)
    return [
        f"--nnodes={meeting.machines}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={meeting.host}:{meeting.port}",
        f"--rdzv-id={meeting.name}",
        f"--local-addr={address_towards(meeting.host)}",  # names of machines may be known to themselves alone
        f"--rdzv-conf=is_host={int(meeting.is_first)},join_timeout={_WAIT_S}",
    ]


def is_here(host: str) -> bool:
    """Whether a name or an address is of this machine.

    Raises:
        UserError: nobody knows the name.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise UserError(f"the machine {host} is not known here ({error}): say --rendezvous ADDRESS:PORT") from None
    with closing(socket.socket(family, kind, protocol)) as probe:
        try:
            probe.bind(address)
        except OSError:
            return False
        return True


def address_towards(host: str) -> str:
    """The address of this machine in the network in which `host` is."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, PORT, type=socket.SOCK_DGRAM)[0]
    with closing(socket.socket(family, kind, protocol)) as probe:
        probe.connect(address)  # of datagrams nothing is sent
        return str(probe.getsockname()[0])


def wait_for(host: str, port: int, patience_s: float = _WAIT_S) -> None:
    """Wait until something listens at a port.

    Raises:
        UserError: nothing does for `patience_s`.
    """
    end_s = time.monotonic() + patience_s
    while True:
        try:
            socket.create_connection((host, port), timeout=10).close()
            return
        except OSError as error:
            if time.monotonic() > end_s:
                raise UserError(
                    f"nothing has listened at {host}:{port} for {patience_s:.0f} s ({error}): start the first machine"
                ) from None
        time.sleep(_AGAIN_S)
