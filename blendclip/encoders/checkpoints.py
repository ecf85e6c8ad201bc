"""Weights of point encoders on disk: ours are safetensors with JSON beside; those of Point-BERT and ULIP can be read.

What the foreign ones expect of clouds: coordinates normalised to the unit sphere, then, in ULIP-2's coloured ones, red,
green and blue from 0 to 1. Theirs were trained on CAD objects with y up, ours have z up.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import pickle
import re
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from blendclip import __version__
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.errors import UserError
from blendclip.storage import existing, replacing

log = logging.getLogger(__name__)

PROJECTION = "projection.weight"

# Before a key of theirs may stand: `module.` of data-parallel training, then where the encoder is in the whole model.
FOREIGN_PREFIX = r"(?:module\.)?(?:transformer_q\.|base_model\.|point_encoder\.)?"
# The rest of their key (all of it), and ours.
FOREIGN_KEYS = {
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
# What else their files hold: Point-BERT's pretraining and classification, the CLIP or SLIP of ULIP.
FOREIGN_EXTRAS = (
    r"(?:module\.)?(?:transformer_k|dvae|queue|queue_ptr)\b.*",
    FOREIGN_PREFIX + r"(?:mask_token|lm_head|cls_head|cls_head_finetune)\b.*",
    r"(?:module\.)?(?:open_clip_model|visual|transformer|token_embedding|positional_embedding|ln_final)\b.*",
    r"(?:module\.)?(?:image_projection|text_projection|logit_scale)",
)
# Under which name the weights are in their files, beside optimizers and the like.
FOREIGN_FOLDERS = ("state_dict", "base_model", "model")


def save_encoder(
    path: Path, model: PointBert, recipe: dict[str, Any], description: dict[str, Any] | None = None
) -> None:
    """Write the weights to `path`, NAME.safetensors, and how they came about to NAME.json; same weights, same bytes.

    Args:
        path: ends in .safetensors.
        model: its configuration goes into the JSON too.
        recipe: all that the weights depend on, in types that JSON has.
        description: more keys of the JSON, as `model_folder.Description` has them.
    """
    assert path.suffix == ".safetensors"
    about = {"made_by": f"blendclip {__version__}", "encoder": asdict(model.config), "recipe": recipe}
    about = (description or {}) | about
    text = json.dumps(about, indent=2, sort_keys=True) + "\n"
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(text)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(path) as temporary:
        save_file(state, temporary, metadata={"json_sha256": _sha256(text)})


def load_encoder(path: Path, device: torch.device | str = "cpu") -> tuple[PointBert, dict[str, Any]]:
    """The encoder that `save_encoder` wrote, in evaluation mode, and its recipe.

    Raises:
        UserError: a file is missing or damaged, or the two do not belong together.
    """
    model, about = load_described(path, device)
    return model, about["recipe"]


def load_described(path: Path, device: torch.device | str = "cpu") -> tuple[PointBert, dict[str, Any]]:
    """The encoder that `save_encoder` wrote, in evaluation mode, and all that its JSON says.

    Raises:
        UserError: a file is missing or damaged, or the two do not belong together.
    """
    state, about = _read_ours(path)
    model = PointBert(PointBertConfig(**about["encoder"]))
    _check(model, state, path)
    model.load_state_dict(state)
    return model.to(device).eval(), about


def load_weights(model: PointBert, path: Path, new_projection: bool = False) -> None:
    """Give `model` the weights of a checkpoint, of ours (.safetensors) or of Point-BERT or ULIP (`FOREIGN_KEYS`).

    Nothing that is not weights is unpickled.

    Args:
        model: of the same shape.
        path: the checkpoint.
        new_projection: keep the model's own projection, since the file has none (Point-BERT) or one to another CLIP.

    Raises:
        UserError: the file cannot be read, or is of another architecture; the sentence says which and what to set.
    """
    state = _read_ours(path)[0] if path.suffix == ".safetensors" else _translated(_read_foreign(path), path)
    if new_projection:
        theirs = state.pop(PROJECTION, None)
        had = "has no projection" if theirs is None else f"has a projection to width {len(theirs)}, which is left out"
        log.info("%s %s: the one to width %d starts anew", path, had, model.config.out_dim)
        state[PROJECTION] = model.projection.weight.detach()
    _check(model, state, path)
    model.load_state_dict(state)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read_ours(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    text = existing(path.with_suffix(".json")).read_text()
    try:
        with safe_open(existing(path), framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            belongs = (file.metadata() or {}).get("json_sha256") == _sha256(text)
    except SafetensorError as error:
        raise UserError(f"{path} is not a readable safetensors file ({error}): copy or train it again") from None
    if not belongs:
        raise UserError(
            f"{path} was not saved together with {path.with_suffix('.json').name}: copy both from where they were made"
        )
    return state, json.loads(text)


def _read_foreign(path: Path) -> dict[str, Any]:
    """The weights by their own names; the file is mapped, not read, where it can be: ULIP-2's holds a CLIP of 10 GB."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # ULIP's files hold the arguments of training
            content = torch.load(
                existing(path), map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None
            )
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            why = f"it holds the Python object {refused[1]}, which is not run: save its state_dict alone"
        else:
            why = "it is damaged or something else: download it again"
        raise UserError(f"{path} cannot be read as a PyTorch checkpoint, as {why}") from None
    for folder in FOREIGN_FOLDERS:
        if isinstance(content, dict) and isinstance(content.get(folder), dict):
            content = content[folder]
    return content if isinstance(content, dict) else {}


