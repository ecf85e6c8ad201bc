"""What a CLIP is called and which local files it is read from. Loads no torch, so that planning a run stays quick."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from blendclip.errors import UserError
from blendclip.options import Options
from blendclip.ranges import Text

TINY = "tiny"
TINY_FOLDER = Path(__file__).with_name("tiny_clip")
CONFIG_FILE = "open_clip_config.json"
LOCAL_FOLDER, HUB = "local-dir:", "hf-hub:"  # open_clip's own words
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz")


@dataclass(frozen=True)
class ClipOptions(Options):
    """The frozen CLIP that embeds views and captions."""

    model: Text = "tiny"
    """tiny, which comes with the package and serves to try things out; a name that open_clip knows; local-dir:FOLDER as
    open_clip saves a model; or hf-hub:OWNER/NAME."""
    pretrained: Text | None = None
    """Weights of a model that open_clip knows by name: one of its tags, or a local file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        has_weights = self.model == TINY or self.model.startswith((LOCAL_FOLDER, HUB))
        if has_weights and self.pretrained is not None:
            raise UserError(f"`clip.pretrained` is {self.pretrained!r}, and {self.model} has weights: leave it out")
        if not has_weights and self.pretrained is None:
            raise UserError(f"`clip.pretrained` is missing: name the weights of {self.model}, a tag or a local file")

    @property
    def name(self) -> str:
        """Its folder name."""
        return clip_name(self.model, self.pretrained)


def clip_name(model: str, pretrained: str | None = None) -> str:
    """The folder name of a CLIP, such as `ViT-B-16_datacomp_xl_s13b_b90k`; a file's stem stands for the tag."""
    for prefix in (LOCAL_FOLDER, HUB):
        if model.startswith(prefix):
            place = model.removeprefix(prefix)
            model = Path(place).resolve().name if prefix == LOCAL_FOLDER else place
    if pretrained is not None:
        tag = Path(pretrained).stem if is_weights_file(pretrained) else pretrained.lower().replace("-", "_")
        model = f"{model}_{tag}"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", model)


def is_weights_file(pretrained: str) -> bool:
    """Whether `pretrained` means a local file and not one of open_clip's tags, none of which has a dot or a slash."""
    return "/" in pretrained or pretrained.endswith(WEIGHT_SUFFIXES)


def local_files(model: str, pretrained: str | None = None) -> list[Path]:
    """The files of the user's own that a CLIP is read from; of a model from the hub, or the tiny one, none."""
    if model.startswith(LOCAL_FOLDER):
        folder = Path(model.removeprefix(LOCAL_FOLDER))
        return [folder / CONFIG_FILE, *weights_in(folder)]
    return [Path(pretrained)] if pretrained is not None and is_weights_file(pretrained) else []


def weights_in(folder: Path) -> list[Path]:
    """The files in a folder that may hold weights, by name."""
    return sorted(path for path in folder.glob("*") if path.suffix in (".safetensors", ".bin", ".pth"))
