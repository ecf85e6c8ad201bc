"""What servers say: bounded in size and typed before anything else sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import aiohttp
import msgspec
from msgspec import Meta

from blendclip.mining.captions.cache import MOST_CHARACTERS, Answer, Tokens

MOST_ANSWER_BYTES = 2**20
MOST_LIST_BYTES = 2**24
"""Of a list of models; those of large services have half a megabyte."""
_MOST_ERROR_BYTES = 2**16
_SHOWN_CHARACTERS = 200
_SECONDS = re.compile(r"[0-9]{1,9}")
_VERSION = re.compile(r"[-@][0-9]{3,}(-[0-9]+)*")
_NOT_JSON = (ValueError, RecursionError)  # msgspec's own errors and those of broken UTF-8 are ValueErrors

_Text = Annotated[str, Meta(max_length=MOST_CHARACTERS)]
_Name = Annotated[str, Meta(max_length=1000)]


class ReplyError(ValueError):
    """What a server sent cannot be used; the message says why, and shows the beginning of it."""


class _Message(msgspec.Struct):
    content: _Text | None = None
    refusal: _Text | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: _Name | None = None


class _Completion(msgspec.Struct):
    choices: Annotated[list[_Choice], Meta(min_length=1)]
    model: _Name | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Usage(msgspec.Struct):
    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None


class ListedModel(msgspec.Struct):
    """A model that a server lists."""

    id: str
    """Its name."""
    root: Any = None
    """What is served under this name, as vLLM says it; names of the same root mean the same model."""


class _Models(msgspec.Struct):
    data: list[ListedModel]


@dataclass(frozen=True)
class Reply:
    """An answer as it arrived."""

    answer: Answer
    model: str | None
    """The model that answered, where the server says it."""
    counts_tokens: bool
    """False where the server counted tokens as what is no count; those of the answer are unknown then."""


async def read_bounded(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """The body of a response.

    Raises:
        ReplyError: it has more than `most_bytes`, or is compressed, which is never asked for.
    """
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise ReplyError(f"the answer is compressed ({in_one_line(encoding)}), which was not asked for")
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > most_bytes:
            raise ReplyError(f"the answer has more than {most_bytes:,} bytes")
    return bytes(content)


async def read_error(response: aiohttp.ClientResponse) -> str:
    """What a response that reports an error says, in one line."""
    try:
        return said(await read_bounded(response, _MOST_ERROR_BYTES))
    except ReplyError as error:
        return str(error)


def completion_in(content: bytes, asked_at_s: float, seconds: float) -> Reply:
    """The chat completion in a body that was asked for at a Unix time and took some seconds.

    Raises:
        ReplyError: it is none.
    """
    found: _Completion = _decoded(content, _COMPLETION, "chat completion")
    try:
        usage, counts_tokens = _USAGE.decode(found.usage), True
    except _NOT_JSON:
        usage, counts_tokens = None, False
    choice, usage = found.choices[0], usage or _Usage()
    answer = Answer(
        text=choice.message.content or "",
        finish_reason=choice.finish_reason or "",
        refusal=choice.message.refusal or "",
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        asked_at_s=asked_at_s,
        seconds=seconds,
    )
    return Reply(answer, found.model, counts_tokens)


def models_in(content: bytes) -> list[ListedModel]:
    """The models that a body lists.

    Raises:
        ReplyError: it lists none.
    """
    found: _Models = _decoded(content, _MODELS, "list of models")
    return found.data


_COMPLETION, _MODELS = msgspec.json.Decoder(_Completion), msgspec.json.Decoder(_Models)
_USAGE = msgspec.json.Decoder(_Usage | None)


def _decoded(content: bytes, decoder: msgspec.json.Decoder[Any], what: str) -> Any:
    try:
        return decoder.decode(content)
    except msgspec.ValidationError as error:
        why = f"{error}: "
    except _NOT_JSON:
        why = ""
    raise ReplyError(f"the answer is no {what}: {why}{said(content)}")


def said(content: bytes) -> str:
    """What the body of an answer says, in one line."""
    try:
        found = msgspec.json.decode(content)
        text = found.get("error", found.get("message", found)) if isinstance(found, dict) else found
        text = str(text.get("message", text) if isinstance(text, dict) else text)
    except _NOT_JSON:
        text = content[: 8 * _SHOWN_CHARACTERS].decode(errors="replace")
    return in_one_line(text) or "no message"


def in_one_line(text: str) -> str:
    """The beginning of a text, without what a terminal would act on."""
    words = " ".join(text.split())
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in words[:_SHOWN_CHARACTERS])
    return shown + ("..." if len(words) > _SHOWN_CHARACTERS else "")


def pause_s(retry_after: str) -> float:
    """The seconds that a header Retry-After asks for; 0 where it says something else."""
    return float(retry_after) if _SECONDS.fullmatch(retry_after) else 0.0


def names_of(model: str, listed: list[ListedModel]) -> frozenset[str]:
    """All names that mean the model, of those that a server lists; none where it has no such model.

    Some hosts list "models/name" or "owner/name" and take the bare name.
    """
    found = [one for one in listed if one.id == model or one.id.endswith(f"/{model}")]
    roots = {one.root for one in found if isinstance(one.root, str)}
    same = {one.id for one in listed if isinstance(one.root, str) and one.root in roots}
    return frozenset({one.id for one in found} | {model} | roots | same) if found else frozenset()


def is_same_model(asked: str, answered: str) -> bool:
    """Whether an answer that names its model `answered` is one of the model `asked`.

    Either may lack the owner in front of its name. A date or a number behind it is a version: a service answers as
    `name-2024-07-18` to who asks for `name` or `name-latest`.
    """
    asked_owner, _, asked_name = asked.casefold().rpartition("/")
    owner, _, name = answered.casefold().rpartition("/")
    if owner and asked_owner and owner != asked_owner:
        return False
    base = asked_name.removesuffix("-latest")
    return name == asked_name or (name.startswith(base) and bool(_VERSION.fullmatch(name[len(base) :])))