def _translated(theirs: dict[str, Any], path: Path) -> dict[str, Tensor]:
    """Weights by our names."""
    ours: dict[str, Tensor] = {}
    strange = []
    for key, value in theirs.items():
        name = _translated_key(str(key))
        if name is not None and isinstance(value, Tensor):
            ours[name] = _translated_value(name, value)
        elif not any(re.fullmatch(extra, str(key)) for extra in FOREIGN_EXTRAS):
            strange.append(str(key))
    if "class_token" not in ours:
        sample = ", ".join(map(str, list(theirs)[:3])) or "nothing"
        raise UserError(f"{path} is not a PointBERT (it holds {sample} ...): give a checkpoint of Point-BERT or ULIP")
    if strange:
        raise UserError(
            f"{path} is of another architecture than PointBERT, which has no {_some(strange)}: "
            "give a checkpoint of Point-BERT or ULIP"
        )
    return ours


def _translated_key(key: str) -> str | None:
    for pattern, ours in FOREIGN_KEYS.items():
        match = re.fullmatch(FOREIGN_PREFIX + pattern, key)
        if match:
            return match.expand(ours)
    return None


def _translated_value(name: str, value: Tensor) -> Tensor:
    """Their class token has axes for cloud and place, convolutions one for their only tap; the projection is turned."""
    if name.startswith("class_"):
        return value.flatten()
    if name == PROJECTION:
        return value.T
    return value.squeeze(2) if value.dim() == 3 else value


def _check(model: PointBert, state: dict[str, Tensor], path: Path) -> None:
    """Raise a UserError unless the weights are just those of the model."""
    expected = model.state_dict()
    if PROJECTION not in state:
        raise UserError(
            f"{path} has no projection to CLIP's width: set `new_projection: true` to start with a fresh one"
        )
    found, wanted = _shape(state), _shape(expected)
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    if differing:
        theirs, ours = ({name: shape.get(name) for name in differing} for shape in (found, wanted))
        hint = " (or `new_projection: true` for a fresh projection)" if differing == ["out_dim"] else ""
        raise UserError(f"{path} is a PointBERT with {_listed(theirs)}, not {_listed(ours)}: set the former{hint}")
    missing, strange = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or strange:
        raise UserError(
            f"{path} does not fit PointBERT: it lacks {_some(missing)} and has {_some(strange)} too many; "
            "give a whole checkpoint"
        )
    for name, tensor in expected.items():
        if tensor.shape != state[name].shape:
            raise UserError(
                f"{path} has {name} of shape {tuple(state[name].shape)}, not {tuple(tensor.shape)}: "
                "give a checkpoint of Point-BERT's architecture"
            )


def _shape(state: dict[str, Tensor]) -> dict[str, Any]:
    """The fields of a configuration that weights show, as far as they do."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    blocks = [int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")]
    width, inner = shapes.get("class_token", (0,))[0], shapes.get("blocks.0.mlp.0.weight")
    local, first = shapes.get("patch_encoder.local.out.weight"), shapes.get("patch_encoder.local.linear.weight")
    return {
        "depth": max(blocks, default=-1) + 1,
        "width": width,
        "encoder_width": local and local[0],
        "mlp_ratio": inner and inner[0] / max(width, 1),
        "colors": first and first[1] == 6,
        "out_dim": shapes[PROJECTION][0],
    }


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {json.dumps(value)}" for name, value in values.items())


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return (", ".join(keys[:3]) or "nothing") + more
