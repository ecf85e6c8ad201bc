"""From a model's answer to a caption, or to the reason why it is none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from blendclip.mining import rules
from blendclip.mining.captions.cache import Answer
from blendclip.rejects import Rule

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

    rule: Rule
    reason: str


def judge(answer: Answer, refusals: Sequence[str] = ()) -> Caption | NoCaption:
    """The caption in an answer. One that ran out of tokens is cut behind its last whole sentence.

    `refusals` are beginnings of answers that are no captions, in any case.
    """
    text = _tidy(answer.text)
    if answer.refusal or answer.finish_reason == "content_filter":
        return _refused(answer.refusal or answer.finish_reason)
    if text.lower().replace("’", "'").startswith(tuple(words.lower() for words in refusals)):
        return _refused(text)
    if answer.finish_reason == "length":
        ends = [match.end() for match in _SENTENCE_END.finditer(text)]
        if text and not ends:
            return NoCaption(rules.OVER_LONG, rules.OVER_LONG.reason(answer=_shown(text)))
        text = text[: ends[-1]] if ends else ""
    if not any(letter.isalpha() for letter in text):
        return NoCaption(rules.EMPTY, rules.EMPTY.reason())
    return Caption(text, answer.completion_tokens)


def _refused(answer: str) -> NoCaption:
    return NoCaption(rules.REFUSED, rules.REFUSED.reason(answer=_shown(answer)))


def _tidy(text: str) -> str:
    text = " ".join(text.split())
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        return text[1:-1].strip()
    return text


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
