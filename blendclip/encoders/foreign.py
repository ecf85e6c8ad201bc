"""Checkpoints of other projects as weights by our names: Point-BERT, ULIP, ULIP-2 and the released BlendCLIP.

Nothing in such a file is run: tensors, plain values and training's arguments are read, anything else is refused. What
these encoders expect of clouds: coordinates normalised to the unit sphere, y up where they were trained on CAD objects
alone, then, for the coloured ones of ULIP-2, red, green and blue from 0 to 1.
"""

from __future__ import annotations

import argparse
import errno
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from blendclip.errors import UserError
from blendclip.storage import existing

PROJECTION = "projection.weight"
_Y_UP = ("Point-BERT", "ULIP", "ULIP-2")  # trained on CAD objects alone

# What training wraps a model in, as segments of names: data parallelism and torch.compile.
_WRAPPERS = ("module", "_orig_mod")
# Under which name the weights are in a file, beside optimizers and the like; one may lie in another.
_CONTAINERS = ("state_dict", "base_model", "model", "module", "model_state_dict")
_DEEPEST = 8  # a file of this many containers one in another is no checkpoint; a crafted one may hold itself
# Where the point encoder is in the whole model.
_PREFIX = r"(?:transformer_q\.|base_model\.|point_encoder\.)?"
# The rest of their name (all of it), and ours.
_NAMES = {
    r"cls_token": "class_token",
    r"cls_pos": "class_position",
    r"encoder\.first_conv\.0\.(weight|bias)": r"patch_encoder.local.linear.\1",
    r"encoder\.first_conv\.1\.(\w+)": r"patch_encoder.local.norm.\1",
    r"encoder\.first_conv\.3\.(weight|bias)": r"patch_encoder.local.out.\1",
    r"encoder\.second_conv\.0\.(weight|bias)": r"patch_encoder.joint.linear.\1",
    r"encoder\.second_conv\.1\.(\w+)": r"patch_encoder.joint.norm.\1",
    r"encoder\.second_conv\.3\.(weight|bias)": r"patch_encoder.joint.out.\1",
    r"reduce_dim\.(weight|bias)": r"to_token.\1",
    r"pos_embed\.(0|2)\.(weight|bias)": r"position.\1.\2",
    r"blocks\.blocks\.(\d+)\.norm([12])\.(weight|bias)": r"blocks.\1.norm\2.\3",
    r"blocks\.blocks\.(\d+)\.attn\.qkv\.weight": r"blocks.\1.attention.qkv.weight",
    r"blocks\.blocks\.(\d+)\.attn\.proj\.(weight|bias)": r"blocks.\1.attention.out.\2",
    r"blocks\.blocks\.(\d+)\.mlp\.fc1\.(weight|bias)": r"blocks.\1.mlp.0.\2",
    r"blocks\.blocks\.(\d+)\.mlp\.fc2\.(weight|bias)": r"blocks.\1.mlp.2.\2",
    r"norm\.(weight|bias)": r"norm.\1",
    r"pc_projection": PROJECTION,
}
# A buffer of zeros that the released BlendCLIP saves and never reads; no other code has it.
_PATCH_PADDING = _PREFIX + r"patch_padding"
# What else their files hold: Point-BERT's pretraining and classification, the CLIP or SLIP of ULIP.
_EXTRAS = (
    _PATCH_PADDING,
    r"(?:transformer_k|dvae|queue|queue_ptr)\b.*",
    _PREFIX + r"(?:mask_token|lm_head|cls_head|cls_head_finetune)\b.*",
    r"(?:open_clip_model|visual|transformer|token_embedding|positional_embedding|ln_final)\b.*",
    r"(?:image_projection|text_projection|logit_scale)",
)
# Encoders of others that are often taken for one of these, by what only their names have.
_OTHERS = {
    r"ppat\.(?:sa|lift|cls_token|transformer)\b": "OpenShape's PointBERT, whose patches are made otherwise",
    r"(?:point_encoder\.)?(?:trans2embed|encoder2trans)\.": "Uni3D, whose transformer is a ViT of timm",
}
_GIVE = "give a checkpoint of Point-BERT, ULIP, ULIP-2 or the released BlendCLIP"


@dataclass(frozen=True)
class ForeignWeights:
    """A point encoder of another project."""

    origin: str
    """Whose it is: Point-BERT, ULIP, ULIP-2 or BlendCLIP."""
    state: dict[str, Tensor]
    """Weights by our names; without `PROJECTION` where the encoder was not aligned to a CLIP."""


