"""The shape of a PointBERT, without torch: planning a run and reading config.yaml stay quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from blendclip.errors import UserError


@dataclass(frozen=True)
class PointBertConfig:
    """The shape of a PointBERT; what is not given is Point-BERT's."""

    out_dim: int = 512
    """Width of the features: that of the CLIP to align with."""
    depth: int = 12
    """Transformer blocks."""
    width: int = 384
    """Of a token."""
    heads: int = 6
    """Of attention; they divide the width."""
    encoder_width: int = 256
    """Of what the mini-PointNet makes of a patch; its inner layers are half as wide and twice as wide."""
    mlp_ratio: float = 4.0
    """Inner width of a block's MLP, in widths."""
    patch_points: int = 32
    """Points of a patch; a cloud that has fewer gives patches of all its points."""
    patches_per_point: float = 2 / 32
    """Patches for each point, so that a point lies in two patches on average."""
    max_patches: int = 512
    """Of a cloud, however many points it has."""
    colors: bool = False
    """Whether clouds have colours and patches see them."""
    drop_path: float = 0.1
    """Share of clouds for which the last block is skipped in training; from the first block on it rises linearly."""

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
        """`tiny`, which two CPU cores train in minutes, or `base`, the published one; fields can be changed by name.

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
