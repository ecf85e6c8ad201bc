"""From a model's answer to a caption, or to the reason why it is none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from blendclip.mining.captions.cache import Answer

_SENTENCE_END = re.compile(r"[.!?][\"'”’)]?(?=\s|$)")
_QUOTES = {'"': '"', "“": "”"}
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Caption:
    """A caption, and the tokens it cost where the captioner counts them."""

    text: str
    tokens: int | None = None


@dataclass(frozen=True)
class NoCaption:
    """Why a view has no caption."""

    rule: str
    """empty, refused, over_long, request_refused or server_error."""
    reason: str


def judge(answer: Answer, refusals: Sequence[str] = ()) -> Caption | NoCaption:
    """The caption in an answer. One that ran out of tokens is cut behind its last whole sentence.

    `refusals` are beginnings of answers that are no captions, in any case.
    """
    text = _tidy(answer.text)
    if answer.refusal or answer.finish_reason == "content_filter":
        return NoCaption("refused", f"the model refused: {_shown(answer.refusal or answer.finish_reason)}")
    if text.lower().replace("’", "'").startswith(tuple(words.lower() for words in refusals)):
        return NoCaption("refused", f"the model refused: {_shown(text)}")
    if answer.finish_reason == "length":
        ends = [match.end() for match in _SENTENCE_END.finditer(text)]
        if text and not ends:
            return NoCaption("over_long", f"no sentence ends within max_tokens: {_shown(text)}")
        text = text[: ends[-1]] if ends else ""
    if not any(letter.isalpha() for letter in text):
        return NoCaption("empty", "the model answered without a word")
    return Caption(text, answer.completion_tokens)


def _tidy(text: str) -> str:
    text = " ".join(text.split())
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        return text[1:-1].strip()
    return text


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
