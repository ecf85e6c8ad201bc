"""Small models of random weights, to test what is around them."""

import torch

from blendclip.encoders.model_folder import ClipSource, Description
from blendclip.encoders.pointbert import PointBert
from blendclip.encoders.pointbert_config import PointBertConfig
from blendclip.model import Model

TINY_CLIP_WIDTH = 128


def small_encoder(**changes):
    """An encoder of random weights for the tiny CLIP, in evaluation mode."""
    torch.manual_seed(0)
    shape = {"depth": 1, "width": 16, "heads": 2, "encoder_width": 16, "max_patches": 8, "out_dim": TINY_CLIP_WIDTH}
    return PointBert(PointBertConfig.preset("tiny", **(shape | changes))).eval()


def small_model(up="z", max_points=200, **changes):
    """A model of random weights with the tiny CLIP."""
    description = Description("tiny", max_points, clip=ClipSource("tiny"), up=up)
    return Model(small_encoder(**changes), description)
