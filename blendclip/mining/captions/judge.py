"""From a model's answer to a caption, or to the reason why it is none."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from blendclip.mining import rules
from blendclip.mining.captions.cache import Answer
from blendclip.rejects import Rule

_SENTENCE_END = re.compile(r"[.!?][\"'”’)]?(?=\s|$)")
_QUOTES = {'"': '"', "“": "”"}
_SHOWN_CHARACTERS = 80
_FINISHED = ("stop", "length")
_REASONING = re.compile(r"</?(?:think|thinking|thought|reasoning|analysis)>|<\|channel\|>|◁/?think▷", re.IGNORECASE)
_SPECIAL_TOKENS = re.compile(
    r"<\|[^<>|]*\|>|</?[a-z][a-z0-9_]*>|<0x[0-9A-F]{2}>|\[(?:PAD|UNK|CLS|SEP|MASK|/?INST)\]|\ufffd"
)
_WORD = re.compile(r"\w+")
# In words, each with a space behind it: three times the same phrase, six times a short one, or parts of a word.
_LOOP = re.compile(r"(?:^| )(\w[\w ]{6,200}? )\1{2}|(?:^| )(\w[\w ]{0,6} )\2{5}|(\w{1,8}?)\3{7}")
_FEW_LETTERS = 0.2
_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH", "FULLWIDTH", "IDEOGRAPHIC", "BOPOMOFO"})


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


UNUSABLE = frozenset(
    {
        *(rules.EMPTY, rules.UNFINISHED, rules.SPECIAL_TOKENS, rules.REASONING, rules.LOOP, rules.OTHER_SCRIPT),
        rules.OTHER_MODEL,
    }
)
"""What a server answers that is not well or not set up for captions: worth asking again once it is mended."""


def is_unusable(verdict: Caption | NoCaption) -> bool:
    """Whether an answer was one of a server that is not well or not set up for captions."""
    return isinstance(verdict, NoCaption) and verdict.rule in UNUSABLE


def judge(answer: Answer, refusals: Sequence[str] = (), prompt: str = "") -> Caption | NoCaption:
    """The caption in an answer. One that ran out of tokens is cut behind its last whole sentence.

    `refusals` are beginnings of answers that are no captions, in any case. `prompt` is the text that was answered: a
    caption is in its script, if it has one.
    """
    text = _tidy(answer.text)
    if answer.refusal or answer.finish_reason == "content_filter":
        return _none(rules.REFUSED, answer.refusal or answer.finish_reason)
    if answer.finish_reason not in _FINISHED:
        reason = answer.finish_reason or "missing"
        return NoCaption(rules.UNFINISHED, rules.UNFINISHED.reason(reason=reason))
    if text.lower().replace("’", "'").startswith(tuple(words.lower() for words in refusals)):
        return _none(rules.REFUSED, text)
    return _garbage(text, prompt) or _whole_sentences(text, answer)


def _garbage(text: str, prompt: str) -> NoCaption | None:
    """Why a text is none that somebody wrote about a picture."""
    if _REASONING.search(text):
        return _none(rules.REASONING, text)
    if _SPECIAL_TOKENS.search(text):
        return _none(rules.SPECIAL_TOKENS, text)
    if not any(letter.isalpha() for letter in text):
        return NoCaption(rules.EMPTY, rules.EMPTY.reason())
    if _LOOP.search(" ".join(_WORD.findall(text.casefold())) + " "):
        return _none(rules.LOOP, text)
    script = foreign_script(text, prompt)
    return None if script is None else _none(rules.OTHER_SCRIPT, text, script=script)


def _whole_sentences(text: str, answer: Answer) -> Caption | NoCaption:
    """The caption in a text, which ran out of tokens if the answer says so."""
    if answer.finish_reason == "length":
        ends = [match.end() for match in _SENTENCE_END.finditer(text)]
        if not ends:
            return _none(rules.OVER_LONG, text)
        text = text[: ends[-1]]
    return Caption(text, answer.completion_tokens)


def foreign_script(text: str, prompt: str) -> str | None:
    """The script of most letters that are in none of the prompt's scripts; None where they are few."""
    known = {_script(letter) for letter in prompt if letter.isalpha()}
    scripts = Counter(_script(letter) for letter in text if letter.isalpha())
    foreign = {script: count for script, count in scripts.items() if script not in known}
    if not known or sum(foreign.values()) <= _FEW_LETTERS * scripts.total():
        return None
    most = max(foreign, key=lambda script: foreign[script])
    return most if most == "CJK" else most.capitalize()


@cache
def _script(letter: str) -> str:
    """The script of a letter, as its Unicode name begins; those of Chinese and Japanese, which mix them, are one."""
    name = unicodedata.name(letter, "unknown").split()[0].split("-")[0]
    return "CJK" if name in _EAST_ASIAN else name


def _none(rule: Rule, answer: str, **values: str) -> NoCaption:
    return NoCaption(rule, rule.reason(answer=_shown(answer), **values))


def _tidy(text: str) -> str:
    text = " ".join(text.split())
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        return text[1:-1].strip()
    return text


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
