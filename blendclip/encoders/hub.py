"""Models on the Hugging Face hub."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from blendclip.encoders.clip_names import HUB
from blendclip.encoders.model_folder import find_model
from blendclip.errors import UserError
from blendclip.results import MODEL_ABOUT, MODEL_WEIGHTS

_FILES = (MODEL_ABOUT, MODEL_WEIGHTS)


def fetch_model(place: str) -> Path:
    """The .safetensors file of a model, downloaded or found where an earlier download left it.

    Args:
        place: hf-hub:OWNER/NAME, or hf-hub:OWNER/NAME@REVISION.

    Raises:
        UserError: there is no such model, or it is not here and cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download

    name, _, revision = place.removeprefix(HUB).partition("@")
    _check_name(name)
    failed = f"{place} is not on this machine and could not be downloaded"
    advice = "check its name, or go online once, or copy its folder here and load that"
    for file in _FILES:
        path = _tried(partial(hf_hub_download, name, file, revision=revision or None), failed, advice)
    return find_model(Path(path).parent)


def push_model(write: Callable[[Path], object], name: str, private: bool) -> str:
    """Upload what `write` writes into a folder, as a model of the hub, and return its address.

    Args:
        write: called with the folder.
        name: OWNER/NAME.
        private: whether others may not see a model that is made by this.

    Raises:
        UserError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    name = name.removeprefix(HUB)
    _check_name(name)
    api = HfApi()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name.partition("/")[2]
        write(folder)
        failed, advice = f"{name} could not be uploaded", "go online, and log in with `hf auth login`"
        _tried(partial(api.create_repo, name, private=private, exist_ok=True), failed, advice)
        return str(_tried(partial(api.upload_folder, repo_id=name, folder_path=folder), failed, advice))


def _check_name(name: str) -> None:
    owner, slash, model = name.partition("/")
    if not (owner and slash and model) or "/" in model:
        raise UserError(f"{name!r} is no name of a model on the hub: write OWNER/NAME")


def _tried(call: Callable[[], Any], failed: str, advice: str) -> Any:
    """What a call to the hub returns, its errors as one sentence."""
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        return call()
    except (OSError, EntryNotFoundError, HFValidationError) as error:
        raise UserError(f"{failed} ({_line(error)}): {advice}") from None


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".:")
