"""Random numbers that are a function of names and numbers alone: the same in any batch, on any rank, after any resume.

Where a generator would have to be advanced, these hash what the number is for: SHA-256 for names, the finaliser of
SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014) for numbers. It works on
int64 of numpy and of torch alike, and gives the same bits on every device. Imports no torch.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Element = TypeVar("Element", bound=np.generic)


@cache
def key_of(*names: str | int) -> int:
    """A signed 64-bit key that stands for these names."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


@overload
def mixed(numbers: NDArray[np.int64]) -> NDArray[np.int64]: ...
@overload
def mixed(numbers: Tensor) -> Tensor: ...
def mixed(numbers: Any) -> Any:
    """Each number of an int64 array or tensor with its 64 bits thoroughly mixed; one to one, arithmetic wraps."""
    numbers = (numbers ^ _shifted(numbers, 30)) * _signed(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ _shifted(numbers, 27)) * _signed(0x94D049BB133111EB)
    return numbers ^ _shifted(numbers, 31)


@overload
def bits(seeds: NDArray[np.int64], name: str, index: NDArray[np.int64] | int = 0) -> NDArray[np.int64]: ...
@overload
def bits(seeds: Tensor, name: str, index: Tensor | int = 0) -> Tensor: ...
def bits(seeds: Any, name: str, index: Any = 0) -> Any:
    """64 random bits for each int64 seed, independent for each `name` and each index of the same shape as `seeds`."""
    return mixed(mixed(seeds ^ key_of(name)) + index * _signed(0x9E3779B97F4A7C15))


@overload
def uniform(seeds: NDArray[np.int64], name: str, index: NDArray[np.int64] | int = 0) -> NDArray[np.float64]: ...
@overload
def uniform(seeds: Tensor, name: str, index: Tensor | int = 0) -> Tensor: ...
def uniform(seeds: Any, name: str, index: Any = 0) -> Any:
    """A multiple of 2**-24 in [0, 1) for each seed: float32 of tensors, float64 of arrays, and the same number."""
    return _shifted(bits(seeds, name, index), 40) * 2.0**-24


def normal(seeds: Tensor, name: str, index: Tensor | int = 0) -> Tensor:
    """A standard normal number for each seed of a tensor (Box and Muller, 1958); at most 5.8 in magnitude."""
    radius = (-2 * (1 - uniform(seeds, f"{name} radius", index)).log()).sqrt()
    return radius * (2 * math.pi * uniform(seeds, f"{name} angle", index)).cos()


def permutation(count: int, key: int) -> NDArray[np.int64]:
    """The numbers below `count`, (count,), in an order that depends on `key` alone."""
    return np.argsort(_sort_keys(count, key), kind="stable")


def subset(count: int, at_most: int, seed: int) -> NDArray[np.int64]:
    """Ascending indices (at_most,) among `count` rows, all equally likely; of all rows where there are no more."""
    if count <= at_most:
        return np.arange(count)
    return np.sort(np.argpartition(_sort_keys(count, seed), at_most)[:at_most])


def subsample(points: NDArray[Element], max_points: int, seed: int) -> NDArray[Element]:
    """At most `max_points` rows of (n, ...), in their order; all of them, and no copy, where there are no more.

    The choice depends on n and `seed` alone, so that colours of the same cloud stay with their points.
    """
    return points if len(points) <= max_points else points[subset(len(points), max_points, seed)]


def stable_rng(*names: object) -> np.random.Generator:
    """Return a generator seeded by the SHA-256 of the names, whatever ran before."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def stable_token(*names: object) -> str:
    """Return the 32 hexadecimal digits that stand for these names in the tables."""
    return hashlib.md5("/".join(map(str, names)).encode(), usedforsecurity=False).hexdigest()


def _sort_keys(count: int, key: int) -> NDArray[np.int64]:
    return bits(np.full(count, key, np.int64), "order", np.arange(count))


def _shifted(numbers: Any, by: int) -> Any:
    """Shifted right, zeros coming in."""
    return (numbers >> by) & ((1 << (64 - by)) - 1)


def _signed(bits_64: int) -> int:
    return bits_64 - (1 << 64) if bits_64 >> 63 else bits_64
