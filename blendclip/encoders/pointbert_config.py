"""The shape of a PointBERT, without torch: planning a run and reading config.yaml stay quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from blendclip.errors import UserError


@dataclass(frozen=True)
class PointBertConfig:
    """The shape of a PointBERT; the defaults are those of Point-BERT."""

    out_dim: int = 512
    """Width of the output features, equal to that of the CLIP."""
    depth: int = 12
    """Number of transformer blocks."""
    width: int = 384
    """Transformer width."""
    heads: int = 6
    """Attention heads; must divide `width`."""
    encoder_width: int = 256
    """Output width of the mini-PointNet that encodes a patch; its hidden layers have half and twice that width."""
    mlp_ratio: float = 4.0
    """Hidden width of a block's MLP, as a multiple of `width`."""
    patch_points: int = 32
    """Points per patch; a cloud with fewer gives patches of all its points."""
    patches_per_point: float = 2 / 32
    """Patches per point of a cloud; 2 / 32 lets a point lie in two patches on average."""
    max_patches: int = 512
    """Most patches of a cloud."""
    colors: bool = False
    """Whether the encoder takes the colours of points."""
    drop_path: float = 0.1
    """Stochastic depth: probability to skip the last block in training, rising linearly from 0 at the first block."""

    def __post_init__(self) -> None:
        for name in ("out_dim", "depth", "width", "heads", "encoder_width", "patch_points", "max_patches"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} of the point encoder is {getattr(self, name)}: it must be at least 1")
        if self.width % self.heads:
            raise UserError(f"width {self.width} of the point encoder is not a multiple of its heads, {self.heads}")
        if self.encoder_width % 2:
            raise UserError(f"encoder_width {self.encoder_width} of the point encoder is odd: make it even")
        if not 0 < self.patches_per_point <= 1:
            raise UserError(f"patches_per_point is {self.patches_per_point}: it must be above 0 and at most 1")
        if not 0 <= self.drop_path < 1:
            raise UserError(f"drop_path is {self.drop_path}: it must be at least 0 and below 1")

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


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"depth": 4, "width": 128, "heads": 4, "encoder_width": 64, "max_patches": 64, "drop_path": 0.0},
    "base": {},
}
