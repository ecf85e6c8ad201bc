"""What the scripts that time things share: a clock that waits for the device, and figures for `gpu.py` to collect."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

PEAK_TFLOPS = {"H100": 989, "H200": 989, "A100": 312}
"""Of dense matrix products in bfloat16, by a word of the GPU's name, as its maker says for SXM."""


def add_arguments(parser: argparse.ArgumentParser) -> bool:
    """Add `--device` and `--figures`; return whether there is a GPU."""
    on_gpu = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--figures", type=Path, help="JSON file to write the figures to")
    return on_gpu


def write(path: Path | None, figures: dict[str, float]) -> None:
    """Write figures by name, where a file was asked for."""
    if path:
        path.write_text(json.dumps(figures))


def wait(device: torch.device) -> None:
    """Until the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clock(device: torch.device) -> Callable[[], float]:
    """Seconds: of this process on a CPU, so that what else runs counts little; on a GPU those that pass."""
    return time.process_time if device.type == "cpu" else time.perf_counter


def milliseconds(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Median time of `work` until the device has done it, after one run that is not counted."""
    took = []
    for _ in range(repeats + 1):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        took.append(1000 * (time.perf_counter() - start))
    return statistics.median(took[1:])


def named(device: torch.device) -> str:
    """The name of a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def peak_tflops(device: torch.device) -> float | None:
    """What the device could do at most, where it is known."""
    return next((peak for word, peak in PEAK_TFLOPS.items() if word in named(device)), None)
