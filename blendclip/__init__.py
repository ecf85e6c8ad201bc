"""BlendCLIP: name any object that a LiDAR sees, by text, and train the 3D encoder that does it.

model = blendclip.load("results/runs/curriculum")
model.classify([blendclip.read_cloud("object.pcd")], ["car", "excavator", "traffic cone"])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blendclip.errors import UserError
    from blendclip.model import Model, load
    from blendclip.naming.cloud_files import read_cloud
    from blendclip.naming.crops import crop
    from blendclip.naming.predictions import Predictions
    from blendclip.naming.searching import search

__version__ = "0.1.0"
__all__ = ["Model", "Predictions", "UserError", "crop", "load", "read_cloud", "search"]
_PLACES = {
    "Model": "blendclip.model",
    "Predictions": "blendclip.naming.predictions",
    "UserError": "blendclip.errors",
    "crop": "blendclip.naming.crops",
    "load": "blendclip.model",
    "read_cloud": "blendclip.naming.cloud_files",
    "search": "blendclip.naming.searching",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
