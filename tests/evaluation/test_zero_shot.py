"""The classifier is the mean of unit features over words and templates."""

import numpy as np
import pytest

from blendclip.errors import UserError
from blendclip.evaluation.zero_shot import classifier, scores

FEATURES = {
    "a car": [2.0, 0.0, 0.0],
    "the car": [0.0, 3.0, 0.0],
    "a bus": [0.0, 0.0, 5.0],
    "the bus": [0.0, 0.0, 1.0],
    "a coach": [0.0, 7.0, 0.0],
    "the coach": [0.0, 1.0, 0.0],
}


def embed(texts):
    return np.array([FEATURES[text] for text in texts])


def test_features_are_averaged_as_directions():
    weights = classifier(embed, {"car": ["car"], "bus": ["bus", "coach"]}, ["a {}", "the {}"])
    half = np.sqrt(0.5)
    assert weights == pytest.approx(np.array([[half, half, 0], [0, half, half]]), abs=1e-6)
    assert scores(np.array([[0.0, 0.0, 9.0]]), weights) == pytest.approx(np.array([[0, half]]), abs=1e-6)


def test_as_open_clip_builds_it():
    import torch
    from open_clip import build_zero_shot_classifier

    class Model(torch.nn.Module):
        def encode_text(self, tokens, normalize=False):
            features = torch.nn.functional.one_hot(tokens, 64).float().cumsum(1).tanh()[:, :, :16].sum(1)
            return torch.nn.functional.normalize(features, dim=-1) if normalize else features

    def tokens_of(texts):
        return torch.tensor([[sum(map(ord, text)) % 61, len(text) % 7, ord(text[0]) % 13] for text in texts])

    names, templates = ["car", "bus", "ship"], ["a {}", "one small {}", "x {}."]
    theirs = build_zero_shot_classifier(Model(), tokens_of, names, templates).T
    ours = classifier(lambda texts: Model().encode_text(tokens_of(texts)).numpy(), {n: [n] for n in names}, templates)
    assert ours == pytest.approx(theirs.numpy(), abs=1e-5)


@pytest.mark.parametrize("broken", [0.0, np.nan])
def test_a_feature_without_a_direction_is_told(broken):
    with pytest.raises(UserError, match="1 of 2 features of samples"):
        scores(np.array([[1.0, 2.0], [broken, broken]]), np.eye(2))