class _Number:
    """Stands for a numpy number beside the weights, which nothing here needs, so that nothing of numpy is called."""

    def __init__(self, *parts: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


# Beside weights ULIP's files hold the arguments of training, Point-BERT's an accuracy that is a numpy number.
_HARMLESS: list[Any] = [
    argparse.Namespace,
    (_Number, "numpy.dtype"),
    (_Number, "numpy.core.multiarray.scalar"),
    (_Number, "numpy._core.multiarray.scalar"),
]


def read_foreign(path: Path) -> ForeignWeights:
    """The point encoder in a checkpoint of Point-BERT, ULIP, ULIP-2 or the released BlendCLIP.

    Raises:
        UserError: the file cannot be read, or is of another architecture; the sentence says which.
    """
    theirs = read_state(path)
    for pattern, other in _OTHERS.items():
        if any(re.match(pattern, name) for name in theirs):
            raise UserError(f"{path} is of {other}, which is not loaded here: {_GIVE}")
    ours, strange = _translated(theirs, path)
    if "class_token" not in ours:
        sample = ", ".join(list(theirs)[:3]) or "nothing"
        raise UserError(f"{path} is not a PointBERT (it holds {sample} ...): {_GIVE}")
    if strange:
        raise UserError(f"{path} is of another architecture than PointBERT, which has no {some(strange)}: {_GIVE}")
    return ForeignWeights(_origin(theirs, ours), ours)


def read_state(path: Path) -> dict[str, Any]:
    """What a PyTorch checkpoint holds under the names of its model, without containers and wrappers of training.

    The file is mapped, not read, where it can be: ULIP-2's holds a CLIP of 10 GB.

    Raises:
        UserError: the file is missing or damaged, or holds Python objects that would have to be run.
    """
    existing(path)
    try:
        mapped = zipfile.is_zipfile(path) or None
        with torch.serialization.safe_globals(_HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # of a damaged file torch raises whatever it stumbles over
        raise UserError(f"{path} cannot be read as a PyTorch checkpoint, as {_why(error)}") from None
    state: dict[str, Any] = {}
    for key, value in _unpacked(content).items():
        _put(state, _unwrapped(str(key)), value, path)
    return state


@contextmanager
def weights_alone(path: Path) -> Iterator[Path]:
    """A temporary PyTorch file of what `read_state` finds, for a library that knows no containers and wrappers.

    Raises:
        UserError: as `read_state`.
    """
    state = {name: value for name, value in read_state(path).items() if isinstance(value, Tensor)}
    with TemporaryDirectory() as folder:
        torch.save(state, Path(folder) / "weights.pt")
        yield Path(folder) / "weights.pt"


def up_of(origin: str) -> str:
    """The axis that points up for encoders of a project."""
    return "y" if origin in _Y_UP else "z"


def some(names: list[str]) -> str:
    """The first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (", ".join(names[:3]) or "nothing") + more


def _why(error: BaseException) -> str:
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if refused:
        return f"it holds the Python object {refused[1]}, which is not run: save its state_dict alone"
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: a place that is not there
        return f"the system says {error.strerror}: see to that"
    return "it is damaged or something else: download it again"


def _unpacked(content: Any) -> dict[Any, Any]:
    """The innermost of the containers of weights."""
    for _ in range(_DEEPEST):
        inside = [content[name] for name in _CONTAINERS if isinstance(content, dict) and _holds(content, name)]
        if not inside:
            return content if isinstance(content, dict) else {}
        content = inside[0]
    return {}


def _holds(content: dict[Any, Any], name: str) -> bool:
    return isinstance(content.get(name), dict)


def _unwrapped(key: str) -> str:
    return ".".join(segment for segment in key.split(".") if segment not in _WRAPPERS)


def _put(state: dict[str, Any], name: str, value: Any, path: Path) -> None:
    if name in state:
        raise UserError(f"{path} holds {name} more than once: save the state_dict of one model alone")
    state[name] = value


def _translated(theirs: dict[str, Any], path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Weights by our names, and the names that neither an encoder nor what is trained beside one has."""
    ours: dict[str, Tensor] = {}
    strange = []
    for key, value in theirs.items():
        name = _our_name(key)
        if name is not None and isinstance(value, Tensor):
            _put(ours, name, _our_value(name, value), path)
        elif not any(re.fullmatch(extra, key) for extra in _EXTRAS):
            strange.append(key)
    return ours, strange


def _our_name(key: str) -> str | None:
    for pattern, ours in _NAMES.items():
        match = re.fullmatch(_PREFIX + pattern, key)
        if match:
            return match.expand(ours)
    return None


def _our_value(name: str, value: Tensor) -> Tensor:
    """Their class token has axes for cloud and token, convolutions one for their only tap; the projection is turned."""
    if name.startswith("class_"):
        return value.flatten()
    if name == PROJECTION:
        return value.T
    return value.squeeze(2) if value.dim() == 3 else value


def _origin(theirs: dict[str, Any], ours: dict[str, Tensor]) -> str:
    """Whose code saved the weights.

    ULIP-2 with a CLIP of its own keeps it beside the encoder, sees colours, or aligns to another width than ULIP's 512.
    Its encoders for ULIP's SLIP are saved by the code of ULIP, in just its layout.
    """
    if any(re.fullmatch(_PATCH_PADDING, name) for name in theirs):
        return "BlendCLIP"
    if PROJECTION not in ours:
        return "Point-BERT"
    has_open_clip = any(name.startswith("open_clip_model.") for name in theirs)
    first_layer = ours.get("patch_encoder.local.linear.weight")
    has_colors = first_layer is not None and first_layer.shape[1] == 6
    return "ULIP-2" if has_open_clip or has_colors or len(ours[PROJECTION]) != 512 else "ULIP"
