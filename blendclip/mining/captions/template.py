"""The template captioner: says what can be measured on the crop and its annotation. Needs no model and no GPU."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blendclip.errors import UserError
from blendclip.mining.captions.choice import ChosenViews
from blendclip.mining.captions.color import color_name
from blendclip.mining.captions.judge import Caption
from blendclip.mining.captions.prompts import read_prompt

_COVERED_FRACTION = 0.25  # from here on a caption says that something stands in front
_VIEWS_AT_ONCE = 256
_COLUMNS = [
    *("view_id", "image", "category", "attributes"),
    *("size_lwh_m", "camera_azimuth_rad", "camera_distance_m", "covered_fraction"),
]
_KEYS = {"kinds", "patterns", "nouns", "motion", "side", "view", "size_words", "covered"}


class TemplateCaptioner:
    """Fills the sentence patterns of a prompt file. The choice among them depends on the view's id alone."""

    model = "template"

    def __init__(self, prompt: Path) -> None:
        """Read the prompt file.

        Raises:
            UserError: it is missing or lacks a key.
        """
        self.words = read_prompt(prompt, "template")
        if missing := _KEYS - set(self.words):
            raise UserError(
                f"{prompt} lacks {', '.join(sorted(missing))}: a template prompt needs {', '.join(sorted(_KEYS))}"
            )
        self.prompt_sha = hashlib.sha256(prompt.read_bytes()).hexdigest()

    def prepare(self, parts: Sequence[ChosenViews]) -> None:
        """Nothing to prepare."""

    def outcomes(self, views: ChosenViews) -> Iterator[Caption]:
        """A caption for each chosen view of a part, in order."""
        for table in views.tables(_COLUMNS, _VIEWS_AT_ONCE):
            for caption in self.captions(table.to_pylist()):
                yield Caption(caption)

    def statistics(self, views: ChosenViews) -> dict[str, Any]:
        """Nothing was asked."""
        return {"requests": 0}

    def captions(self, views: Iterable[dict[str, Any]]) -> Iterator[str]:
        """A caption for each view (a row of `schemas.VIEWS`)."""
        for view in views:
            yield self._caption(view)

    def _caption(self, view: dict[str, Any]) -> str:
        choose = _Chooser(view["view_id"])
        image = Image.open(io.BytesIO(view["image"]["bytes"]))
        length_m, _, height_m = view["size_lwh_m"]
        longest_m = max(view["size_lwh_m"])
        side = _side(view["camera_azimuth_rad"])
        motion = next((word for name, word in self.words["motion"].items() if name in view["attributes"]), None)
        said = {
            "noun": choose(self._nouns(view["category"])),
            "colour": color_name(image),
            "motion": choose(motion or self.words["motion"]["none"]),
            "side": choose(self.words["side"][side]),
            "view": choose(self.words["view"][side]),
            "size": f"{length_m:.1f} m long" if length_m > height_m else f"{height_m:.1f} m tall",
            "size_word": choose(next(words for end_m, words in self.words["size_words"] if longest_m <= end_m)),
            "distance": f"{max(5, 5 * round(view['camera_distance_m'] / 5))} m",
            "covered": choose(self.words["covered"]) if view["covered_fraction"] >= _COVERED_FRACTION else "",
        }
        return _sentence(choose(self.words["patterns"][self._kind(view["category"])]), said)

    def _kind(self, category: str) -> str:
        kinds = self.words["kinds"].items()
        return next((kind for kind, prefixes in kinds if category.startswith(tuple(prefixes))), "default")

    def _nouns(self, category: str) -> Sequence[str]:
        prefixes = [name for name in self.words["nouns"] if category == name or category.startswith(f"{name}.")]
        return self.words["nouns"][max(prefixes, key=len)] if prefixes else [category.split(".")[-1].replace("_", " ")]


class _Chooser:
    """Picks from lists by a stable hash of a name, a fresh one at each call."""

    def __init__(self, name: str) -> None:
        self._digest = hashlib.sha256(name.encode()).digest()
        self._calls = 0

    def __call__(self, options: Sequence[str]) -> str:
        self._calls += 1
        start = 2 * self._calls
        return options[int.from_bytes(self._digest[start : start + 2], "big") % len(options)]


def _side(camera_azimuth_rad: float) -> str:
    return ("front", "left", "back", "right")[round(camera_azimuth_rad / (np.pi / 2)) % 4]


def _sentence(pattern: str, said: dict[str, str]) -> str:
    """Fill a pattern; `{a}` and `{A}` become the article that fits the word behind."""
    words = pattern.format(a="\0", A="\0", **said).split(" ")
    for i, word in enumerate(words):
        if word == "\0":
            words[i] = "an" if words[i + 1][0] in "aeiou" else "a"
    sentence = " ".join(words)
    return sentence[0].upper() + sentence[1:]
