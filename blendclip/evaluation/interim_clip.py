"""A frozen CLIP of open_clip, until the room of encoders brings its own with the same methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import Compose

from blendclip import encoders
from blendclip.errors import UserError

TINY_FOLDER = Path(encoders.__file__).parent / "tiny_clip"
"""The CLIP that comes with the project, as open_clip's `local-dir:` takes it."""
_TEXTS_AT_ONCE = 256


class Clip:
    """A CLIP that is not trained."""

    def __init__(self, identifier: str, pretrained: str | None, device: torch.device | str) -> None:
        model, transform = open_clip.create_model_from_pretrained(identifier, pretrained=pretrained, device=device)
        self.model, self.device = model.eval().requires_grad_(False), torch.device(device)
        self._tokenizer = open_clip.get_tokenizer(identifier)
        *geometry, self._to_tensor, self._normalize = transform.transforms
        self._geometry = Compose(geometry)

    def prepared(self, image: Image.Image) -> Tensor:
        """A picture as (H, W, 3) uint8, resized and cut by the evaluation transform."""
        return torch.from_numpy(np.array(self._geometry(image)))

    @torch.inference_mode()
    def embed_images(self, pixels_BHW3: Tensor) -> Tensor:
        """(B, D) float32 features of prepared pictures, not of unit length."""
        pixels_B3HW = pixels_BHW3.to(self.device).permute(0, 3, 1, 2).contiguous().float() / 255
        return self.model.encode_image(self._normalize(pixels_B3HW)).float()

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(B, D) float32 features of texts, not of unit length."""
        batches = (texts[start : start + _TEXTS_AT_ONCE] for start in range(0, len(texts), _TEXTS_AT_ONCE))
        tokens = (self._tokenizer(list(batch)).to(self.device) for batch in batches)
        return torch.cat([self.model.encode_text(tokens_BL).float() for tokens_BL in tokens])


def load_clip(model: str, pretrained: str | None = None, device: torch.device | str = "cpu") -> Clip:
    """The CLIP of `tiny`, of a name that open_clip knows with a tag or file, or of `local-dir:FOLDER`.

    Raises:
        UserError: it cannot be loaded.
    """
    try:
        return Clip(f"local-dir:{TINY_FOLDER}" if model == "tiny" else model, pretrained, device)
    except (RuntimeError, OSError) as error:
        raise UserError(f"open_clip cannot load {model}: {' '.join(str(error).split())}") from None
