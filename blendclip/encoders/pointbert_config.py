"""The shape of a PointBERT, without torch: planning a run and reading config.yaml stay quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from blendclip.errors import UserError
from blendclip.options import DERIVED, Options
from blendclip.ranges import Count, Positive, Range

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"depth": 4, "width": 128, "heads": 4, "encoder_width": 64, "max_patches": 64, "drop_path": 0.0},
    "base": {},
}


@dataclass(frozen=True)
class PointBertConfig(Options):
    """The shape of a PointBERT; what is not given is Point-BERT's."""

    out_dim: Count = field(default=512, metadata=DERIVED)
    """Width of the features: that of the CLIP to align with."""
    depth: Count = 12
    """Transformer blocks."""
    width: Count = 384
    """Transformer width."""
    heads: Count = 6
    """Attention heads; must divide `width`."""
    encoder_width: Annotated[int, Range(ge=2)] = 256
    """Output width of the mini-PointNet; its inner layers are half as wide and twice as wide."""
    mlp_ratio: Positive = 4.0
    """Hidden width of a block's MLP, as a multiple of `width`."""
    patch_points: Count = 32
    """Points of a patch; a cloud that has fewer gives patches of all its points."""
    patches_per_point: Annotated[float, Range(gt=0, le=1)] = 2 / 32
    """Patches for each point of a cloud; at 2/32 a point lies in two patches on average."""
    max_patches: Count = 512
    """Most patches of a cloud, however many points it has."""
    colors: bool = False
    """Whether clouds have colors and patches see them."""
    size: bool = False
    """Whether the encoder is told how large a cloud is in metres, which normalization takes away."""
    drop_path: Annotated[float, Range(ge=0, lt=1)] = 0.1
    """Share of clouds for which the last block is skipped in training; rises linearly from the first block on."""

    shorthands: ClassVar = {
        "preset": (
            Literal["tiny", "base"],
            "Shape to start from: tiny, which two cores train in minutes, or base, the published one.",
        )
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads:
            raise UserError(f"width {self.width} of the point encoder is not a multiple of its heads, {self.heads}")
        if self.encoder_width % 2:
            raise UserError(f"encoder_width {self.encoder_width} of the point encoder is odd: make it even")

    @classmethod
    def expanded(cls, content: dict[str, Any], path: str) -> dict[str, Any]:
        """`content` with the values of its preset, by default base, where it says nothing else.

        Raises:
            UserError: there is no such preset.
        """
        name = content.pop("preset", "base")
        if name not in tuple(PRESETS):
            raise UserError(f"`{path}.preset` is {name!r}: take one of {', '.join(PRESETS)}")
        return PRESETS[name] | content

    @classmethod
    def preset(cls, name: str, **changes: Any) -> PointBertConfig:
        """The preset `tiny`, which two CPU cores train in minutes, or `base`, the published shape.

        Args:
            name: of the preset.
            changes: fields with other values than the preset's.

        Raises:
            UserError: there is no such preset or field, or a value is out of bounds.
        """
        if name not in PRESETS:
            raise UserError(f"there is no point encoder {name!r}: choose one of {', '.join(PRESETS)}")
        unknown = sorted(set(changes) - set(cls.__dataclass_fields__))
        if unknown:
            raise UserError(f"a point encoder has no {unknown[0]!r}: choose of {', '.join(cls.__dataclass_fields__)}")
        return cls(**PRESETS[name] | changes)
