"""Which of many to take, without chance."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Element = TypeVar("Element", bound=np.generic)


def spread(elements: NDArray[Element], count: int) -> NDArray[Element]:
    """At most `count` evenly spaced elements; the middle one for `count = 1`.

    They are the middles of `count` equal stretches of `elements` (N, ...), in their order; all where N is no more.
    """
    if len(elements) <= count:
        return elements
    return elements[((np.arange(count) + 0.5) * len(elements) / count).astype(np.int64)]
