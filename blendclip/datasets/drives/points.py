"""Numbers of points that annotations come with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def known_points(annotation: Mapping[str, Any], column: str) -> int | None:
    """The number in a column such as `num_lidar_pts`; None where it is absent, null or negative, that is unknown."""
    number = annotation.get(column)
    return None if number is None or number < 0 else int(number)
