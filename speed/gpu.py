"""All that a GPU should be timed for, in one call on a fresh machine: the scripts beside this one, then a table.

    python speed/gpu.py                      # on the GPU, some ten minutes
    python speed/gpu.py --device cpu --quick # whether the scripts run

Each script runs in a process of its own and prints what it prints; one that fails leaves its figures out and the status
of this one is 1. A figure that has a goal stands beside it: of one H100, base encoder, batches of 512.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

FOLDER = Path(__file__).parent
WHOLE = {
    "grouping.py": [],
    "training.py": [],
    "embedding.py": ["--pictures", "8192", "--workers", "12", "--rounds", "3"],
    "evaluation.py": ["--clouds", "32768"],
}
QUICK = {
    "grouping.py": ["--cad", "1", "--lidar", "8", "--model", "tiny", "--repeats", "1"],
    "training.py": ["--preset", "tiny", "--steps", "1", "--batch-size", "4", "--max-points", "1024"]
    + ["--max-patches", "64", "--reference-batch-size", "2", "--workers", "0"],
    "embedding.py": ["--model", "ViT-B-32", "--pictures", "2", "--rounds", "1"],
    "evaluation.py": ["--model", "narrow", "--clouds", "8", "--repeats", "1"],
}
GOALS = {
    "training, 15% LiDAR, grouping of step": (False, 0.15),
    "training, 15% LiDAR, MFU": (True, 0.4),
    "training, 15% LiDAR, x reference": (True, 10),
    "training, LiDAR alone, samples/s": (True, 20_000),
    "encoding, LiDAR clouds/s": (True, 50_000),
}
"""Whether a figure shall be at least or at most its goal, and the goal."""


def main() -> int:
    """Run the scripts, print the table; return 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="as little as shows that the scripts run")
    args = parser.parse_args()
    on_gpu = args.device.startswith("cuda")
    if on_gpu and not torch.cuda.is_available():
        print("torch finds no GPU: give --device cpu to see whether the scripts run")
        return 1
    found: dict[str, float] = {}
    failed = []
    for script, arguments in (QUICK if args.quick else WHOLE).items():
        print(f"\n== {script} {' '.join(arguments)}", flush=True)
        figures = run(script, [*arguments, "--device", args.device])
        failed += [script] if figures is None else []
        found |= figures or {}
    name = torch.cuda.get_device_name() if on_gpu else "cpu"
    print(f"\n{name}, torch {torch.__version__}\n\n| what | reached | goal |\n| --- | --- | --- |")
    for figure, value in found.items():
        print(f"| {figure} | {value:,.3g} | {goal_of(figure, value) if on_gpu else ''} |")
    print("".join(f"\n{script} failed" for script in failed))
    return int(bool(failed))


def run(script: str, arguments: list[str]) -> dict[str, float] | None:
    """The figures of a script; None where it failed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        done = subprocess.run([sys.executable, str(FOLDER / script), *arguments, "--figures", str(path)])
        return json.loads(path.read_text()) if done.returncode == 0 else None


def goal_of(figure: str, value: float) -> str:
    """The goal of a figure, and whether it is reached."""
    if figure not in GOALS:
        return ""
    at_least, goal = GOALS[figure]
    return f"{'>=' if at_least else '<='} {goal:,g}, {'reached' if (value >= goal) == at_least else 'missed'}"


if __name__ == "__main__":
    sys.exit(main())
