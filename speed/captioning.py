"""Captioning by a model: how full the server is kept, what a request costs us, and how fast the cache answers.

    python speed/captioning.py

The server is a stub in its own process that works on 64 requests at once, 50 ms each: 1,280 answers a second is all it
can give. The client, with hashing of crops, requests, answers and cache, has one core.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from blendclip.mining.captions.choice import choose_views
from blendclip.mining.captions.client import ClientOptions
from blendclip.mining.captions.model import ModelCaptioner
from blendclip.mining.captions.progress import merged
from blendclip.mining.captions.prompts import ChatPrompt
from blendclip.mining.captions.servers import EndpointServer
from tests.mining.captions.conftest import PROMPT, view, write_views
from tests.mining.captions.stub import Behaviour, running

LATENCY_S, SLOTS = 0.05, 64
SAID = "A small silver car with dark windows and a dented left door, parked."
CROP_BYTES = 15_000  # of a nuScenes crop of 150 x 100 px at quality 95


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int, default=100_000)
    parser.add_argument("--asked", type=int, default=25_000, help="views that the stub is asked about")
    parser.add_argument("--max-in-flight", type=int, default=128)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="  %(message)s")
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = views_of(folder / "asked.parquet", args.asked)
        with running(Behaviour(latency_s=LATENCY_S, slots=SLOTS, text=SAID)) as url:
            os.sched_setaffinity(0, {cores[-1]})  # the stub, started before, keeps them all
            measure_asking(asked, url, folder, args.max_in_flight)
        with running(Behaviour(slots=10_000, text=SAID)) as url:
            measure_overhead(asked, url, folder, args.max_in_flight)
        measure_cache(folder, args.views)


def views_of(path: Path, count: int) -> Path:
    """A Parquet file of views with pictures of their own, of a usual size (their bytes are padded)."""
    pictures = [view(number) for number in range(64)]
    rows = (numbered(pictures[number % 64], number) for number in range(count))
    return write_views(path, list(rows), row_group=500)


def numbered(row: dict, number: int) -> dict:
    """The view with a picture that has this number and noise behind its end."""
    noise = np.random.default_rng(number).bytes(CROP_BYTES - len(row["image"]["bytes"]))
    return row | {
        "view_id": f"{row['view_id']}/{number}",
        "instance_token": f"instance{number // 40}",
        "image": {"bytes": row["image"]["bytes"] + noise, "path": row["image"]["path"]},
    }


def captioner(url: str, cache: Path, max_in_flight: int) -> ModelCaptioner:
    """One that asks the stub."""
    options = ClientOptions(max_in_flight=max_in_flight)
    return ModelCaptioner("stub", ChatPrompt.read(PROMPT), lambda: EndpointServer(url), cache, options)


def measure_asking(views: Path, url: str, folder: Path, max_in_flight: int) -> None:
    """The share of the stub's slots that is used from the first to the last request."""
    chosen = choose_views(views, None)
    asker = captioner(url, folder / "asking.sqlite", max_in_flight)
    cpu_s = processor_s()
    asker.prepare([chosen])
    cpu_s = processor_s() - cpu_s
    busy_s = sum(end - start for start, end in merged(asker.statistics(chosen)["busy_s"]))
    per_s, most_per_s = len(chosen) / busy_s, SLOTS / LATENCY_S
    print(f"asking about {len(chosen):,} crops of {CROP_BYTES / 1000:.0f} kB, {max_in_flight} in flight, one core")
    used = per_s / most_per_s
    print(f"  {per_s:,.0f} answers a second of {most_per_s:,.0f} possible = {used:.1%} of the slots' capacity")
    print(f"  processor time: {cpu_s / len(chosen) * 1e3:.3f} ms a request")


def measure_overhead(views: Path, url: str, folder: Path, max_in_flight: int) -> None:
    """The most that the client can do, against a stub that answers at once."""
    chosen = choose_views(views, None)
    asker = captioner(url, folder / "overhead.sqlite", max_in_flight)
    cpu_s = processor_s()
    asker.prepare([chosen])
    seconds = sum(end - start for start, end in merged(asker.statistics(chosen)["busy_s"]))
    cpu_s = processor_s() - cpu_s
    each_ms = cpu_s / len(chosen) * 1e3
    print(f"against a server without latency: {len(chosen) / seconds:,.0f} a second, {each_ms:.3f} ms each")


def measure_cache(folder: Path, count: int) -> None:
    """Seconds until views that all are in the cache have their captions."""
    views, cache = views_of(folder / "views.parquet", count), folder / "cached.sqlite"
    with running(Behaviour(slots=10_000, text=SAID)) as url:
        captioner(url, cache, 256).prepare([choose_views(views, None)])
    start = time.perf_counter()
    asker = captioner("http://127.0.0.1:9/v1", cache, 1)
    chosen = choose_views(views, None)
    asker.prepare([chosen])
    found = sum(1 for _ in asker.outcomes(chosen))
    print(f"{found:,} cached views resolve in {time.perf_counter() - start:.1f} s")


def processor_s() -> float:
    """Processor time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
