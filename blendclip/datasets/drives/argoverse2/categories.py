"""What Argoverse 2 annotates, what its detection challenge evaluates, and which of it nuScenes has a class for."""

from __future__ import annotations

_ONLY_ANNOTATED = ("ANIMAL", "OFFICIAL_SIGNALER", "RAILED_VEHICLE", "TRAFFIC_LIGHT_TRAILER")

BENCHMARK = (
    *("REGULAR_VEHICLE", "LARGE_VEHICLE", "BUS", "BOX_TRUCK", "TRUCK", "TRUCK_CAB", "VEHICULAR_TRAILER", "SCHOOL_BUS"),
    *("ARTICULATED_BUS", "MESSAGE_BOARD_TRAILER", "PEDESTRIAN", "WHEELED_RIDER", "WHEELED_DEVICE", "BICYCLE"),
    *("BICYCLIST", "MOTORCYCLE", "MOTORCYCLIST", "WHEELCHAIR", "STROLLER", "DOG", "BOLLARD", "CONSTRUCTION_CONE"),
    *("CONSTRUCTION_BARREL", "SIGN", "STOP_SIGN", "MOBILE_PEDESTRIAN_CROSSING_SIGN"),
)
"""The 26 categories of the detection challenge, its classes."""
CATEGORIES = (*BENCHMARK, *_ONLY_ANNOTATED)
"""All 30 that are annotated."""

AS_NUSCENES = {
    "REGULAR_VEHICLE": "car",
    "LARGE_VEHICLE": "truck",
    "BOX_TRUCK": "truck",
    "TRUCK": "truck",
    "TRUCK_CAB": "truck",
    "BUS": "bus",
    "SCHOOL_BUS": "bus",
    "ARTICULATED_BUS": "bus",
    "VEHICULAR_TRAILER": "trailer",
    "PEDESTRIAN": "pedestrian",
    "OFFICIAL_SIGNALER": "pedestrian",
    "MOTORCYCLE": "motorcycle",
    "BICYCLE": "bicycle",
    "CONSTRUCTION_CONE": "traffic_cone",
}
"""The class of nuScenes that a category belongs to. The others have none: what nuScenes gives no class (wheelchair,
stroller, animal, sign), riders, who are a part of the cycle's box there, and what could be either of two classes."""
NUSCENES = (
    *("car", "truck", "bus", "trailer", "construction_vehicle", "pedestrian", "motorcycle", "bicycle"),
    *("traffic_cone", "barrier"),
)
"""The ten classes of nuScenes' detection benchmark."""


def benchmark_class(category: str) -> str | None:
    """The class of the detection challenge of a category, its own name; None where it has none."""
    return category if category in BENCHMARK else None
