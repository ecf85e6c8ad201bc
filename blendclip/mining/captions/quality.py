"""What the captions of a split are like: how long, how varied, how often they name what they show, and their price."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from blendclip.errors import UserError
from blendclip.mining.captions.progress import merged

_OPENING_WORDS = 3
_OPENINGS_SHOWN = 5


def read_synonyms(path: Path) -> dict[str, list[str]]:
    """The words that name each category.

    Raises:
        UserError: the file is missing or is no mapping of lists.
    """
    try:
        words = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise UserError(f"there is no file of synonyms {path}") from None
    if not isinstance(words, dict) or not all(isinstance(value, list) for value in words.values()):
        raise UserError(f"{path} must give a list of words for each category")
    return words


def quality(
    captions: Sequence[str],
    tokens: Sequence[int | None],
    categories: Sequence[str],
    class_names: Sequence[str],
    synonyms: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Numbers on captions, given with the annotated category and class of what each shows."""
    if not captions:
        return {"captions": 0}
    named = np.array(names_what_it_shows(captions, categories, synonyms))
    openings = Counter(" ".join(caption.split()[:_OPENING_WORDS]).lower().rstrip(",.") for caption in captions)
    (most_frequent, repeats), *_ = Counter(captions).most_common(1)
    of_class = np.array(class_names)
    return {
        "captions": len(captions),
        "words": quantiles([len(caption.split()) for caption in captions]),
        "tokens": quantiles([count for count in tokens if count is not None]),
        "share_naming_class": share(named),
        "share_naming_class_by_class": {
            str(name): share(named[of_class == name]) for name in sorted(set(class_names), key=str)
        },
        "openings": [
            {"words": words, "share": round(count / len(captions), 4)}
            for words, count in sorted(openings.items(), key=lambda item: (-item[1], item[0]))[:_OPENINGS_SHOWN]
        ],
        "duplicates": len(captions) - len(set(captions)),
        "most_repeated": {"caption": most_frequent, "count": repeats},
    }


def names_what_it_shows(
    captions: Sequence[str], categories: Sequence[str], synonyms: Mapping[str, Sequence[str]]
) -> list[bool]:
    """Whether each caption has a word for its category, singular or plural."""
    patterns = {category: _pattern(category, synonyms) for category in set(categories)}
    return [bool(patterns[category].search(caption)) for caption, category in zip(captions, categories, strict=True)]


def _pattern(category: str, synonyms: Mapping[str, Sequence[str]]) -> re.Pattern[str]:
    prefixes = [name for name in synonyms if category == name or category.startswith(f"{name}.")]
    words = synonyms[max(prefixes, key=len)] if prefixes else [category.split(".")[-1].replace("_", " ")]
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})(?:e?s)?\b", re.IGNORECASE)


def price(statistics: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Requests, tokens and speed from the statistics of all parts.

    The speed counts only time in which a request was under way, so that pauses between runs do not matter.
    """
    rows = [row for row in statistics if row["requests"]]
    if not rows:
        return {"requests": 0}
    requests = sum(row["requests"] for row in rows)
    busy_s = sum(end - start for start, end in merged(chain.from_iterable(row["busy_s"] for row in rows)))
    return {
        "requests": requests,
        "prompt_tokens": sum(row["prompt_tokens"] for row in rows),
        "completion_tokens": sum(row["completion_tokens"] for row in rows),
        "busy_s": round(busy_s, 3),
        "answers_per_s": round(requests / busy_s, 3) if busy_s else None,
    }


def quality_as_text(found: Mapping[str, Any]) -> list[str]:
    """Lines for the terminal on `quality` together with `price`."""
    if not found["captions"]:
        return ["  captions: none"]
    words, tokens = found["words"], found["tokens"]
    lines = [
        f"  captions: {found['captions']:,}, {found['duplicates']:,} repeat another",
        f"    words: {words['p10']:.0f} / {words['median']:.0f} / {words['p90']:.0f} (10 %, median, 90 %)",
        f"    {found['share_naming_class']:.0%} name their class or a near synonym; least: {_least(found)}",
        "    openings: " + "; ".join(f"{row['words']!r} {row['share']:.0%}" for row in found["openings"]),
    ]
    if tokens:
        lines.append(f"    tokens: {tokens['p10']:.0f} / {tokens['median']:.0f} / {tokens['p90']:.0f}")
    if found["requests"]:
        lines.append(
            f"    {found['requests']:,} requests, {found['answers_per_s'] or 0:,.1f} per second, "
            f"{found['prompt_tokens']:,} tokens in, {found['completion_tokens']:,} out"
        )
    return lines


def _least(found: Mapping[str, Any]) -> str:
    by_class = found["share_naming_class_by_class"]
    worst = sorted(by_class, key=by_class.get)[:3]
    return ", ".join(f"{name} {by_class[name]:.0%}" for name in worst)


def quantiles(values: Sequence[float] | NDArray[Any]) -> dict[str, float]:
    """The 10 % quantile, median and 90 % quantile; empty of nothing."""
    if not len(values):
        return {}
    low, median, high = np.quantile(values, [0.1, 0.5, 0.9])
    return {"p10": round(float(low), 3), "median": round(float(median), 3), "p90": round(float(high), 3)}


def share(flags: NDArray[np.bool_]) -> float:
    """The share of true ones among flags (N,)."""
    return round(float(np.mean(flags)), 4)
