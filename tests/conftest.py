"""Fixtures that several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def city_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small generated city: one scene of each split, 2 s, small images."""
    from blendclip.synthetic.city.generate import generate_city

    root = tmp_path_factory.mktemp("data") / "city"
    generate_city(root, scenes={"mini_train": 1, "mini_val": 1}, duration_s=2.0, workers=2, image_size_px=(320, 180))
    return root


@pytest.fixture(scope="session")
def citytruck_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small city on a truck: one scene of each split, 1 s, small images."""
    from blendclip.synthetic.city.generate import generate_city

    root, one_each = tmp_path_factory.mktemp("data") / "citytruck", {"mini_train": 1, "mini_val": 1}
    generate_city(root, rig="truck", scenes=one_each, duration_s=1.0, workers=2, image_size_px=(320, 200))
    return root


@pytest.fixture(scope="session")
def cityav2_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small city in Argoverse 2's layout: one log of each split, 1 s, small images."""
    from blendclip.synthetic.city.generate import generate_city

    root = tmp_path_factory.mktemp("data") / "cityav2"
    generate_city(root, rig="av2", scenes={"train": 1, "val": 1}, duration_s=1.0, workers=2, image_size_px=(320, 242))
    return root
