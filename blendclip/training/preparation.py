"""What is done to a batch in the processes that read ahead, so that the device that trains never waits for a number."""

from __future__ import annotations

from dataclasses import dataclass, replace

from blendclip.encoders.plan import PlanKind, planned
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.training.augmentation import remaining
from blendclip.training.augmentation_options import Augmentation
from blendclip.training.data.batches import Batch


@dataclass(frozen=True)
class Preparation:
    """Occlusion and dropout, which decide how many points clouds have, and the plan that follows from these."""

    augmentation: Augmentation
    """Options of the recipe."""
    encoder: PointBertConfig
    """Shape of the encoder."""
    kind: PlanKind
    """What plans are made for."""

    def __call__(self, batch: Batch) -> Batch:
        """The batch with the points that the encoder will see, and the plan of its work."""
        clouds = remaining(batch.clouds, batch.seeds, batch.synthetic, self.augmentation)
        return replace(batch, clouds=clouds, plan=planned(clouds.lengths.tolist(), self.encoder, self.kind))
