"""The captioner that a configuration asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from blendclip.errors import UserError
from blendclip.mining.captions.servers import EndpointServer, Server, VLLMServer
from blendclip.mining.captions.stage import Captioner
from blendclip.mining.captions.template import TemplateCaptioner
from blendclip.mining.options import CaptionOptions, ServerOptions


@dataclass(frozen=True)
class CaptionFiles:
    """What a captioner reads and keeps."""

    prompt: Path
    """A file of prompts/caption, of kind template or chat as the backend needs."""
    cache: Path
    """SQLite file of the answers that were paid for."""
    server_log: Path = Path("vllm.log")
    """What a server that we start says."""
    known: tuple[Path, ...] = ()
    """Further such files, or folders of them, which are only read; not those beside `cache`, which may be under way."""

    def known_files(self) -> list[Path]:
        """The files of `known` that are there."""
        found = [path for place in self.known for path in ([place] if place.is_file() else place.rglob("*.sqlite"))]
        return sorted(path for path in found if path.parent != self.cache.parent and path != self.cache)


def captioner_for(options: CaptionOptions, server: ServerOptions, files: CaptionFiles) -> Captioner:
    """The captioner of a backend.

    Raises:
        UserError: its prompt, environment, URL or cache is not as it must be.
    """
    if options.backend == "template":
        return TemplateCaptioner(files.prompt)
    from blendclip.mining.captions.client import ClientOptions  # the HTTP library takes a third of a second
    from blendclip.mining.captions.model import ModelCaptioner
    from blendclip.mining.captions.prompts import ChatPrompt

    prompt = ChatPrompt.read(files.prompt)
    client = ClientOptions(max_in_flight=server.max_in_flight, timeout_s=server.timeout_s)

    def open_server() -> Server:
        return _server(options, server, files.server_log)

    return ModelCaptioner(options.model, prompt, open_server, files.cache, client, files.known_files())


def _server(options: CaptionOptions, server: ServerOptions, log: Path) -> Server:
    if options.backend == "vllm":
        return VLLMServer(options.model, server.vllm, log)
    if not server.base_url:
        raise UserError("backend endpoint needs base_url, such as http://host:8000/v1: set caption.base_url")
    return EndpointServer(server.base_url, server.api_key_env)
