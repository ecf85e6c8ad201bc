"""Weights of point encoders on disk: ours are safetensors with JSON beside; those of other projects can be read."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from blendclip import __version__
from blendclip.encoders.foreign import PROJECTION, read_foreign, some, up_of
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.encoders.weights import read_weights, save_weights
from blendclip.errors import UserError
from blendclip.storage import existing, replacing

log = logging.getLogger(__name__)

_DIGEST = "json_sha256"
_HEAD_WIDTH = 64  # of Point-BERT and all that came of it; weights do not show it


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
    save_weights(path, model.state_dict(), {_DIGEST: _sha256(text.encode())})


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


def load_weights(model: PointBert, path: Path, new_projection: bool = False) -> dict[str, Any]:
    """Give `model` the weights of a checkpoint, and return what is known of them.

    That is keys of model.json: `origin` and `up`, and of ours the `data` that they were trained on. Ours end in
    .safetensors; for other projects' see `read_foreign`. Nothing that is not weights is unpickled.

    Args:
        model: of the same shape.
        path: the checkpoint.
        new_projection: keep the model's own projection, since the file has none (Point-BERT) or one to another CLIP.

    Raises:
        UserError: the file cannot be read, or is of another architecture; the sentence says which and what to set.
    """
    if path.suffix == ".safetensors":
        state, about = _read_ours(path)
        known: dict[str, Any] = {key: about[key] for key in ("origin", "up", "data") if key in about}
    else:
        weights = read_foreign(path)
        state, known = weights.state, {"origin": weights.origin, "up": up_of(weights.origin)}
        log.info("%s is of %s", path, weights.origin)
    _fill(model, state, path, new_projection)
    return known


def load_foreign(
    path: Path, config: PointBertConfig | None = None, new_projection: bool = False
) -> tuple[PointBert, str]:
    """The point encoder of another project, in evaluation mode, and whose it is.

    Point-BERT, ULIP, ULIP-2 and BlendCLIP (the released one) are known. Nothing that is not weights is unpickled.

    Args:
        path: the checkpoint, as `read_foreign` takes it.
        config: shape of the encoder; None is what the weights show, with heads of width 64.
        new_projection: start with a random projection, to the width that `config` says or else 512, where the file has
            none (Point-BERT) or one to another CLIP; such an encoder has to be trained before it can name anything.

    Raises:
        UserError: the file cannot be read, is of another architecture or shape, or has no projection.
    """
    weights = read_foreign(path)
    model = PointBert(config or _config_of(weights.state, path, new_projection))
    _fill(model, weights.state, path, new_projection)
    log.info("%s is of %s, with %s", path, weights.origin, _listed(_shape(weights.state)))
    return model.eval(), weights.origin


def _fill(model: PointBert, state: dict[str, Tensor], path: Path, new_projection: bool) -> None:
    """Give `model` just the weights in `state`, its projection excepted where a new one was asked for."""
    if new_projection:
        theirs = state.pop(PROJECTION, None)
        had = "has no projection" if theirs is None else f"has a projection to width {len(theirs)}, which is left out"
        log.info("%s %s: the one to width %d starts anew", path, had, model.config.out_dim)
        state[PROJECTION] = model.projection.weight.detach()
    _check(model, state, path)
    model.load_state_dict(state)


def _config_of(state: dict[str, Tensor], path: Path, new_projection: bool) -> PointBertConfig:
    """The shape that weights show; what they do not show is Point-BERT's."""
    shown = {name: value for name, value in _shape(state).items() if value}
    if new_projection:
        shown.pop("out_dim", None)
    if shown["width"] % _HEAD_WIDTH:
        raise UserError(
            f"{path} has width {shown['width']}, which heads of width {_HEAD_WIDTH} do not divide: "
            "give its PointBertConfig, with the heads that it was trained with"
        )
    return PointBertConfig(**shown, heads=shown["width"] // _HEAD_WIDTH)


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _read_ours(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    text = existing(path.with_suffix(".json")).read_bytes()
    state, header = read_weights(path, "copy or train it again")
    if header.get(_DIGEST) != _sha256(text):
        raise UserError(
            f"{path} was not saved together with {path.with_suffix('.json').name}: copy both from where they were made"
        )
    return state, json.loads(text)


def _check(model: PointBert, state: dict[str, Tensor], path: Path) -> None:
    """Raise a UserError unless the weights are just those of the model."""
    expected = model.state_dict()
    if PROJECTION not in state:
        raise UserError(f"{path} has no projection to CLIP's width: set `new_projection: true` to train a fresh one")
    found, wanted = _shape(state), _shape(expected)
    differing = [name for name in wanted if found[name] not in (None, wanted[name])]  # None: not shown, as it lacks it
    if differing:
        theirs, ours = ({name: shape.get(name) for name in differing} for shape in (found, wanted))
        hint = " (or `new_projection: true` for a fresh projection)" if differing == ["out_dim"] else ""
        raise UserError(f"{path} is a PointBERT with {_listed(theirs)}, not {_listed(ours)}: set the former{hint}")
    missing, strange = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or strange:
        raise UserError(
            f"{path} does not fit PointBERT: it lacks {some(missing)} and has {some(strange)} too many; "
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
        "size": "size.0.weight" in state,
        "out_dim": shapes.get(PROJECTION, (None,))[0],
    }


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {json.dumps(value)}" for name, value in values.items())
