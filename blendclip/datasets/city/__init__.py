"""City: a driving dataset made by us, in nuScenes format, with the truth about every LiDAR point."""

from blendclip.datasets.city.generate import generate_city

__all__ = ["generate_city"]
