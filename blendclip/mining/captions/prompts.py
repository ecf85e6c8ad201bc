"""Prompt files: what a captioner is told. `kind` says for which captioner: template or chat."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import simplejpeg
import yaml
from PIL import Image

from blendclip.errors import UserError
from blendclip.prompts import prompt_path

_TEXTS = ("system", "user")
_KEYS = {"kind", *_TEXTS, "sampling", "image", "refusals"}


def read_prompt(path: Path, kind: str) -> dict[str, Any]:
    """The content of a prompt file, which must be of this kind.

    Raises:
        UserError: it is missing, no YAML or of another kind.
    """
    try:
        content = yaml.safe_load(prompt_path(path).read_text())
    except FileNotFoundError:
        raise UserError(
            f"there is no caption prompt {path}: set `caption.prompt` to a file of prompts/caption"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no readable YAML: {' '.join(str(error).split())}") from None
    found = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(content, dict) or found != kind:
        raise UserError(
            f"{path} is a prompt of kind {found}, this backend needs one of kind {kind}: "
            f"set `caption.prompt` to another file of prompts/caption"
        )
    return content


@dataclass(frozen=True)
class ImageRules:
    """Limits on the image that is sent; one within them is sent byte by byte as it is stored."""

    min_side_px: int = 0
    """The shorter side is enlarged to this."""
    max_side_px: int = 896
    """The longer side is shrunk to this, which wins."""

    def apply(self, jpeg: bytes) -> bytes:
        """The JPEG to send for the JPEG of a crop."""
        height, width = simplejpeg.decode_jpeg_header(jpeg)[:2]
        scale = min(max(1.0, self.min_side_px / min(width, height)), self.max_side_px / max(width, height))
        if scale == 1.0:
            return jpeg
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(jpeg)) as image:
            image.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=95, subsampling=0)
        return buffer.getvalue()


@dataclass(frozen=True)
class ChatPrompt:
    """What a vision-language model is asked about each crop."""

    system: str
    user: str
    sampling: dict[str, Any]
    """Fields of the request, such as temperature and max_tokens."""
    image: ImageRules
    refusals: tuple[str, ...]
    """Beginnings of answers that are no captions."""

    @classmethod
    def read(cls, path: Path) -> ChatPrompt:
        """The prompt in a file of kind chat.

        Raises:
            UserError: the file is missing or not what a chat prompt looks like; the sentence names the key.
        """
        content = read_prompt(path, "chat")
        if wrong := sorted(_KEYS ^ set(content)):
            raise UserError(
                f"{path}: a chat prompt has the keys {', '.join(sorted(_KEYS))}; look at {', '.join(wrong)}"
            )
        if not all(isinstance(content[name], str) for name in _TEXTS) or not content["user"].strip():
            raise UserError(f"{path}: `system` and `user` must be text, and `user` not empty")
        if not isinstance(content["sampling"], dict) or "max_tokens" not in content["sampling"]:
            raise UserError(f"{path}: `sampling` must name max_tokens, at most 77, since CLIP reads no more")
        try:
            rules = ImageRules(**content["image"])
        except TypeError:
            known = ", ".join(asdict(ImageRules()))
            raise UserError(f"{path}: `image` takes {known}") from None
        refusals = tuple(str(words) for words in content["refusals"] or ())
        return cls(content["system"], content["user"], content["sampling"], rules, refusals)

    @property
    def sha(self) -> str:
        """Hash of all that shapes a request; comments and `refusals` do not."""
        shaping = [self.system, self.user, self.sampling, asdict(self.image)]
        return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()

    @property
    def text(self) -> str:
        """All that it says in words."""
        return f"{self.system}\n{self.user}"

    def body(self, model: str, jpeg: bytes) -> bytes:
        """The request about one crop: the prompt and the image, and nothing that is known about it."""
        encoded = base64.b64encode(self.image.apply(jpeg)).decode()
        content = [
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded}"}},
            {"type": "text", "text": self.user},
        ]
        messages: list[dict[str, Any]] = [{"role": "system", "content": self.system}] if self.system.strip() else []
        messages.append({"role": "user", "content": content})
        return json.dumps({"model": model, "messages": messages, **self.sampling}).encode()
