from typing import get_args

import numpy as np
import pytest

from blendclip.errors import UserError
from blendclip.options import hints
from blendclip.training.data.mixture import Mixture

# Real share in percent at each of eleven steps, by hand; warm-up is the first fifth, and the share ends at 40 %.
EXPECTED = {
    "linear": [0, 0, 0, 5, 10, 15, 20, 25, 30, 35, 40],
    # 20 (1 - cos(180 deg * k / 8)), the cosines being 1, .92388, .70711, .38268, 0 ...
    "cosine": [0, 0, 0, 1.52241, 5.85786, 12.34633, 20, 27.65367, 34.14214, 38.47759, 40],
    "step": [0, 0, 0, 20, 20, 20, 20, 20, 20, 40, 40],
    "constant": [0, 0, 40, 40, 40, 40, 40, 40, 40, 40, 40],
    "none": [0] * 11,
}


@pytest.mark.parametrize("schedule", get_args(hints(Mixture)["schedule"]))
def test_the_share_at_each_step(schedule):
    mixture = Mixture(schedule, max_real_ratio=0.4, warmup=0.2, steps=(0.3, 0.9))
    progress = np.arange(11) / 10
    assert mixture.real_share(progress) * 100 == pytest.approx(EXPECTED[schedule], abs=1e-5)
    assert [mixture.real_share(p) for p in progress] == list(mixture.real_share(progress))


def test_no_warm_up_starts_at_once():
    assert Mixture("constant", 0.015, warmup=0).real_share(0) == 0.015
    assert Mixture("linear", 0.3, warmup=0).real_share([0, 0.5, 1]) == pytest.approx([0, 0.15, 0.3])


def test_the_default_is_the_published_curriculum():
    assert Mixture().real_share([0, 0.0039, 0.004, 0.502, 1]) == pytest.approx([0, 0, 0, 0.15, 0.3])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schedule", "lineal"),
        ("max_real_ratio", 1.01),
        ("max_real_ratio", -0.1),
        ("max_real_ratio", float("nan")),
        ("warmup", 1.0),
        ("warmup", -0.1),
        ("steps", ()),
        ("steps", (0.5, 0.5)),
        ("steps", (0.0, 0.5)),
        ("steps", (0.5, 1.5)),
    ],
)
def test_a_wrong_value_is_named(key, value):
    with pytest.raises(UserError, match=rf"^(mixture\.|`){key}`? is "):
        Mixture(**{key: value})
