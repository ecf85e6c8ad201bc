"""The captioner that a configuration asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from blendclip.errors import UserError
from blendclip.mining.captions.servers import EndpointServer, Server, VLLMOptions, VLLMServer
from blendclip.mining.captions.stage import Captioner
from blendclip.mining.captions.template import TemplateCaptioner

BACKENDS = ("template", "vllm", "endpoint")
DEFAULT_MODEL = "google/gemma-3-4b-it"


@dataclass(frozen=True)
class CaptionOptions:
    """Who describes the crops, and how it is reached."""

    backend: str
    prompt: Path
    """A file of prompts/caption, of kind template or chat as the backend needs."""
    cache: Path
    """SQLite file of the answers that were paid for."""
    model: str = DEFAULT_MODEL
    max_in_flight: int = 256
    timeout_s: float = 300.0
    base_url: str | None = None
    """Of the endpoint, ending in /v1."""
    api_key_env: str | None = None
    """Environment variable that holds the endpoint's key."""
    vllm: VLLMOptions = field(default_factory=VLLMOptions)
    server_log: Path = Path("vllm.log")


def captioner_for(options: CaptionOptions) -> Captioner:
    """The captioner of a backend.

    Raises:
        UserError: there is no such backend, or its prompt, environment, URL or cache is not as it must be.
    """
    if options.backend == "template":
        return TemplateCaptioner(options.prompt)
    if options.backend not in BACKENDS:
        raise UserError(f"there is no caption backend {options.backend!r}: choose one of {', '.join(BACKENDS)}")
    from blendclip.mining.captions.client import ClientOptions  # the HTTP library takes a third of a second
    from blendclip.mining.captions.model import ModelCaptioner
    from blendclip.mining.captions.prompts import ChatPrompt

    prompt = ChatPrompt.read(options.prompt)
    client = ClientOptions(max_in_flight=options.max_in_flight, timeout_s=options.timeout_s)
    return ModelCaptioner(options.model, prompt, lambda: _server(options), options.cache, client)


def _server(options: CaptionOptions) -> Server:
    if options.backend == "vllm":
        return VLLMServer(options.model, options.vllm, options.server_log)
    if not options.base_url:
        raise UserError("backend endpoint needs base_url, such as http://host:8000/v1: set caption.base_url")
    return EndpointServer(options.base_url, options.api_key_env)
