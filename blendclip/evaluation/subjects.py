"""What is measured: the model that a run ended in, or one that was not trained here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from blendclip.encoders.model_folder import Description, open_model, read_model
from blendclip.encoders.pointbert import PointBert
from blendclip.errors import UserError
from blendclip.evaluation.class_weights import ClassWeights


@dataclass(frozen=True)
class Subject:
    """A point encoder to measure, and what it expects."""

    where: Path
    """Its files, for messages."""
    encoder: PointBert
    max_points: int
    """Points of a cloud, at most."""
    up: str
    """Axis that points up for the encoder."""
    clip: str
    """Folder name of the CLIP that it is aligned to."""
    excluded: tuple[tuple[str, ...], str]
    """Classes that training left out, and the domain that they were left out of."""
    foreign: dict[str, Any] | None = None
    """What metrics.json says of a model that is no run: its `origin`, `up` and `clip`."""

    def check(self, weights: ClassWeights) -> None:
        """Check that text weights are as wide as the encoder's features.

        Raises:
            UserError: they are of another CLIP.
        """
        ours, theirs = self.encoder.config.out_dim, weights.weights_CD.shape[1]
        if ours != theirs:
            raise UserError(
                f"{self.where} has features of width {ours} and the CLIP {self.clip} of width {theirs}: set its "
                "`clip` to the one that it is aligned to"
            )


def run_subject(path: Path, device: torch.device | str) -> Subject:
    """The model of a run, from its model.safetensors.

    Raises:
        UserError: a file is missing or damaged.
    """
    encoder, about = read_model(path, device)
    assert about.clip_name is not None, "a run has a CLIP"
    return Subject(path, encoder, about.max_points, about.up, about.clip_name, _excluded(about))


def model_subject(path: Path, device: torch.device | str, clip: str | None = None, up: str | None = None) -> Subject:
    """A model as it is, with what a user says of it.

    Args:
        path: as `open_model` takes it.
        device: where the encoder runs.
        clip: folder name of the CLIP that it is aligned to; None where its files say it.
        up: axis that points up for it; None for what its files say.

    Raises:
        UserError: there is no such model, or its CLIP is not known or another one.
    """
    encoder, about = open_model(path, device)
    if None not in (clip, about.clip_name) and clip != about.clip_name:
        raise UserError(f"{path} is aligned to the CLIP {about.clip_name}, not to {clip}: set its `clip` to the former")
    name, axis = clip or about.clip_name, up or about.up
    if name is None:
        raise UserError(f"{path} does not say which CLIP it is aligned to: set its `clip`")
    foreign = {"origin": about.origin, "up": axis, "clip": name}
    return Subject(path, encoder, about.max_points, axis, name, _excluded(about), foreign)


def _excluded(about: Description) -> tuple[tuple[str, ...], str]:
    data = about.recipe.get("data", {})
    return tuple(data.get("excluded_classes", ())), data.get("excluded_from", "both")
