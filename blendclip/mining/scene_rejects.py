"""Accounting of what mining left out: annotations, views and files."""

from __future__ import annotations

from dataclasses import dataclass

from blendclip import rejects
from blendclip.mining.scene import Scene
from blendclip.rejects import Kind


@dataclass
class Rejects(rejects.Rejects):
    """Collects the rejects of one job of one stage of mining."""

    def annotation(
        self,
        scene: Scene,
        number: int,
        kind: Kind,
        rule: str,
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
        who = _where(scene) | {"annotation_token": token, "category": category}
        self.add(**who, kind=kind, rule=rule, reason=reason, path=path)
        if kind == "fault" and not blames_file:
            self.broken.setdefault("annotation", []).append(f"{token}: {reason}")

    def view(self, who: dict[str, str], crop: str, kind: Kind, rule: str, reason: str) -> None:
        """Note that a view ends here; `crop` is the name of its picture."""
        self.add(**who, kind=kind, rule=rule, reason=reason, path=crop)
        if kind == "fault":
            self.broken.setdefault("view", []).append(f"{crop}: {reason}")

    def file(self, scene: Scene, what: str, path: str, reason: str) -> None:
        """Note that a file (`what`: "sweep" or "image") is broken."""
        nobody = {"annotation_token": None, "category": None}
        self.add(**_where(scene), **nobody, kind="fault", rule=f"broken_{what}", reason=reason, path=path)
        self.broken.setdefault(what, []).append(f"{path}: {reason}")


def _where(scene: Scene) -> dict[str, str]:
    return {"dataset": scene.dataset, "split": scene.split, "scene": scene.name}
