"""Names to random generators and tokens: the same name gives the same bytes in any process."""

from __future__ import annotations

import hashlib

import numpy as np


def stable_rng(*names: object) -> np.random.Generator:
    """Return a generator seeded by the SHA-256 of the names, whatever ran before."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def stable_token(*names: object) -> str:
    """Return the 32 hexadecimal digits that stand for these names in the tables."""
    return hashlib.md5("/".join(map(str, names)).encode(), usedforsecurity=False).hexdigest()
