"""Options of what is measured. Loads no torch: planning a run stays quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from blendclip.encoders.clip_names import ClipOptions
from blendclip.options import Options
from blendclip.ranges import Axis


@dataclass(frozen=True)
class MeasuredModel(Options):
    """A model to measure as it is, without a training step."""

    path: Path
    """Folder of a model or a run, its .safetensors file, or a checkpoint of Point-BERT, ULIP, ULIP-2 or BlendCLIP."""
    up: Axis | None = None
    """Axis that points up for its encoder; by default what its files say: y for ULIP and ULIP-2, else z."""
    clip: ClipOptions | None = None
    """The CLIP that it is aligned to; by default that of `clip`."""
