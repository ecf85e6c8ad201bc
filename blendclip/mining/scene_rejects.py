"""Accounting of what mining left out: annotations, views and files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from blendclip.mining import rules
from blendclip.mining.scene import Scene
from blendclip.rejects import Rejects, Rule

_FILE_RULES = {"sweep": rules.BROKEN_SWEEP, "image": rules.BROKEN_IMAGE}


@dataclass
class SceneRejects(Rejects):
    """Collects the rejects of one job of one stage of mining."""

    def annotation(
        self,
        scene: Scene,
        number: int,
        rule: Rule,
        reason: str,
        *,
        path: str | None = None,
        blames_file: bool = False,
    ) -> None:
        """Note that annotation `number` of the scene ends here.

        A fault that comes from broken files, which `file` counts, is not counted once more (`blames_file`).
        """
        annotations = scene.annotations
        token, category = annotations.token[number], annotations.category[number]
        self.add(_where(scene) | {"annotation_token": token, "category": category}, rule, reason, path=path)
        if rule.kind == "fault" and not blames_file:
            self.blame("annotation", token, reason)

    def view(self, who: dict[str, str | None], crop: str, rule: Rule, reason: str) -> None:
        """Note that a view ends here; `crop` is the name of its image, `who` the columns of `Rejects.add`."""
        self.add(who, rule, reason, path=crop)
        if rule.kind == "fault":
            self.blame("view", crop, reason)

    def file(self, scene: Scene, what: Literal["sweep", "image"], path: str, reason: str) -> None:
        """Note that a file is broken."""
        who = _where(scene) | {"annotation_token": None, "category": None}
        self.add(who, _FILE_RULES[what], reason, path=path)
        self.blame(what, path, reason)


def _where(scene: Scene) -> dict[str, str | None]:
    return {"dataset": scene.dataset, "split": scene.split, "scene": scene.name}
