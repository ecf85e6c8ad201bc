"""BlendCLIP: triplets of LiDAR points, camera crops and captions, and the 3D encoder trained on them."""

__version__ = "0.1.0"
