"""A trained model: clouds, texts and images to embeddings in one space, and clouds to names.

Letters in names: N clouds, C classes, D width of an embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from blendclip.encoders.clip_names import HUB, local_files
from blendclip.encoders.hub import fetch_model, push_model
from blendclip.encoders.model_folder import ClipSource, Description, evaluations, open_model, write_model_folder
from blendclip.encoders.pointbert import PointBert
from blendclip.errors import UserError
from blendclip.evaluation.choices import Names, Templates, class_words, template_patterns, warn_of_alike
from blendclip.evaluation.class_weights import ClassWeights
from blendclip.evaluation.encoding import encode_clouds
from blendclip.evaluation.zero_shot import classifier, scores, unit
from blendclip.naming.clouds import clean_clouds
from blendclip.naming.images import as_image
from blendclip.naming.predictions import Predictions

if TYPE_CHECKING:
    from blendclip.encoders.clip import Clip

ClipGiven = str | tuple[str, str | None] | Mapping[str, str | None]
"""Folder name of a CLIP, (model, pretrained) as open_clip has them, or a mapping of these two."""
TEMPLATES = "point_cloud"


class Model:
    """A point encoder and the frozen CLIP that it is aligned to, which is loaded when it is first needed."""

    def __init__(self, encoder: PointBert, description: Description) -> None:
        """Make a model of its parts; `load` makes one of what lies on disk."""
        self.encoder = encoder.eval().requires_grad_(False)
        self.description = description
        self._weights: dict[str, ClassWeights] = {}

    @classmethod
    def load(
        cls,
        place: str | Path,
        clip: ClipGiven | None = None,
        device: str | torch.device | None = None,
        up: str | None = None,
    ) -> Model:
        """The model in a folder, of a run or on the hub, or in a checkpoint of another project.

        Args:
            place: the folder of a run or a model, its .safetensors file, `hf-hub:OWNER/NAME`, or a .pt, .pth, .ckpt or
                .bin of Point-BERT, ULIP, ULIP-2 or the released BlendCLIP.
            clip: what the encoder is aligned to, where its files do not say it.
            device: where it runs; a GPU where there is one by default.
            up: axis that points up for the encoder, where its files do not say it; clouds given to it are z up.

        Raises:
            UserError: there is no such model, or it cannot be read; the sentence says what to do.
        """
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        path = fetch_model(str(place)) if str(place).startswith(HUB) else Path(place)
        return cls(*open_model(path, device))._with(clip, up)

    def encode(self, clouds: Iterable[Any], unit_m: float | None = 1.0) -> NDArray[np.float32]:
        """Embeddings (N, D) of clouds, of unit length; NaN in the rows of empty ones.

        A cloud has the same embedding every time, whatever is encoded beside it, to 1e-5 on a CPU.

        Args:
            clouds: each (n, 3 or more) floats, z up, an array, a tensor, or the path of a file; None is an empty one,
                as `crop` gives it. Points that are not finite are dropped. Columns beyond x, y, z are ignored, or are
                red, green and blue for an encoder with colors.
            unit_m: metres in a unit of the clouds, which an encoder with `size` is told; None where nobody knows.

        Raises:
            UserError: no cloud is given, or one is of a wrong shape or type, holds no finite point, or lacks colors.
        """
        config = self.encoder.config
        clean = clean_clouds(clouds, colors=config.colors, up=self.description.up, unit_m=unit_m)
        embeddings = np.full((clean.count, config.out_dim), np.nan, np.float32)
        embeddings[clean.rows] = encode_clouds(
            self.encoder, clean.read, clean.num_points, self.description.max_points, in_metres=unit_m is not None
        )
        return embeddings

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings (number, D) of texts, of unit length.

        Raises:
            UserError: no text is given, or the CLIP cannot be loaded.
        """
        if isinstance(texts, str):
            raise UserError(f"texts is the single text {texts!r}: give a list of texts, [text]")
        if not len(texts) or not all(isinstance(text, str) for text in texts):
            raise UserError("there is no text, or one is no string: give a list of at least one")
        return unit(self.clip.embed_texts(list(texts)).cpu().numpy(), "texts")

    def encode_image(self, images: Sequence[Any]) -> NDArray[np.float32]:
        """Embeddings (number, D) of images, of unit length.

        Args:
            images: paths, images of PIL, or arrays (height, width, 3) of uint8, RGB.

        Raises:
            UserError: no image is given, one is none, or the CLIP cannot be loaded.
        """
        if isinstance(images, str | Path) or not len(images):
            raise UserError("images is no list, or empty: give a list of at least one image, [image]")
        opened = [as_image(image, number) for number, image in enumerate(images)]
        features = [self.clip.embed_images(self.clip.prepared(image)[None]) for image in opened]
        return unit(torch.cat(features).cpu().numpy(), "images")

    def classifier(self, names: Names, templates: Templates = TEMPLATES) -> ClassWeights:
        """The text weights of classes, made once, for a machine without CLIP; `classify` takes them as `names`.

        Args:
            names: a list, a mapping of names to words, a YAML file, or a set that ships, such as "nuscenes".
            templates: a list of patterns with `{}`, a YAML file, or a set that ships, such as "ensemble".

        Raises:
            UserError: there are no such names or templates, or the CLIP cannot be loaded.
        """
        words, patterns = class_words(names), template_patterns(templates)
        key = repr((list(words.items()), patterns))
        if key not in self._weights:
            weights_CD = classifier(lambda texts: self.clip.embed_texts(texts).cpu().numpy(), words, patterns)
            self._weights[key] = ClassWeights(list(words), weights_CD)
            warn_of_alike(self._weights[key])
        return self._weights[key]

    def classify(
        self,
        clouds: Iterable[Any],
        names: Names | ClassWeights,
        templates: Templates = TEMPLATES,
        top: int = 5,
        unit_m: float | None = 1.0,
    ) -> Predictions:
        """The classes of clouds, by the cosine of each cloud to the text weights of the classes.

        Args:
            clouds: as `encode` takes them; an empty one, None, is of no class.
            names: as `classifier` takes them, or what it returned.
            templates: as `classifier` takes them.
            top: how many of the best classes to tell.
            unit_m: as `encode` takes it.

        Raises:
            UserError: as `encode` and `classifier`.
        """
        weights = names if isinstance(names, ClassWeights) else self.classifier(names, templates)
        return self.named(self.encode(clouds, unit_m), weights, top)

    def named(self, embeddings_ND: NDArray[np.float32], weights: ClassWeights, top: int = 5) -> Predictions:
        """The classes of embeddings that `encode` returned; those of NaN are of no class.

        Raises:
            UserError: the weights are of another width, and so of another CLIP.
        """
        if weights.weights_CD.shape[1] != embeddings_ND.shape[1]:
            raise UserError(
                f"the text weights have width {weights.weights_CD.shape[1]} and the embeddings "
                f"{embeddings_ND.shape[1]}: make both with the same model"
            )
        if top < 1:
            raise UserError(f"top is {top}: ask for at least 1 class")
        cosines_NC = np.full((len(embeddings_ND), len(weights.names)), np.nan, np.float32)
        there = ~np.isnan(embeddings_ND).any(axis=1)
        cosines_NC[there] = scores(embeddings_ND[there], weights.weights_CD)
        return Predictions(weights.names, cosines_NC, top)

    @cached_property
    def clip(self) -> Clip:
        """The frozen CLIP, loaded at first use.

        Raises:
            UserError: it is not known, cannot be loaded, or is of another width than the encoder.
        """
        from blendclip.encoders.clip import load_clip

        source = self.description.clip or _source_of(self.description.clip_name)
        try:
            clip = load_clip(source.model, source.pretrained, next(self.encoder.parameters()).device)
        except UserError as error:
            if not local_files(source.model, source.pretrained):
                raise
            raise UserError(f"{error}; or load the model with the `clip` that it is aligned to") from None
        if clip.width != self.encoder.config.out_dim:
            raise UserError(
                f"the CLIP {clip.name} has width {clip.width} and the encoder {self.encoder.config.out_dim}: "
                "load the model with the `clip` that it is aligned to"
            )
        return clip

    def save(self, folder: str | Path, metrics: str | Path | None = None) -> Path:
        """Write weights, description and card into a folder and return it.

        Args:
            folder: is made where it is not there; files of a model in it are replaced.
            metrics: folder of what `blendclip evaluate` wrote, for the card: one folder for each benchmark. A model
                loaded from results/runs brings those of its run along.
        """
        measured = evaluations(Path(metrics)) if metrics else {}
        description = replace(self.description, metrics=self.description.metrics | measured)
        write_model_folder(Path(folder), self.encoder, description)
        return Path(folder)

    def push(self, name: str, private: bool = False) -> str:
        """Upload the model to the Hugging Face hub as OWNER/NAME and return the address.

        Raises:
            UserError: the hub cannot be reached, or refuses.
        """
        return push_model(self.save, name, private)

    def export(self, path: str | Path) -> None:
        """Write the encoder as ONNX.

        Raises:
            UserError: a package for it is missing.
        """
        from blendclip.encoders.export import export_onnx

        export_onnx(self.encoder, Path(path))

    def _with(self, clip: ClipGiven | None, up: str | None) -> Model:
        """The same with what a user says of it."""
        if clip is not None:
            source = ClipSource.parse(clip)
            self.description = replace(self.description, clip=source, clip_name=source.name)
        if up is not None:
            self.description = replace(self.description, up=up)
        return self


def _source_of(name: str | None) -> ClipSource:
    """Where the CLIP comes from that a model's files only name."""
    if name is None:
        raise UserError("the model does not say which CLIP it is aligned to: load it with clip=(MODEL, PRETRAINED)")
    if source := ClipSource.named(name):
        return source
    raise UserError(f"nothing tells where the CLIP {name} of the model lies: load it with clip=(MODEL, PRETRAINED)")


load = Model.load
