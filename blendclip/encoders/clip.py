"""The frozen CLIP: any model and weights that open_clip knows, or the tiny one that comes with the package.

Letters in names: B images or texts, H and W pixels of the model's input, L tokens, D the width of a feature.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import numpy as np
import open_clip
import torch
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.pretrained import download_pretrained, download_pretrained_from_hf, get_pretrained_cfg
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from torchvision.transforms import Compose

from blendclip.encoders.clip_names import (
    CONFIG_FILE,
    HUB,
    LOCAL_FOLDER,
    TINY,
    TINY_FOLDER,
    clip_name,
    is_weights_file,
    weights_in,
)
from blendclip.encoders.foreign import weights_alone
from blendclip.errors import UserError

_TEXTS_AT_ONCE = 256
_PICKLED = (".pt", ".pth", ".bin", ".ckpt")
# What open_clip and torch raise on reading a file that is something else.
_NOT_ITS_WEIGHTS = (
    *(RuntimeError, LookupError, ValueError, TypeError, AttributeError, EOFError, StopIteration, AssertionError),
    *(UnpicklingError, SafetensorError),
)


class Tokenizer(Protocol):
    """What tokenizers of open_clip have in common."""

    context_length: int
    """L."""

    def __call__(self, texts: list[str], context_length: int | None = None) -> Tensor:
        """(B, L) int64 tokens, padded and cut to `context_length`, by default its own."""


class Clip:
    """A CLIP that is not trained. On a GPU it runs in bfloat16 autocast, elsewhere in float32."""

    def __init__(
        self,
        name: str,
        config: Mapping[str, Any],
        model: CLIP | CustomTextCLIP,
        transform: Compose,
        tokenizer: Tokenizer,
        device: torch.device | str = "cpu",
    ) -> None:
        """Put a model on a device.

        Args:
            name: of its folder in the results.
            config: as `open_clip.get_model_config` returns it.
            model: of open_clip.
            transform: evaluation transform of the model.
            tokenizer: of the model.
            device: where it runs.
        """
        self.name, self.device = name, torch.device(device)
        self.width: int = config["embed_dim"]
        self.precision = "bfloat16" if self.device.type == "cuda" else "float32"
        self.context_length: int = tokenizer.context_length
        self._about = json.dumps(config, sort_keys=True) + repr(transform)
        self.model = model.eval().requires_grad_(False).to(self.device)
        self._tokenizer = tokenizer
        # The last two steps, to floats and to mean and deviation, are left to the device: a quarter of the bytes.
        *geometry, _, normalize = transform.transforms
        self._geometry = Compose(geometry)
        mean_311, deviation_311 = (torch.tensor(three).view(3, 1, 1) for three in (normalize.mean, normalize.std))
        self._mean_311, self._deviation_311 = mean_311.to(self.device), deviation_311.to(self.device)

    def prepared(self, image: Image.Image) -> Tensor:
        """An image as (H, W, 3) uint8, resized and cropped by the evaluation transform."""
        return torch.from_numpy(np.array(self._geometry(image)))

    def normalized(self, pixels_BHW3: Tensor) -> Tensor:
        """Prepared images (B, H, W, 3) as the (B, 3, H, W) float32 that the model takes, on the device."""
        pixels_B3HW = pixels_BHW3.to(self.device, non_blocking=True).permute(0, 3, 1, 2).contiguous().float()
        return pixels_B3HW.div_(255).sub_(self._mean_311).div_(self._deviation_311)

    @torch.inference_mode()
    def embed_images(self, pixels_BHW3: Tensor) -> Tensor:
        """(B, D) float32 features of prepared images (B, H, W, 3), on the device, not of unit length."""
        with self._autocast():
            return self.model.encode_image(self.normalized(pixels_BHW3), normalize=False).float()

    @torch.inference_mode()
    def embed_tokens(self, tokens_BL: Tensor) -> Tensor:
        """(B, D) float32 features of tokens (B, L), on the device, not of unit length."""
        with self._autocast():
            tokens_BL = tokens_BL.to(self.device, non_blocking=True)
            return self.model.encode_text(tokens_BL, normalize=False).float()

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(B, D) float32 features of at least one text, on the device, not of unit length."""
        batches = (texts[start : start + _TEXTS_AT_ONCE] for start in range(0, len(texts), _TEXTS_AT_ONCE))
        return torch.cat([self.embed_tokens(self.tokenize(batch)) for batch in batches])

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """(B, L) int64 tokens of texts, each truncated to the context length."""
        return self._tokenizer(list(texts))

    def cut(self, texts: Sequence[str], tokens_BL: Tensor) -> Tensor:
        """(B,) bool: which texts `tokenize` truncated to `tokens_BL`."""
        # Two kinds of Hugging Face tokenizers leave the last place to a token of their own.
        mode, strips = (getattr(self._tokenizer, key, None) for key in ("tokenizer_mode", "strip_sep_token"))
        last = -2 if mode == "clips" or strips else -1
        padding = getattr(getattr(self._tokenizer, "tokenizer", None), "pad_token_id", 0)
        cut_B = tokens_BL[:, last] != padding
        full = cut_B.nonzero().flatten().tolist()
        if full:
            wider = self._tokenizer([texts[row] for row in full], context_length=self.context_length + 1)
            cut_B[full] = wider[:, last] != padding
        return cut_B

    def digest(self) -> str:
        """SHA-256 of all that features depend on: weights, architecture, transform, precision."""
        sha = hashlib.sha256(f"{self.precision} {self._about} {self.model!r}".encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            sha.update(memoryview(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy()))
        return sha.hexdigest()

    def _autocast(self) -> AbstractContextManager:
        return torch.autocast("cuda", torch.bfloat16) if self.precision == "bfloat16" else nullcontext()


def load_clip(model: str, pretrained: str | None = None, device: torch.device | str = "cpu") -> Clip:
    """The CLIP that `clip` of config.yaml names.

    What open_clip logs below a warning while it loads is dropped.

    Args:
        model: `tiny`, `local-dir:FOLDER` as open_clip saves it, `hf-hub:OWNER/NAME`, or a name that open_clip knows.
        pretrained: tag that open_clip knows, or a local file; for a name that open_clip knows, and for no other.
        device: where it runs.

    Raises:
        UserError: there is no such model or tag, or its weights cannot be had or are those of another model.
    """
    with _quiet_open_clip():
        return _loaded(model, pretrained, device)


@contextmanager
def _quiet_open_clip() -> Iterator[None]:
    """Drop what is logged on the root logger below a warning: open_clip has no logger of its own."""

    def warns(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    # A filter of a logger sees only what is logged on itself, so records of other loggers pass as before.
    root = logging.getLogger()
    root.addFilter(warns)
    try:
        yield
    finally:
        root.removeFilter(warns)


def _loaded(model: str, pretrained: str | None, device: torch.device | str) -> Clip:
    identifier = f"{LOCAL_FOLDER}{TINY_FOLDER}" if model == TINY else model
    if model == TINY or model.startswith((LOCAL_FOLDER, HUB)):
        _check_whole(model, identifier, pretrained)
    else:
        _check_named(model, pretrained)
    where = model if pretrained is None else pretrained
    try:
        network, transform = _network(identifier, pretrained)
        tokenizer = open_clip.get_tokenizer(identifier)
        config = open_clip.get_model_config(identifier)
    except OSError as error:
        raise UserError(f"{model} cannot be read ({_first_line(error)}): {_offline(where)}") from None
    except _NOT_ITS_WEIGHTS as error:
        raise UserError(
            f"{where} does not hold weights of {model} ({_first_line(error)}): name the `model` of `clip` that it is of"
        ) from None
    return Clip(clip_name(model, pretrained), config, network, transform, tokenizer, device)


def _network(identifier: str, pretrained: str | None) -> tuple[CLIP, Compose]:
    """Model and evaluation transform; a file that open_clip cannot take as it is, is tried as its weights alone."""
    try:
        return open_clip.create_model_from_pretrained(identifier, pretrained=pretrained)
    except _NOT_ITS_WEIGHTS:
        if pretrained is not None and Path(pretrained).suffix in _PICKLED:
            with suppress(UserError), weights_alone(Path(pretrained)) as plain:
                return open_clip.create_model_from_pretrained(identifier, pretrained=str(plain))
        raise


def largest_batch(clip: Clip, most: int = 1024) -> int:
    """The largest `most` / 2^n at which a batch of images and one of texts fit on the device.

    Raises:
        UserError: not even one image fits.
    """
    side = clip.prepared(Image.new("RGB", (64, 64))).shape
    size = most
    while size:
        try:
            clip.embed_images(torch.zeros(size, *side, dtype=torch.uint8))
            clip.embed_tokens(clip.tokenize([""]).expand(size, -1))
            return size
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            size //= 2
    raise UserError(f"{clip.device} has no room for one image: free it, or set `clip` to a smaller model")


def _check_whole(model: str, identifier: str, pretrained: str | None) -> None:
    """Raise a UserError unless a model that brings its weights along is complete."""
    if pretrained is not None:
        raise UserError(f"{model} brings its weights along: leave `pretrained` of `clip` out")
    if identifier.startswith(HUB):
        hub_id = identifier.removeprefix(HUB)
        _download(model, lambda: [download_pretrained_from_hf(hub_id, name) for name in (CONFIG_FILE, None)])
        return
    folder = Path(identifier.removeprefix(LOCAL_FOLDER))
    if not (folder / CONFIG_FILE).is_file() or not weights_in(folder):
        advice = "install the package again" if model == TINY else "save a model there as open_clip does"
        raise UserError(f"{folder} lacks {CONFIG_FILE} or weights: {advice}, or set `clip` to another model")


def _check_named(model: str, pretrained: str | None) -> None:
    """Raise a UserError unless open_clip knows a model by name, and its weights are a known tag or a file."""
    if model not in open_clip.list_models():
        near = difflib.get_close_matches(model, [TINY, *open_clip.list_models()], n=5, cutoff=0.4) or [TINY, "ViT-B-16"]
        raise UserError(
            f"open_clip knows no model {model!r}: set `model` of `clip` to a name such as {', '.join(near)}"
        )
    tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
    if pretrained is None:
        raise UserError(
            f"{model} needs weights: set `pretrained` of `clip` to a local file or one of its tags ({tags})"
        )
    if is_weights_file(pretrained):
        if not Path(pretrained).is_file():
            raise UserError(f"there is no file {pretrained}: set `pretrained` of `clip` to where the weights lie")
        return
    tag = get_pretrained_cfg(model, pretrained)
    if not tag:
        raise UserError(
            f"{model} has no weights {pretrained!r}: set `pretrained` of `clip` to a file or to one of {tags}"
        )
    if tag.get("quick_gelu", False) != open_clip.get_model_config(model).get("quick_gelu", False):
        other = model.removesuffix("-quickgelu") if model.endswith("-quickgelu") else f"{model}-quickgelu"
        if other in open_clip.list_models():
            raise UserError(f"{pretrained} was trained with another activation: set `model` of `clip` to {other}")
    _download(pretrained, lambda: download_pretrained(tag))


def _download(what: str, download: Callable[[], object]) -> None:
    """Get weights from the hub, or find them where an earlier download left them."""
    try:
        download()
    except (OSError, RuntimeError) as error:
        raise UserError(f"{what} could not be downloaded ({_first_line(error)}): {_offline(what)}") from None


def _offline(what: str) -> str:
    return f"go online, or bring {what} here as a file and set `pretrained` of `clip` to it"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".:")
