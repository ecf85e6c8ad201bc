"""Driving datasets made by us, with the truth about every LiDAR point.

City is recorded by a car and written as nuScenes; citytruck by a truck, and written as MAN TruckScenes.
"""

from blendclip.synthetic.city.generate import RIGS, generate_city

__all__ = ["RIGS", "generate_city"]
